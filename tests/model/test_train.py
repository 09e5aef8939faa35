"""Training: what it computes does not depend on kills, ranks or the order of things; what goes wrong is told."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dying_ranks import train_with_a_death
from pydantic import ValidationError
from token_corpus import packed_run

from engine import storage
from engine.errors import EngineError
from engine.pool import InlinePool
from engine.tokenizer import read as read_tokenizer
from model import checkpoint, train
from model.costs import matmul_parameters
from model.gang import launch
from model.generate import generate
from model.loader import Loader
from model.metrics import progress, read
from model.ops import Lora, Train

TESTS = Path(__file__).parents[1]
TINY: dict[str, Any] = {"layers": 1, "width": 32, "heads": 2, "tokens_per_step": 512, "device": "cpu"}
SHORT: dict[str, Any] = {"steps": 9, "warmup": 2, "learning_rate": 0.01, "log_every": 1, "save_every": 2}
SCORED: dict[str, Any] = {"validate_every": 4, "validation_files": 2, "evaluation_files": 3}
GIVEN = TINY | SHORT | SCORED | {"seed": 3}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> str:
    """A small finished run, packed into samples of 64 tokens."""
    return str(packed_run(tmp_path_factory.mktemp("packed"), length=64, validation=0.1).parent)


@pytest.fixture(scope="module")
def undisturbed(run, tmp_path_factory) -> Path:
    """What a training leaves that nothing happened to."""
    return trained(run, tmp_path_factory.mktemp("undisturbed") / "train")


def trained(run: str, out: Path, **changes: Any) -> Path:
    Train.model_validate(GIVEN | changes).run(run, str(out), InlinePool())
    return out


def losses(out: Path) -> list[tuple[int, float]]:
    return [(m["step"], m["loss"]) for m in read(out) if "loss" in m]


def weights(out: Path) -> dict[str, torch.Tensor]:
    return dict(checkpoint.load(str(out / "model")).named_parameters())


def same(a: Path, b: Path) -> bool:
    ours, theirs = weights(a), weights(b)
    return all(torch.equal(w, theirs[name]) for name, w in ours.items()) and losses(a) == losses(b)


# --- resume -------------------------------------------------------------------------------------------------------


def test_killed_at_any_moment_it_goes_on_as_though_nothing_had_been(run, undisturbed, tmp_path):
    out = tmp_path / "train"
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    for moment in ("publishing:4", "logged:7"):
        command = [sys.executable, str(TESTS / "dying_ranks.py"), moment, json.dumps(GIVEN), run, str(out)]
        ended = subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, capture_output=True)
        assert ended.returncode == -9, ended.stderr
        assert not (out / "model").exists()
    assert [p.name for p in sorted((out / "checkpoints").iterdir())] == ["step-00000004", "step-00000006"]
    trained(run, out)
    assert [step for step, _ in losses(out)] == list(range(1, 10))
    assert same(out, undisturbed)


def test_a_damaged_checkpoint_is_recognised_and_the_one_before_taken(run, undisturbed, tmp_path):
    out = tmp_path / "train"
    trained(run, out, steps=9)
    assert [p.name for p in sorted((out / "checkpoints").iterdir())] == ["step-00000008", "step-00000009"]
    shutil.rmtree(out / "model")
    newest = next((out / "checkpoints" / "step-00000009").glob("*.distcp"))
    newest.write_bytes(newest.read_bytes()[:-100])
    trained(run, out)
    assert [m["damaged_checkpoints"] for m in read(out) if "damaged_checkpoints" in m] == [["step-00000009"]]
    assert same(out, undisturbed)


def test_dropout_is_the_same_after_a_stop(run, tmp_path):
    changes = {"dropout": 0.2, "steps": 3, "validation_files": 0, "evaluation_files": 1}
    whole, stopped = (trained(run, tmp_path / name, **changes) for name in ("whole", "stopped"))
    shutil.rmtree(stopped / "checkpoints" / "step-00000003")
    assert same(whole, trained(run, stopped, **changes))


def test_another_training_moves_what_was_there_aside(run, tmp_path):
    out = tmp_path / "train"
    few = {"steps": 3, "validation_files": 0, "evaluation_files": 0}
    trained(run, out, **few)
    before = losses(out)
    trained(run, out, **few, learning_rate=0.002)
    assert losses(out / "replaced") == before != losses(out)
    trained(run, out, **few, learning_rate=0.002, keep=1, log_every=2)
    assert losses(out / "replaced") == before


# --- ranks --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["fsdp", "ddp"])
def test_two_ranks_learn_what_one_learns(run, undisturbed, tmp_path, parallel):
    out = tmp_path / "train"
    job = Train.model_validate(GIVEN | {"ranks": 2, "parallel": parallel, "micro_batch": 2})
    work = train_with_a_death if parallel == "fsdp" else train.train
    out.mkdir()
    launch(work, job, run, str(out), 2)
    assert (out / "died").exists() == (parallel == "fsdp")
    one, two = losses(undisturbed), losses(out)
    assert [s for s, _ in two] == [s for s, _ in one]
    np.testing.assert_allclose([v for _, v in two], [v for _, v in one], rtol=1e-4)
    scores = [[m["bits_per_byte"] for m in read(p) if "bits_per_byte" in m] for p in (undisturbed, out)]
    np.testing.assert_allclose(*scores, rtol=1e-3)
    theirs = weights(out)
    for name, ours in weights(undisturbed).items():
        # A bias of all keys changes no attention: its gradient is rounding, which Adam makes as large as any other.
        if not name.endswith("c_attn.bias"):
            torch.testing.assert_close(theirs[name], ours, rtol=0.02, atol=2e-3)


@pytest.mark.slow
def test_a_rank_that_keeps_dying_is_given_up(run, tmp_path):
    job = Train.model_validate(GIVEN | {"ranks": 2, "restarts": 0})
    with pytest.raises(EngineError, match="a rank died 1 times"):
        launch(train_with_a_death, job, run, str(tmp_path), 2)


@pytest.mark.ray
@pytest.mark.slow
def test_on_ray_it_learns_the_same(ray_alone, run, undisturbed, tmp_path):
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        job = Train.model_validate(GIVEN | {"ranks": 2, "micro_batch": 2})
        told = launch(train.train, job, run, str(tmp_path), 2)
    finally:
        ray.shutdown()
    assert told["steps"] == 9
    np.testing.assert_allclose([v for _, v in losses(tmp_path)], [v for _, v in losses(undisturbed)], rtol=1e-4)


# --- what is computed ---------------------------------------------------------------------------------------------


def test_the_learning_rate_is_a_line_and_half_a_cosine():
    job = Train(steps=100, warmup=10, learning_rate=1.0, final_learning_rate=0.1, tokens_per_step=64)
    rates = [train.learning_rate(job, step) for step in range(1, 101)]
    assert rates[:10] == [step / 10 for step in range(1, 11)]
    assert rates[-1] == pytest.approx(0.1) and rates[54] == pytest.approx(0.55)
    expected = [0.55 + 0.45 * math.cos(math.pi * k / 90) for k in range(1, 91)]
    assert rates[10:] == pytest.approx(expected)


def test_steps_are_those_of_a_plain_loop(run, undisturbed):
    """Torch's own AdamW on whole batches, without accumulation, clipping as torch clips."""
    job = Train.model_validate(GIVEN)
    from model.attention import documents
    from model.fim import Fim
    from model.transformer import decoder

    loader = Loader(f"{run}/tokens", batch=8, seed=3, fim=Fim())
    model = decoder(job.shape(loader.manifest), seed=3)
    decays = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decays, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-8)
    expected = []
    for step in range(9):
        batch = loader.batch(step)
        docs = documents(batch.cu_seqlens(), 8, 64, "sdpa", "cpu")
        y = torch.from_numpy(batch.y)
        loss = model(torch.from_numpy(batch.x), y, docs) / (y != -100).sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimiser.param_groups:
            group["lr"] = train.learning_rate(job, step + 1)
        optimiser.step()
        optimiser.zero_grad()
        expected.append(loss.item())
    np.testing.assert_allclose([v for _, v in losses(undisturbed)], expected, rtol=1e-4)


