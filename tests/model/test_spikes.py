"""A step that goes wrong stops the training and names its documents, or is left out."""

from __future__ import annotations

import math

import pytest
from small_training import GIVEN, losses, trained, weights

from engine.errors import EngineError
from engine.pool import InlinePool
from model import spikes, train
from model.loader import Loader
from model.ops import Train


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
    assert all(f"{d['stream']} {d['id']}" in message for d in rows[: spikes.NAMED])
    assert [p.name for p in (tmp_path / "checkpoints").glob("step-*4")] == ["step-00000004"]


def test_such_steps_are_left_out_if_asked(run, tmp_path, poisoned):
    told = Train.model_validate(GIVEN | {"on_spike": "skip", "micro_batch": 2}).run(run, str(tmp_path), InlinePool())
    assert told["skipped_steps"] == [4]
    assert [s for s, v in losses(tmp_path) if math.isnan(v)] == [5]
    assert all(bool(w.isfinite().all()) for w in weights(tmp_path).values())


def test_a_spike_is_what_stands_far_above_the_steps_before():
    job = Train.model_validate(GIVEN)
    assert not spikes.what_is_wrong(job, 3.9, 1.0, [2.0] * 9)
    assert "4.100" in spikes.what_is_wrong(job, 4.1, 1.0, [2.0] * 9)
    assert not spikes.what_is_wrong(job, 11.0, 1.0, [])
    assert "norm" in spikes.what_is_wrong(job, 2.0, math.inf, [2.0])
