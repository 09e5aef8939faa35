"""The training loop, for one rank of any number: no callbacks, what happens when stands in `if step % n == 0`.

Everything random is keyed by seed and step, and the order of data is arithmetic, so the state is weights, moments and a
few numbers: a run that goes on from it computes what it would have computed. `model.start` makes what the loop works
on, `model.place` says where and how ranks share it, `model.spikes` what a bad step is, `model.release` what is left.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from engine import storage
from engine.op import fail
from engine.schema import SPECIAL_TOKENS
from model.loader import NO_LOSS, Batch
from model.metrics import Metrics
from model.ops import Train
from model.place import Place, adding_up, spread, whole
from model.release import export
from model.resume import Checkpoints
from model.speed import Clock
from model.spikes import REMEMBERED, told_wrong, what_is_wrong
from model.start import adamw, build, learning_rate, loader_of, set_updates
from model.validation import Validation

END = SPECIAL_TOKENS.index("<|endoftext|>")

Report = Callable[[dict[str, Any]], None]
"""What the gang wants to hear after each checkpoint."""


def train(job: Train, run: str, out: str, report: Report = lambda _: None) -> dict[str, Any]:
    """Trains from the last checkpoint to the last step; what rank 0 answers goes into the run's report."""
    here = Place.of(job)
    loader = loader_of(job, run, here)
    model = build(job, loader, here.device)
    forward = spread(model, job, here)
    optimiser, state = adamw(job, model)
    learned = list(state["weights"].values())
    folder = storage.local_path(out)
    checkpoints = Checkpoints(folder / "checkpoints", job.keep)
    facts, damaged = checkpoints.restore(state)
    first, so_far = (loader.resume(facts["loader"]), SoFar(**facts["so_far"])) if facts else (0, SoFar())
    set_updates(optimiser, so_far.updates)
    began = time.monotonic() - so_far.seconds
    validation = Validation(job, run, loader, here)
    metrics = Metrics(folder, first, here.rank == 0)
    if damaged:
        metrics.write(first, damaged_checkpoints=damaged)
    if validation and first == 0:
        metrics.write(0, tokens=0, **validation.measure(model))
    clock = Clock(job, model.config, loader.length, here, sum(p.numel() for p in learned) if job.lora else 0)

    for step, batch in enumerate(loader.batches(first, job.steps), first):
        done = step + 1
        rate = learning_rate(job, done)
        for group in optimiser.param_groups:
            group["lr"] = rate
        counts = here.sum(counted(batch))
        losses = gradients(job, forward, batch, here.ranks / counts[0], step, here)
        loss = float(here.sum(losses.sum()) / counts[0])
        norm = float(whole(nn.utils.clip_grad_norm_(learned, job.clip)))
        if wrong := what_is_wrong(job, loss, norm, so_far.recent):
            if job.on_spike == "stop":
                checkpoints.settle()
                raise fail(job, told_wrong(wrong, step, losses, loader, job))
            so_far.skipped.append(step)
        else:
            optimiser.step()
            so_far.updates += 1
            so_far.recent = [*so_far.recent, loss][-REMEMBERED:]
        optimiser.zero_grad()
        so_far.tokens += int(counts[0])
        so_far.documents += int(counts[1])
        clock.tick(counts)

        if done % job.log_every == 0 or done == job.steps:
            seen = {"tokens": so_far.tokens, "documents": so_far.documents}
            metrics.write(done, loss=loss, learning_rate=rate, gradient_norm=norm, **seen, **clock.figures(done))
        if validation and (done % job.validate_every == 0 or done == job.steps):
            metrics.write(done, tokens=so_far.tokens, **validation.measure(model))
            clock.restart()
        if done % job.save_every == 0 or done == job.steps:
            so_far.seconds = time.monotonic() - began
            checkpoints.save(done, state, {"loader": loader.state(done), "so_far": asdict(so_far)})
            report({"step": done, "loss": loss})
    checkpoints.settle()
    export(job, model, loader, out, here)
    metrics.close()
    return {"parameters": model.config.parameters, "steps": job.steps, **so_far.told()}


@dataclass
class SoFar:
    """What a training has come to, beside weights and moments; all ranks know the same, and checkpoints hold it."""

    tokens: int = 0
    """Targets, those of steps left out among them."""
    documents: int = 0
    """Documents that ended among them."""
    updates: int = 0
    """Steps that were not left out."""
    seconds: float = 0.0
    """With validations, and those of earlier starts among them."""
    recent: list[float] = field(default_factory=list)
    """The losses of the last steps."""
    skipped: list[int] = field(default_factory=list)
    """The steps that were left out, counted from 0."""

    def told(self) -> dict[str, Any]:
        """What the run's report says of it."""
        left_out = {"skipped_steps": self.skipped} if self.skipped else {}
        return {"tokens": self.tokens, "documents": self.documents, "seconds": round(self.seconds, 1)} | left_out


def gradients(job: Train, forward: nn.Module, batch: Batch, scale: float, step: int, here: Place) -> Any:
    """Adds up the gradients of this rank's samples, and answers the nats of each part of them that went together."""
    if job.dropout or job.lora:
        torch.manual_seed(((job.seed or 0) * 1_000_003 + step) * 65_536 + here.rank & 2**63 - 1)
    losses = []
    starts = range(0, len(batch.x), job.micro_batch)
    for start in starts:
        rows = slice(start, start + job.micro_batch)
        part = replace(batch, x=batch.x[rows], y=batch.y[rows], bounds=batch.bounds[rows])
        x, y = (torch.from_numpy(t).to(here.device, non_blocking=True) for t in (part.x, part.y))
        docs = here.documents(part.cu_seqlens(), *part.x.shape) if job.document_mask else None
        with adding_up(forward, start == starts[-1]):
            with here.autocast():
                loss = forward(x, y, docs)
            (loss * scale).backward()
        losses.append(loss.detach())
    return torch.stack(losses).double().cpu().numpy()


def counted(batch: Batch) -> Any:
    """What a batch adds to the counts: targets, documents that end, and Σlen and Σlen² of what attends to itself."""
    lengths = np.diff(batch.bounds, axis=1).astype(float)
    return np.array([(batch.y != NO_LOSS).sum(), (batch.y == END).sum(), lengths.sum(), (lengths**2).sum()], float)