def test_it_learns_a_small_corpus_by_heart(run, tmp_path):
    out = trained(run, tmp_path / "t", steps=60, save_every=60, fim_rate=0, validation_files=0, evaluation_files=0)
    values = [v for _, v in losses(out)]
    assert values[-1] < 0.7 * values[0]


# --- steps that go wrong ------------------------------------------------------------------------------------------


@pytest.fixture
def poisoned(monkeypatch):
    """The third micro-batch of the fifth step has a loss that is no number."""
    whole = train.gradients

    def bad(job, forward, batch, scale, step, here):
        found = whole(job, forward, batch, scale, step, here)
        if step == 4:
            found[2] = math.nan
        return found

    monkeypatch.setattr(train, "gradients", bad)


def test_a_loss_that_is_no_number_stops_and_names_its_documents(run, tmp_path, poisoned):
    with pytest.raises(EngineError) as told:
        trained(run, tmp_path, micro_batch=2)
    message = str(told.value)
    loader = Loader(f"{run}/tokens", batch=8, seed=3)
    rows = [d for d in loader.which_documents(4).to_pylist() if d["sequence"] in (36, 37)]
    assert "step 5: the loss is nan" in message and "sequences 36, 37" in message
    assert all(f"{d['stream']} {d['id']}" in message for d in rows[: train.NAMED])
    assert [p.name for p in (tmp_path / "checkpoints").glob("step-*4")] == ["step-00000004"]


