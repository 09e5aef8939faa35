"""What a training starts from: the schedule, and finished weights to train further, whole or by adapters."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from small_training import SHAPELESS, weights

from engine import storage
from engine.errors import EngineError
from engine.pool import InlinePool
from model import checkpoint, start
from model.metrics import read
from model.ops import Lora, Train
from model.transformer import decoder


def test_the_learning_rate_is_a_line_and_half_a_cosine():
    job = Train(steps=100, warmup=10, learning_rate=1.0, final_learning_rate=0.1, tokens_per_step=64)
    rates = [start.learning_rate(job, step) for step in range(1, 101)]
    assert rates[:10] == [step / 10 for step in range(1, 11)]
    assert rates[-1] == pytest.approx(0.1) and rates[54] == pytest.approx(0.55)
    expected = [0.55 + 0.45 * math.cos(math.pi * k / 90) for k in range(1, 91)]
    assert rates[10:] == pytest.approx(expected)


def test_a_checkpoint_is_trained_further_with_a_fresh_optimiser(run, undisturbed, tmp_path):
    base = str(undisturbed / "model")
    given = SHAPELESS | {"base": base, "steps": 2, "warmup": 0, "learning_rate": 1e-12, "final_learning_rate": 0.0}
    Train.model_validate(given).run(run, str(tmp_path), InlinePool())
    before, after = weights(undisturbed), weights(tmp_path)
    assert all(torch.allclose(w, after[name], atol=1e-6) for name, w in before.items())
    assert storage.read_json(str(tmp_path / "model" / "lineage.json"))["base"] == base
    assert all(m["mfu_palm"] > m["mfu_documents"] > 0 for m in read(tmp_path) if "loss" in m)


def test_adapters_are_trained_alone_and_merged(run, undisturbed, tmp_path):
    given = SHAPELESS | {
        "base": str(undisturbed / "model"),
        "steps": 3,
        "warmup": 0,
        "lora": Lora(rank=2),
        "evaluation_files": 1,
    }
    Train.model_validate(given).run(run, str(tmp_path), InlinePool())
    assert (tmp_path / "adapter" / "adapter_model.safetensors").exists()
    before, after = weights(undisturbed), weights(tmp_path)
    changed = {name for name, w in before.items() if not torch.equal(w, after[name])}
    assert changed and all(("c_attn" in n or "c_proj" in n) and n.endswith("weight") for n in changed)


def test_a_base_that_does_not_fit_the_shards_is_refused(run, undisturbed, tmp_path):
    config = checkpoint.load_config(str(undisturbed / "model"))
    for change, told in (({"vocabulary": 90}, "knows 90 tokens"), ({"context": 32}, "context of 32")):
        checkpoint.save(decoder(replace(config, **change)), str(tmp_path / told))
        with pytest.raises(EngineError, match=told):
            Train.model_validate(SHAPELESS | {"base": str(tmp_path / told)}).run(
                run, str(tmp_path / "out"), InlinePool()
            )
