"""Training: what it computes does not depend on kills, ranks or the order of things."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from dying_ranks import train_with_a_death
from small_training import GIVEN, board, losses, same, trained, weights, written

from engine.errors import EngineError
from engine.pool import InlinePool
from model import start, train
from model.attention import documents
from model.fim import Fim
from model.gang import launch
from model.loader import Loader
from model.metrics import read
from model.ops import Train
from model.transformer import decoder

TESTS = Path(__file__).parents[1]


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
    assert board(out) == written(out)


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
        told = job.run(run, str(tmp_path), InlinePool())
    finally:
        ray.shutdown()
    assert told["steps"] == 9 and told["evaluation"]["files"] == 3
    np.testing.assert_allclose([v for _, v in losses(tmp_path)], [v for _, v in losses(undisturbed)], rtol=1e-4)


# --- what is computed ---------------------------------------------------------------------------------------------


def test_steps_are_those_of_a_plain_loop(run, undisturbed):
    """Torch's own AdamW on whole batches, without accumulation, clipping as torch clips."""
    job = Train.model_validate(GIVEN)
    loader = Loader(f"{run}/tokens", batch=8, seed=3, fim=Fim())
    model = decoder(job.shape(loader.manifest.vocabulary, loader.length), seed=3)
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
            group["lr"] = start.learning_rate(job, step + 1)
        optimiser.step()
        optimiser.zero_grad()
        expected.append(loss.item())
    np.testing.assert_allclose([v for _, v in losses(undisturbed)], expected, rtol=1e-4)


def test_it_learns_a_small_corpus_by_heart(run, tmp_path):
    out = trained(run, tmp_path / "t", steps=60, save_every=60, fim_rate=0, validation_files=0, evaluation_files=0)
    values = [v for _, v in losses(out)]
    assert values[-1] < 0.7 * values[0]
