"""What the driver tells a worker: the steps of one pass, and the shards to be run through them."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from engine import storage
from engine.op import Filter, Op, Shard, Source


@dataclass(frozen=True)
class Work:
    """An op at its place in a stage, under the step's name in ledger and report."""

    step: str
    op: Op


@dataclass(frozen=True)
class Stage:
    """Steps that run on a shard while it is in memory.

    `leaves` says what the stage writes: `rows` (the roll and sketches, no text: the next pass reads the text from the
    source again), `text` (the text too, for the next pass), `runs` (sorted rows, which the next pass gathers) or
    `documents` (the end).
    """

    number: int
    stream: str
    source: Source
    seed: int
    steps: tuple[Work, ...]
    sketches: tuple[Work, ...]
    leaves: str
    text_stage: int | None
    """The number of the earlier stage that left the text; None where it comes from the source."""
    extra: pa.Schema
    """Columns that maps write beyond those of every document."""
    fingerprint: str
    gathers: Work | None = None
    """The op that makes this stage's documents of what the stage before left as runs."""
    gathered_by: Work | None = None
    """The op for which this stage leaves runs."""

    @property
    def folder(self) -> str:
        """The name of the stage's folder under `stages/`."""
        return f"{self.stream}-{self.number:02}-{self.fingerprint[:12]}"


@dataclass(frozen=True)
class Task:
    """A shard to be run through a stage, and where its input and output lie."""

    stage: Stage
    shard: Shard
    out: str
    """The stage's folder."""
    fingerprint: str
    before: str | None = None
    """The folder of the stage before, which holds the shard's roll."""
    text: str | None = None
    """The folder of the stage that left the text, where one did."""
    verdicts: str | None = None
    """The file of the rows that global ops dropped since."""
    repeated: tuple[int, ...] = ()
    """Rows of the source whose id an earlier row has."""
    forgotten: Filter | None = None
    """Fails what `engine forget` has removed from the run, so that it does not come back."""
    rules: tuple[Work, ...] = ()
    """What global ops decided as a rule since the pass before, to be carried out first."""
    limit: int | None = None
    gathers: str | None = None
    """The folder of the stage before, whose runs the stage gathers."""

    def url(self, kind: str, ending: str = "parquet") -> str:
        """Where the shard's file of a kind (`roll`, `ledger`, `text` …) lies in the stage's folder."""
        return storage.join(self.out, kind, f"{self.shard.name}.{ending}")
