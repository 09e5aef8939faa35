"""A step that goes wrong: how it is recognised, and how the samples and documents that it comes from are told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch.distributed as dist

from model.loader import Loader
from model.ops import Train

REMEMBERED = 50
"""Steps whose mean loss a spike is measured against."""
NAMED = 8
"""Documents of a bad step that its error names."""


def what_is_wrong(job: Train, loss: float, norm: float, recent: Sequence[float]) -> str:
    """What is wrong with a step, by its loss and the norm of its gradient; nothing in most cases."""
    if not math.isfinite(loss):
        return f"the loss is {loss}"
    if not math.isfinite(norm):
        return f"the gradient's norm is {norm}"
    mean = sum(recent) / len(recent) if recent else loss
    if loss > mean + job.spike:
        return f"the loss is {loss:.3f}, and was {mean:.3f} in the mean of the {len(recent)} steps before"
    return ""


def told_wrong(wrong: str, step: int, losses: Any, loader: Loader, job: Train) -> str:
    """The error of a step: what, where, the samples and documents that it comes from, and what to do.

    `losses` are those of this rank's micro-batches; all ranks call this together.
    """
    shown: list[Any] = [None] * loader.ranks
    dist.all_gather_object(shown, losses.tolist())
    parts = np.concatenate([np.asarray(each) for each in shown])
    bad = np.flatnonzero(~np.isfinite(parts))
    bad = bad if len(bad) else np.array([int(parts.argmax())])
    rows = {step * loader.size + int(k) * job.micro_batch + n for k in bad for n in range(job.micro_batch)}
    read_here = loader.which_documents(step).to_pylist()
    documents = [f"{d['stream']} {d['id']}" for d in read_here if d["sequence"] in rows]
    more = f" and {len(documents) - NAMED:,} more" if len(documents) > NAMED else ""
    return (
        f"step {step + 1:,}: {wrong}. It comes from the sequences {', '.join(map(str, sorted(rows)[:NAMED]))}, with "
        f"the documents {', '.join(documents[:NAMED])}{more}. Look at them with `engine tokens`. With `on_spike: skip` "
        "such steps are left out, and the run goes on from its last checkpoint; with a lower `learning_rate` it begins "
        "again"
    )
