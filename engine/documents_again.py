"""Documents that an earlier pass kept: their text once more, joined with what the roll says of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine import storage
from engine.columns import one_array
from engine.digest import without_markup
from engine.errors import RunError
from engine.losses import ShardLosses
from engine.new_documents import plain_text
from engine.op import Batch, Losses
from engine.receipt import Receipt
from engine.schema import DOCUMENT, TEXT_ROW
from engine.stage import Task


class DocumentsAgain:
    """The documents of a shard that the stage before kept, less those that global ops dropped since."""

    def __init__(self, task: Task, receipt: Receipt, losses: ShardLosses) -> None:
        self.task, self.receipt, self.losses = task, receipt, losses

    def kept_before(self, folder: str) -> Iterator[tuple[Any, Batch]]:
        """Batches with the places of their documents, from the folder of the stage before.

        Raises RunError where the source no longer has them.
        """
        shard = self.task.shard.name
        roll = storage.read_parquet(storage.join(folder, "roll", f"{shard}.parquet"))
        roll = roll.filter(roll.column(TEXT_ROW).is_valid()).combine_chunks()
        where = roll.column(TEXT_ROW).to_numpy()
        count = self.receipt.step("text", "text")
        self.receipt.read = count.rows = len(where)
        verdicts = storage.read_parquet(self.task.verdicts) if self.task.verdicts else None
        clock, at, met = time.thread_time(), 0, 0
        for texts in _texts(self.task, None, roll.schema.names):
            lo, hi = np.searchsorted(where, [at, at + texts.num_rows])
            wanted = where[lo:hi] - at
            at += texts.num_rows
            met += hi - lo
            if len(wanted) < texts.num_rows:
                texts = texts.take(pa.array(wanted, pa.int64()))
            batch = _joined(roll.slice(lo, hi - lo).drop_columns([TEXT_ROW]), texts)
            self.receipt.text_bytes += int(pc.sum(batch.column("length_bytes")).as_py() or 0)
            count.seconds += time.thread_time() - clock
            yield self._judged(where[lo:hi], batch, verdicts)
            clock = time.thread_time()
        if met != len(where):
            raise RunError(f"{shard}: the input changed while the run was under way; run again")

    def _judged(self, positions: Any, batch: Batch, verdicts: pa.Table | None) -> tuple[Any, Batch]:
        """The documents of a batch that no verdict drops."""
        if verdicts is None or not batch.num_rows:
            return positions, batch
        lo, hi = np.searchsorted(verdicts.column("row").to_numpy(), [positions[0], positions[-1] + 1])
        lost = verdicts.slice(lo, hi - lo)
        if not lost.num_rows:
            return positions, batch
        place = np.searchsorted(positions, lost.column("row").to_numpy())
        steps = np.array(lost.column("step").to_pylist(), object)
        for step in dict.fromkeys(steps.tolist()):
            mine = np.flatnonzero(steps == step)
            part = lost.take(pa.array(mine, pa.int64()))
            self.losses.drop_by_verdicts(batch, self.receipt.step(step, step), place[mine], part)
        alive = np.ones(batch.num_rows, bool)
        alive[place] = False
        return positions[alive], batch.filter(pa.array(alive))


def _joined(meta: pa.Table, texts: Batch) -> Batch:
    """What the roll says of documents beside their text; the columns of every document come first."""
    columns = {n: one_array(meta.column(n)) for n in meta.schema.names}
    columns |= {n: texts.column(n) for n in texts.schema.names}
    names = [n for n in DOCUMENT.names if n in columns]
    names += [n for n in columns if n not in names]
    return pa.RecordBatch.from_arrays([columns[n] for n in names], names=names)


@dataclass(frozen=True)
class ShardText:
    """Reads the text that a task would read, as columns in the order of its rows."""

    task: Task

    def __call__(self) -> Iterator[pa.Array]:
        for batch in _texts(self.task, ["content"]):
            yield batch.column("content")


def _texts(task: Task, columns: list[str] | None, known: Sequence[str] = ()) -> Iterator[Batch]:
    """The text, and all that lies beside it but the columns known, of every row that the pass before saw."""
    if task.text is None:
        for raw in task.stage.source.read(task.shard, Losses(), frozenset(["content"])):
            content, _ = without_markup(plain_text(one_array(raw.column("content"))))
            yield pa.RecordBatch.from_arrays([content], names=["content"])
        return
    with storage.open_read(storage.join(task.text, "text", f"{task.shard.name}.parquet")) as file:
        parquet = pq.ParquetFile(file, pre_buffer=False)
        columns = columns or [n for n in parquet.schema_arrow.names if n not in known]
        for group in range(parquet.num_row_groups):
            yield from parquet.read_row_group(group, columns=columns, use_threads=False).to_batches()
