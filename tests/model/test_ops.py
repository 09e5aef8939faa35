"""The op `train`: parameters that cannot be are told, before anything runs or when the shards are known."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from small_training import GIVEN, trained

from engine.errors import EngineError
from model.ops import Train


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"warmup": 9}, "`warmup` takes 9 steps"),
        ({"width": 30, "heads": 4}, "cannot be shared evenly by 4 heads"),
        ({"final_learning_rate": 1.0}, "`final_learning_rate` is above"),
        ({"lora": {"rank": 4}}, "name it as `base`"),
        ({"base": "x", "layers": 3}, "has a shape of its own"),
        ({"preset": "2b"}, "Input should be"),
        ({"dropout": 0.1, "attention": "varlen"}, "attention `varlen` has no dropout"),
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
