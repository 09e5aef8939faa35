"""What a plan will cost, from a small probe of the real input: rows, bytes, memory and time.

The probe runs the first pass over pieces of a few shards, chosen evenly over the whole list by size, and scales each
figure by the bytes of input. It is meant to be within a factor of two.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from engine import gathering, storage
from engine.op import Shard
from engine.plan import Chain, Plan
from engine.pool import cores
from engine.report import size
from engine.shard_run import run_shard
from engine.sketches import PARTITION_KEYS
from engine.stage import Stage, Task

PROBE_SECONDS = 6.0
"""Time that a probe of one stream may take, the first shard apart."""
PROBE_SHARDS = 8
START_SECONDS = 2.0
"""What starting workers takes: a process imports Arrow and loads the kernels."""
_LEAVES = {
    "rows": "leaves rows and sketches, no text",
    "text": "leaves the text once",
    "runs": "leaves sorted runs of rows",
    "documents": "writes documents",
}
BASE_MEMORY = 220 << 20
"""What a worker holds before it has any data."""


@dataclass
class StageCost:
    """One pass and what it will cost."""

    stream: str
    number: int
    reads: str
    steps: list[str]
    sketches: list[str]
    leaves: str
    shards: int
    input_bytes: int
    rows: int = 0
    rows_kept: int = 0
    bytes_written: int = 0
    worker_seconds: float = 0.0
    peak_memory: int = 0


@dataclass
class Cost:
    """What a plan will cost in all."""

    stages: list[StageCost] = field(default_factory=list)
    workers: int = 1
    seconds: float = 0.0
    rows: int = 0
    rows_kept: int = 0
    input_bytes: int = 0
    bytes_written: int = 0
    peak_memory: int = 0
    probed: bool = True
    bills: dict[str, list[str]] = field(default_factory=dict)
    """What jobs cost beside the passes, by step, as lines for people."""
    fingerprints: list[str] = field(default_factory=list)
    """Of each stream's last pass: what the estimate is of."""

    def as_json(self) -> dict[str, Any]:
        """The cost as plain values."""
        return asdict(self)


def estimate(plan: Plan, probe: bool = True, workers: int | None = None) -> Cost:
    """The cost of a plan on this machine; without a probe only what can be told from the listing of the input."""
    cost = Cost(workers=workers or cores(), probed=probe, bills=plan.bills(), fingerprints=_fingerprints(plan))
    with tempfile.TemporaryDirectory(prefix="engine-probe-") as folder:
        for chain in plan.chains:
            shards = sorted(chain.stages[0].source.shards(), key=lambda s: s.name)
            cost.stages += _stages(chain, shards, storage.join(folder, chain.stream) if probe else None)
    # A pass cannot be faster than its largest shard.
    for stage in cost.stages:
        cost.seconds += stage.worker_seconds / max(1, min(cost.workers, stage.shards))
    cost.seconds += START_SECONDS if probe else 0
    first = [s for s in cost.stages if s.number == 1]
    last = {s.stream: s for s in cost.stages}.values()
    cost.rows, cost.input_bytes = sum(s.rows for s in first), sum(s.input_bytes for s in first)
    cost.rows_kept = sum(s.rows_kept for s in last)
    cost.bytes_written = sum(s.bytes_written for s in last)
    cost.peak_memory = max((s.peak_memory for s in cost.stages), default=0)
    return cost


def _stages(chain: Chain, shards: list[Shard], folder: str | None) -> list[StageCost]:
    total = sum(s.bytes for s in shards)
    costs = [_described(chain, stage, len(shards), total) for stage in chain.stages]
    if folder is None or not shards:
        return costs
    # Later passes are tried on what the first one left of the same shards: what is dropped across shards, and text
    # that is spread over more of them, they see as though it were not.
    tried = _spread(shards)
    for number, (stage, cost) in enumerate(zip(chain.stages, costs, strict=True)):
        receipts, began = [], time.monotonic()
        for shard in tried:
            receipts.append(_probe(chain, number, shard, folder))
            if time.monotonic() - began > PROBE_SECONDS:
                break
        tried = tried[: len(receipts)]
        scale = total / max(sum(s.bytes for s in tried), 1)
        cost.rows = round(sum(r["read"] for r in receipts) * scale)
        cost.rows_kept = round(sum(r["kept"] for r in receipts) * scale)
        cost.worker_seconds = sum(r["cpu_seconds"] for r in receipts) * scale
        written = sum(r["file_bytes"].get("text", 0) for r in receipts)
        cost.bytes_written = round((written or sum(sum(r["file_bytes"].values()) for r in receipts)) * scale)
        cost.peak_memory = BASE_MEMORY + max(3 * min(r["text_bytes"], 64 << 20) for r in receipts)
        if stage.gathered_by:
            text = sum(r["text_bytes"] for r in receipts)
            for later in costs[number + 1 :]:
                later.shards = len(gathering.partitions(round(text * scale), ""))
            storage.write_json(storage.join(folder, stage.folder, "gathered.json"), [s.name for s in tried])
            # What was tried is gathered into one partition; it stands for the same bytes of input.
            tried = [replace(gathering.partitions(0, "probe")[0], bytes=sum(s.bytes for s in tried))]
    return costs


