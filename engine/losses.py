"""What a shard loses: rows that are dropped, each with its reason, and those that are set aside as broken.

Every one has its row in the ledger or in quarantine. Of a document that is to be forgotten, no row tells more than id
and reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.columns import nulls, one_array
from engine.digest import document_ids
from engine.op import Batch, Filter, Ledger, Losses, Reasons, with_columns
from engine.receipt import Receipt, StepCount
from engine.samples import Samples
from engine.schema import QUARANTINE, TEXT
from engine.stage import Task, Work

FORGOTTEN = "forgotten"
"""The reason of documents that `engine forget` removed, and what stands for an error that tells of one."""
_NAMES = ("id", "path", "repo_name")


@dataclass(frozen=True)
class Dropped:
    """Rows of a batch that a step drops, each with the place of its reason among `names`."""

    step: str
    rows: Any
    names: list[str]
    codes: Any
    score: pa.Array | None = None
    of: pa.Array | None = None
    silent: bool = False
    """Whether nothing is entered that tells more of a document than its id and the reason."""


class ShardLosses:
    """The rows of a shard that a stage does not keep: their ledger, the quarantine, the samples of their text."""

    def __init__(self, task: Task, receipt: Receipt) -> None:
        stage = task.stage
        self.stream, self.receipt = stage.stream, receipt
        self.ledger = Ledger(stage.stream)
        self.samples = Samples(stage.stream, stage.seed)
        self._quarantine: list[dict[str, Any]] = []
        self._waiting: list[Dropped] = []
        """What filters dropped of the batch at hand and is not entered yet."""
        own = [w.op for w in stage.steps if isinstance(w.op, Filter) and w.op.forgets]
        self._private: list[Filter] = [*([task.forgotten] if task.forgotten else []), *own]
        """Filters of whose documents nothing stays, whatever these are dropped for at the source."""

    def tables(self) -> dict[str, pa.Table]:
        """What was lost, as the files of these names have it."""
        return {
            "ledger": self.ledger.table(),
            "quarantine": pa.Table.from_pylist(self._quarantine, QUARANTINE),
            "samples": self.samples.table(),
        }

    # --- dropped ---

    def fail(self, work: Work, count: StepCount, lost: Any, codes: Any, verdict: Reasons[Any], first: int) -> None:
        """Counts the rows that a filter drops, which begin at row `first` of the batch; `enter` enters them."""
        names = list(verdict.checks)
        for code, number in enumerate(np.bincount(codes, minlength=len(names)).tolist()):
            count.drop(names[code], number)
        silent, rows = isinstance(work.op, Filter) and work.op.forgets, pa.array(lost)
        of = verdict.of().take(rows) if verdict.names_causes() else None
        self._waiting.append(Dropped(work.step, first + lost, names, codes, verdict.score().take(rows), of, silent))

    def enter(self, batch: Batch) -> None:
        """Enters what filters have dropped of a batch since its rows last changed: once a batch, not once a filter."""
        if self._waiting:
            self._enter(batch, *self._waiting)
            self._waiting.clear()

    def drop(
        self, batch: Batch, count: StepCount, rows: Any, why: str, of: pa.Array | None = None, silent: bool = False
    ) -> None:
        """Enters and counts rows of a batch that are dropped for one reason."""
        if len(rows):
            self._enter(batch, Dropped(count.step, rows, [why], np.zeros(len(rows), np.int64), None, of, silent))
            count.drop(why, len(rows))

    def drop_by_verdicts(self, batch: Batch, count: StepCount, rows: Any, verdicts: pa.Table) -> None:
        """Enters and counts rows of a batch that a global op drops, each with its verdict."""
        reason, score, of = (one_array(verdicts.column(n)) for n in ("reason", "score", "of"))
        whys: Any = reason.dictionary_encode()
        self._enter(batch, Dropped(count.step, rows, whys.dictionary.to_pylist(), whys.indices.to_numpy(), score, of))
        found: Any = pc.value_counts(reason)
        for item in found.to_pylist():
            count.drop(item["values"], item["counts"])

    def _enter(self, batch: Batch, *lost: Dropped) -> None:
        """Enters rows of a batch in the ledger, with a reason, score and cause for each, and samples their text."""
        rows = np.concatenate([each.rows for each in lost])
        sizes = [len(each.rows) for each in lost]
        keys = [(each.step, name) for each in lost for name in each.names]
        firsts = np.cumsum([0, *(len(each.names) for each in lost[:-1])])
        codes = np.concatenate([each.codes + first for each, first in zip(lost, firsts, strict=True)])
        silent = np.repeat([each.silent for each in lost], sizes)
        taken = pa.array(rows, pa.int64())
        known = pa.RecordBatch.from_arrays([batch.column(n).take(taken) for n in _NAMES], names=list(_NAMES))
        ids = known.column("id")
        if silent.any():
            known = _hidden(known, silent)
        place = pa.array(codes, pa.int64())
        steps, reasons = (pa.array([key[part] for key in keys], TEXT).take(place) for part in (0, 1))
        score = _stacked([each.score for each in lost], sizes, pa.float64())
        self.ledger.enter(steps, known, reasons, score, _stacked([each.of for each in lost], sizes, TEXT))
        self.samples.offer(batch, rows, ids, keys, codes, score, ~silent)

    # --- set aside ---

    def set_aside(self, count: StepCount, name: str, path: str | None, repo_name: str | None, error: str) -> None:
        """Puts a document into quarantine."""
        count.quarantined += 1
        where = {"id": name, "path": path, "repo_name": repo_name, "stream": self.stream}
        self._quarantine.append(where | {"step": count.step, "error": error})

    def set_aside_rows(self, count: StepCount, rows: Batch, error: Exception) -> None:
        """Puts rows into quarantine on which an op raised, with path and repository where they have such columns."""
        self.receipt.op_errors += 1
        told = f"{type(error).__name__}: {error}"[:2000]
        for row in rows.to_pylist():
            self.set_aside(count, row["id"], row.get("path"), row.get("repo_name"), told)

    # --- what a source loses ---

    def enter_source(self, losses: Losses, count: StepCount) -> None:
        """Enters what a source could not turn into documents."""
        if losses.dropped:
            rows, batch = losses.dropped, self._named(losses.dropped)
            reason = pa.array([r["reason"] for r in rows], TEXT)
            self.ledger.drop(count.step, batch, reason, pa.array([r["score"] for r in rows], pa.float64()))
            for row in rows:
                count.drop(row["reason"])
        if losses.quarantined:
            rows, batch = losses.quarantined, self._named(losses.quarantined)
            for row, known in zip(rows, batch.to_pylist(), strict=True):
                # An error tells of the path.
                private = (known["path"], known["repo_name"]) != (row["path"], row["repo_name"])
                error = FORGOTTEN if private else row["error"]
                self.set_aside(count, known["id"], known["path"], known["repo_name"], error)

    def _named(self, rows: list[dict[str, Any]]) -> Batch:
        """Files that became no documents, with ids that they have in place of those of their text."""
        columns = {k: pa.array([r.get(k) for r in rows], TEXT) for k in ("path", "repo_name")}
        size = pa.array([str(r.get("score")) for r in rows], TEXT)
        ids = document_ids(self.stream, [columns["repo_name"], columns["path"], size])
        batch = pa.RecordBatch.from_pydict({"id": ids, "path": columns["path"], "repo_name": columns["repo_name"]})
        return _hidden(batch, self.are_private(batch))

    def are_private(self, batch: Batch) -> Any:
        """Which rows are of documents of which nothing stays."""
        return failing(batch, self._private)


def failing(batch: Batch, filters: Sequence[Filter]) -> Any:
    """Which rows any of the filters would drop."""
    failed = np.zeros(batch.num_rows, bool)
    for op in filters:
        failed |= op.judge(batch)[1].codes() >= 0
    return failed


def _stacked(columns: list[pa.Array | None], sizes: list[int], kind: pa.DataType) -> pa.Array:
    """The columns under one another, nulls in place of those that are not there."""
    parts = [nulls(n, kind) if c is None else c.cast(kind) for c, n in zip(columns, sizes, strict=True)]
    return pa.concat_arrays([one_array(part) for part in parts])


def _hidden(batch: Batch, rows: Any) -> Batch:
    """The batch without the path and repository of these rows."""
    nothing, mask = pa.scalar(None, TEXT), pa.array(rows)
    return with_columns(batch, {n: pc.if_else(mask, nothing, batch.column(n)) for n in ("path", "repo_name")})
