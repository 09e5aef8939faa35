"""What a training tells while it runs: lines of JSON, the same figures in TensorBoard, speed and time left."""

from __future__ import annotations

import pytest
from small_training import board, written

from model import checkpoint
from model.costs import matmul_parameters
from model.metrics import progress, read


def test_metrics_tell_speed_and_time_left(undisturbed):
    lines = [m for m in read(undisturbed) if "loss" in m]
    assert lines[-1]["seconds_left"] == 0 and lines[0]["learning_rate"] == pytest.approx(0.005)
    assert all(m["tokens_per_second"] > 0 and m["mfu_palm"] >= m["mfu_causal"] >= m["mfu_documents"] > 0 for m in lines)
    assert "step 9/9" in progress(lines[-1], 9)
    scored = [m for m in read(undisturbed) if "bits_per_byte" in m]
    assert [m["step"] for m in scored] == [0, 4, 8, 9]
    assert matmul_parameters(checkpoint.load(str(undisturbed / "model")).config) > 0


def test_tensorboard_shows_what_the_lines_say(undisturbed):
    shown = board(undisturbed)
    assert shown == written(undisturbed)
    names = {name for name, _ in shown}
    assert names >= {"loss", "learning_rate", "gradient_norm", "tokens", "documents", "tokens_per_second"}
    assert names >= {"mfu_palm", "mfu_causal", "mfu_documents", "share_of_matmul", "bits_per_byte", "xz"}
    assert [step for name, step in shown if name == "loss"] == list(range(1, 10))