def test_such_steps_are_left_out_if_asked(run, tmp_path, poisoned):
    told = Train.model_validate(GIVEN | {"on_spike": "skip", "micro_batch": 2}).run(run, str(tmp_path), InlinePool())
    assert told["skipped_steps"] == [4]
    assert [s for s, v in losses(tmp_path) if math.isnan(v)] == [5]
    assert all(bool(w.isfinite().all()) for w in weights(tmp_path).values())


def test_a_spike_is_what_stands_far_above_the_steps_before():
    from collections import deque

    job = Train.model_validate(GIVEN)
    assert not train.what_is_wrong(job, 3.9, 1.0, deque([2.0] * 9))
    assert "4.100" in train.what_is_wrong(job, 4.1, 1.0, deque([2.0] * 9))
    assert not train.what_is_wrong(job, 11.0, 1.0, deque())
    assert "norm" in train.what_is_wrong(job, 2.0, math.inf, deque([2.0]))


# --- what it leaves -----------------------------------------------------------------------------------------------


def test_transformers_loads_the_model_with_its_tokenizer(undisturbed):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = str(undisturbed / "model")
    theirs = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("the quick brown", return_tensors="pt")["input_ids"]
    ours = checkpoint.load(folder)
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, ours(ids), rtol=1e-4, atol=1e-4)
    assert generate(ours, [ids[0].tolist()], 4)
    assert read_tokenizer(folder).size == ours.config.vocabulary


def test_metrics_tell_speed_and_time_left(undisturbed):
    lines = [m for m in read(undisturbed) if "loss" in m]
    assert lines[-1]["seconds_left"] == 0 and lines[0]["learning_rate"] == pytest.approx(0.005)
    assert all(m["tokens_per_second"] > 0 and m["mfu_palm"] >= m["mfu_causal"] >= m["mfu_documents"] > 0 for m in lines)
    assert "step 9/9" in progress(lines[-1], 9)
    scored = [m for m in read(undisturbed) if "bits_per_byte" in m]
    assert [m["step"] for m in scored] == [0, 4, 8, 9]
    assert matmul_parameters(checkpoint.load(str(undisturbed / "model")).config) > 0


