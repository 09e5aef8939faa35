"""Rows become documents: those that a source reads, and those that an op gathers from what a stage left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine import gathering, storage
from engine.columns import nulls, one_array
from engine.digest import document_lanes, hexes, without_markup
from engine.errors import EngineError
from engine.losses import FORGOTTEN, ShardLosses, failing
from engine.op import Batch, Gather, Losses, Op
from engine.receipt import Receipt, StepCount
from engine.schema import DOCUMENT, SOURCE_COLUMNS, TEXT
from engine.stage import Task


class NewDocuments:
    """The documents of a shard that no stage has seen yet, each with its place and its id for life."""

    def __init__(self, task: Task, receipt: Receipt, losses: ShardLosses) -> None:
        self.task, self.stage, self.receipt, self.losses = task, task.stage, receipt, losses
        self.lanes: list[Any] = []
        """The ids of all rows of the source, as numbers."""

    def from_source(self) -> Iterator[tuple[Any, Batch]]:
        """Batches of what the source reads, without rows that an earlier row repeats and those to be forgotten."""
        source, lost, step = self.stage.source, Losses(), self.stage.source.name()
        count, at = self.receipt.step(step, step), 0
        repeated = np.array(self.task.repeated, np.int64)
        forgets = [self.task.forgotten] if self.task.forgotten else []
        clock = time.thread_time()
        for raw in source.read(self.task.shard, lost):
            if self.task.limit is not None:
                raw = raw.slice(0, max(0, self.task.limit - at))
            batch, lanes = self._made(raw, source)
            self.lanes.append(lanes)
            positions = np.arange(at, at + batch.num_rows)
            at += batch.num_rows
            again, forgotten = np.isin(positions, repeated), failing(batch, forgets)
            if again.any():
                self._drop_repeated(batch, count, again)
            self.losses.drop(batch, count, np.flatnonzero(forgotten & ~again), FORGOTTEN, silent=True)
            gone = again | forgotten
            if gone.any():
                batch, positions = batch.filter(pa.array(~gone)), positions[~gone]
            count.seconds += time.thread_time() - clock
            yield positions, batch
            clock = time.thread_time()
            if self.task.limit is not None and at >= self.task.limit:
                break
        count.seconds += time.thread_time() - clock
        self.losses.enter_source(lost, count)
        count.noted = dict(sorted(lost.noted.items()))
        self.receipt.read = count.rows = at + len(lost.dropped) + len(lost.quarantined)

    def _drop_repeated(self, batch: Batch, count: StepCount, again: Any) -> None:
        private = self.losses.are_private(batch)
        for rows, silent in ((again & private, True), (again & ~private, False)):
            own = batch.column("id").filter(pa.array(rows))
            self.losses.drop(batch, count, np.flatnonzero(rows), "repeated", own, silent)

    def gathered(self, folder: str) -> Iterator[tuple[Any, Batch]]:
        """Documents made of a partition's rows; born is how many more they are than the rows: below none, mostly."""
        assert self.stage.gathers is not None
        work, clock = self.stage.gathers, time.thread_time()
        op = work.op
        assert isinstance(op, Gather)
        count, at = self.receipt.step(work.step, op.name()), 0
        shards = storage.read_json(storage.join(folder, "gathered.json"))
        table = gathering.read_partition(folder, shards, op, self.task.shard.at)
        self.receipt.read = count.rows = table.num_rows
        for edges, rows in gathering.grouped(table, op):
            for first, made in self._gather(op, count, edges, rows):
                batch, _ = self._made(made, op)
                count.born += batch.num_rows - int(edges[first + made.num_rows] - edges[first])
                for name in (n for n, kind in op.contract.writes.items() if pa.types.is_boolean(kind)):
                    found = int(pc.sum(batch.column(name)).as_py() or 0)
                    count.noted[name] = count.noted.get(name, 0) + found
                count.seconds += time.thread_time() - clock
                yield np.arange(at, at + batch.num_rows), batch
                clock, at = time.thread_time(), at + batch.num_rows

    def _gather(self, op: Gather, count: StepCount, edges: Any, rows: Batch) -> Iterator[tuple[int, Batch]]:
        """The documents of runs of groups, each with its first; a group on which the op raises is set aside."""
        todo = [(0, len(edges) - 1)]
        while todo:
            lo, hi = todo.pop()
            first, part = int(edges[lo]), rows.slice(int(edges[lo]), int(edges[hi] - edges[lo]))
            try:
                made = op.run(edges[lo : hi + 1] - first, part)
            except (EngineError, MemoryError):
                raise
            except Exception as error:  # whatever an op raises belongs to the rows
                if hi - lo > 1:
                    middle = (lo + hi) // 2
                    todo += [(middle, hi), (lo, middle)]
                    continue
                self.losses.set_aside_rows(count, part.select(["id"]), error)
                continue
            yield lo, made

    def _made(self, raw: Batch, op: Op) -> tuple[Batch, Any]:
        """The rows as documents, and their ids as numbers."""
        content, marked = without_markup(plain_text(one_array(raw.column("content"))))
        self.receipt.markup_replaced += marked
        given = {n: plain_text(raw.column(n)) for n in SOURCE_COLUMNS if n in raw.schema.names and n != "content"}
        absent = {f.name: nulls(raw.num_rows, f.type) for f in DOCUMENT if f.name not in given}
        parts = [given[n] if n in given else absent[n] for n in ("repo_name", "revision_id", "path")]
        lanes = document_lanes(self.stage.stream, [*parts, content])
        own = {
            "id": hexes(lanes),
            "stream": pa.repeat(pa.scalar(self.stage.stream, TEXT), raw.num_rows),
            "content": content,
            "length_bytes": lengths(content),
        }
        columns = absent | given | own
        arrays = {f.name: columns[f.name].cast(f.type) for f in DOCUMENT}
        for name, kind in op.contract.writes.items():
            if name not in DOCUMENT.names:
                column = one_array(raw.column(name)) if name in raw.schema.names else nulls(raw.num_rows, kind)
                arrays[name] = without_markup(column)[0] if kind == TEXT else column
        self.receipt.text_bytes += int(pc.sum(own["length_bytes"]).as_py() or 0)
        return pa.RecordBatch.from_pydict(arrays), lanes


def lengths(text: Any) -> pa.Array:
    """The bytes of each text."""
    return pc.binary_length(text).cast(pa.int64())


def plain_text(column: pa.Array) -> pa.Array:
    """A column as a source yields it, with text of the engine's type and without a dictionary."""
    if isinstance(column, pa.DictionaryArray):
        column = column.dictionary_decode()
    return column.cast(TEXT) if pa.types.is_string(column.type) else column