def _described(chain: Chain, stage: Stage, shards: int, total: int) -> StageCost:
    source = chain.stages[0].source.name()
    reads = (
        source
        if stage.number == 1
        else f"rows of {stage.number - 1}"
        if stage.gathers
        else f"{source} again"
        if stage.text_stage is None
        else f"text of {stage.text_stage}"
    )
    before = chain.boundaries[stage.number - 2] if stage.number > 1 else None
    applied = [f"apply {w.step}" for w in (*before.own, *before.joint)] if before else []
    return StageCost(
        stage.stream,
        stage.number,
        reads,
        [*applied, *(w.step for w in ((stage.gathers,) if stage.gathers else ())), *(w.step for w in stage.steps)],
        [w.step for w in stage.sketches],
        stage.leaves,
        shards,
        total,
    )


def _spread(shards: list[Shard]) -> list[Shard]:
    """A few shards that stand for all: evenly placed in the order of their sizes, the middle ones first."""
    ordered = sorted((s for s in shards if s.bytes), key=lambda s: (s.bytes, s.name)) or shards
    count = min(PROBE_SHARDS, len(ordered))
    chosen = [ordered[(2 * n + 1) * len(ordered) // (2 * count)] for n in range(count)]
    return sorted(chosen, key=lambda s: abs(ordered.index(s) - len(ordered) // 2))


def _probe(chain: Chain, number: int, shard: Shard, folder: str) -> dict[str, Any]:
    """The receipt of a shard in one of the passes, which reads what the pass before left of the probe."""
    stage = chain.stages[number]
    places = {s.number: storage.join(folder, s.folder) for s in chain.stages}
    before = places[stage.number - 1] if number else None
    text = places[stage.text_stage] if stage.text_stage is not None and not stage.gathers else None
    task = Task(stage, shard, places[stage.number], "probe")
    task = replace(task, gathers=before) if stage.gathers else replace(task, before=before, text=text)
    return run_shard(task)


def save(cost: Cost, out: str) -> None:
    """Leaves the estimate where the run will be, so that its report can be compared with it."""
    storage.write_json(storage.join(out, "plan.json"), cost.as_json())


def saved(out: str, plan: Plan) -> dict[str, Any] | None:
    """The estimate that was left for a run of this plan, or None."""
    url = storage.join(out, "plan.json")
    if not storage.exists(url):
        return None
    cost = storage.read_json(url)
    return cost if cost.get("fingerprints") == _fingerprints(plan) else None


def _fingerprints(plan: Plan) -> list[str]:
    return [chain.stages[-1].fingerprint for chain in plan.chains]


def describe(plan: Plan, cost: Cost) -> str:
    """The plan and its cost for people: the passes with their steps and shards, then the totals."""
    lines = [f"{plan.recipe.name}: {len(cost.stages)} passes, {cost.workers} workers", ""]
    for stage in cost.stages:
        lines.append(f"{stage.stream} {stage.number}  {stage.reads}  ({stage.shards:,} shards)")
        lines += _wrapped([*stage.steps, *(f"sketch {s}" for s in stage.sketches)])
        told = f"      {_LEAVES[stage.leaves]}"
        if cost.probed:
            told += (
                f"; {stage.rows:,} rows, {size(stage.bytes_written)}, {stage.worker_seconds:.1f} s of one core, "
                f"{size(stage.peak_memory)} a worker"
            )
        lines.append(told)
    for job in plan.jobs:
        lines.append(f"then  {job.name}")
        lines += [f"      {line}" for line in cost.bills.get(job.name, ())]
    lines += ["", *(left.told() for left in plan.recipe.skipped)] if plan.recipe.skipped else []
    boundaries = [s for stage in cost.stages for s in stage.sketches]
    if boundaries:
        lines += ["", f"global: {', '.join(boundaries)}; partitions of at most {PARTITION_KEYS:,} keys"]
    lines.append("")
    if cost.probed:
        lines.append(
            f"about {cost.rows:,} documents, {size(cost.input_bytes)} of input, {size(cost.bytes_written)} of "
            f"documents, {size(cost.peak_memory)} a worker, {_span(cost.seconds)}"
        )
    else:
        lines.append(f"{size(cost.input_bytes)} of input (not probed)")
    return "\n".join(lines)


def _span(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _wrapped(steps: list[str], width: int = 100) -> list[str]:
    lines, line = [], "      "
    for n, step in enumerate(steps):
        piece = step if n == 0 else f" > {step}"
        if len(line) + len(piece) > width:
            lines.append(line)
            line = "        "
        line += piece
    return [*lines, line] if steps else []