def test_the_evaluation_stands_beside_xz_on_the_card_and_the_curve(undisturbed):
    told = storage.read_json(str(undisturbed / "evaluation.json"))
    assert told["files"] == 3 and 0 < told["mean"] < 20 and told["xz_mean"] > 0
    assert sum(each["bytes"] for each in told["languages"].values()) == told["bytes"]
    card = (undisturbed / "model" / "README.md").read_text()
    assert "mean over held-out files" in card and "steps" in card
    assert "xz -9" in (undisturbed / "curve.svg").read_text()


# --- fine-tuning --------------------------------------------------------------------------------------------------


def test_a_checkpoint_is_trained_further_with_a_fresh_optimiser(run, undisturbed, tmp_path):
    base = str(undisturbed / "model")
    given = {k: v for k, v in GIVEN.items() if k not in ("layers", "width", "heads")}
    given |= {"base": base, "steps": 2, "warmup": 0, "learning_rate": 1e-12, "final_learning_rate": 0.0}
    Train.model_validate(given).run(run, str(tmp_path), InlinePool())
    before, after = weights(undisturbed), weights(tmp_path)
    assert all(torch.allclose(w, after[name], atol=1e-6) for name, w in before.items())
    assert storage.read_json(str(tmp_path / "model" / "lineage.json"))["base"] == base


def test_adapters_are_trained_alone_and_merged(run, undisturbed, tmp_path):
    given = {k: v for k, v in GIVEN.items() if k not in ("layers", "width", "heads")}
    given |= {"base": str(undisturbed / "model"), "steps": 3, "warmup": 0, "lora": Lora(rank=2), "evaluation_files": 1}
    Train.model_validate(given).run(run, str(tmp_path), InlinePool())
    assert (tmp_path / "adapter" / "adapter_model.safetensors").exists()
    before, after = weights(undisturbed), weights(tmp_path)
    changed = {name for name, w in before.items() if not torch.equal(w, after[name])}
    assert changed and all(("c_attn" in n or "c_proj" in n) and n.endswith("weight") for n in changed)


def test_a_base_that_does_not_fit_the_shards_is_refused(run, undisturbed, tmp_path):
    from dataclasses import replace

    from model.transformer import decoder

    config = checkpoint.load_config(str(undisturbed / "model"))
    for change, told in (({"vocabulary": 90}, "knows 90 tokens"), ({"context": 32}, "context of 32")):
        checkpoint.save(decoder(replace(config, **change)), str(tmp_path / told))
        given = {k: v for k, v in GIVEN.items() if k not in ("layers", "width", "heads")}
        with pytest.raises(EngineError, match=told):
            Train.model_validate(given | {"base": str(tmp_path / told)}).run(run, str(tmp_path / "out"), InlinePool())


# --- parameters ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"warmup": 9}, "`warmup` takes 9 steps"),
        ({"width": 30, "heads": 4}, "cannot be shared evenly by 4 heads"),
        ({"final_learning_rate": 1.0}, "`final_learning_rate` is above"),
        ({"lora": {"rank": 4}}, "name it as `base`"),
        ({"base": "x", "layers": 3}, "has a shape of its own"),
        ({"preset": "2b"}, "Input should be"),
    ],
)
def test_wrong_parameters_are_told(changes, told):
    with pytest.raises(ValidationError, match=told):
        Train.model_validate(GIVEN | changes)


def test_a_step_is_a_whole_number_of_samples(run, tmp_path):
    with pytest.raises(EngineError, match="multiple of 192: 1 ranks with 3 samples of 64 tokens"):
        trained(run, tmp_path, micro_batch=3)


def test_without_token_shards_it_says_what_makes_them(tmp_path):
    with pytest.raises(EngineError, match="`pack`"):
        trained(str(tmp_path), tmp_path / "train")
