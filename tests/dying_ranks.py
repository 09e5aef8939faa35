"""A training whose processes are killed at chosen moments, as a machine may end them: without a word."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any
from unittest import mock

import torch.distributed as dist

from engine.pool import InlinePool
from model import metrics, resume, train
from model.ops import Train


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def train_with_a_death(job: Train, run: str, out: str, report: Any = None) -> dict[str, Any]:
    """Training in which rank 1 dies once, after the first checkpoint."""
    died = Path(out) / "died"

    def die(told: dict[str, Any]) -> None:
        if dist.get_rank() == 1 and told["step"] >= 4 and not died.exists():
            died.touch()
            kill()

    return train.train(job, run, out, die)


def train_until(moment: str, given: dict[str, Any], run: str, out: str) -> None:
    """Trains and is killed: `publishing:N` before the checkpoint of step N has its name, `logged:N` behind the line of
    step N, once the checkpoint of the step before has its name."""
    what, step = moment.split(":")
    write, publish = metrics.Metrics.write, resume.Checkpoints._publish
    stands = threading.Event()

    def written(self: Any, at: int, **figures: Any) -> None:
        write(self, at, **figures)
        if what == "logged" and at == int(step):
            stands.wait()
            kill()

    def published(self: Any, aside: Path, place: Path, facts: dict[str, Any]) -> None:
        if what == "publishing" and place.name.endswith(f"{int(step):08}"):
            kill()
        publish(self, aside, place, facts)
        if place.name.endswith(f"{int(step) - 1:08}"):
            stands.set()

    with (
        mock.patch.object(metrics.Metrics, "write", written),
        mock.patch.object(resume.Checkpoints, "_publish", published),
    ):
        Train.model_validate(given).run(run, out, InlinePool())


if __name__ == "__main__":
    train_until(sys.argv[1], json.loads(sys.argv[2]), *sys.argv[3:5])
