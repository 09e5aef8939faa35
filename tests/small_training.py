"""A training of seconds, what its tests ask of its folder, and what TensorBoard shows of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from engine.pool import InlinePool
from model import checkpoint
from model.metrics import read
from model.ops import Train

TINY: dict[str, Any] = {"layers": 1, "width": 32, "heads": 2, "tokens_per_step": 512, "device": "cpu"}
SHORT: dict[str, Any] = {"steps": 9, "warmup": 2, "learning_rate": 0.01, "log_every": 1, "save_every": 2}
SCORED: dict[str, Any] = {"validate_every": 4, "validation_files": 2, "evaluation_files": 3}
GIVEN = TINY | SHORT | SCORED | {"seed": 3}
SHAPELESS = {name: value for name, value in GIVEN.items() if name not in ("layers", "width", "heads")}
"""For a training whose `base` says the shape."""


def trained(run: str, out: Path, **changes: Any) -> Path:
    """Trains in this process, and answers the folder."""
    Train.model_validate(GIVEN | changes).run(run, str(out), InlinePool())
    return out


def losses(out: Path) -> list[tuple[int, float]]:
    """The steps with their losses."""
    return [(m["step"], m["loss"]) for m in read(out) if "loss" in m]


def weights(out: Path) -> dict[str, torch.Tensor]:
    """The exported weights by name."""
    return dict(checkpoint.load(str(out / "model")).named_parameters())


def same(a: Path, b: Path) -> bool:
    """Whether two trainings came to the same weights by the same losses, bit for bit."""
    ours, theirs = weights(a), weights(b)
    return all(torch.equal(w, theirs[name]) for name, w in ours.items()) and losses(a) == losses(b)


def board(out: Path) -> dict[tuple[str, int], float]:
    """Every scalar in the event files of TensorBoard, by name and step."""
    events = EventAccumulator(str(out / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    return {(tag, one.step): one.value for tag in events.Tags()["scalars"] for one in events.Scalars(tag)}


def written(out: Path) -> dict[tuple[str, int], float]:
    """Every number in the lines of metrics, as TensorBoard stores it."""
    numbers = [(name, m["step"], v) for m in read(out) for name, v in m.items() if isinstance(v, int | float)]
    return {(name, step): float(np.float32(value)) for name, step, value in numbers if name != "step"}
