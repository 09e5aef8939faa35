"""One pass over one shard: what a worker does.

A batch of documents goes through the steps of the stage while it is in memory. Rows that a step drops stay in the
batch, marked dead, until a step changes text or looks at single rows: so every measure is known of every document
read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.compiling import compile_kernels
from engine.documents_again import DocumentsAgain
from engine.errors import EngineError
from engine.losses import ShardLosses
from engine.new_documents import NewDocuments, lengths
from engine.op import Batch, Filter, Global, Map, Measure, Op, as_column, read_columns, with_columns
from engine.receipt import Receipt, StepCount
from engine.roll import Roll, volumes
from engine.schema import TEXT_ROW
from engine.shard_files import ShardFiles
from engine.stage import Task, Work


def run_shard(task: Task) -> dict[str, Any]:
    """The receipt of a shard that has been run: counts, files with their bytes, seconds; its files lie in the stage."""
    stage = task.stage
    compile_kernels([work.op for work in (*stage.steps, *stage.sketches)])
    return _ShardRun(task).run()


class _ShardRun:
    def __init__(self, task: Task) -> None:
        self.task, self.stage = task, task.stage
        self.receipt, self.roll = Receipt(task), Roll(task.stage)
        self.losses = ShardLosses(task, self.receipt)
        self.new = NewDocuments(task, self.receipt, self.losses)
        self.sketches: dict[str, list[Batch]] = {work.step: [] for work in self.stage.sketches}

    def run(self) -> dict[str, Any]:
        files = ShardFiles(self.task)
        files.write_kept(self._kept())
        roll = self.roll.table()
        kept = roll.filter(roll.column(TEXT_ROW).is_valid())
        files.write_roll(roll)
        files.write_tables(self.losses.tables())
        for work in self.stage.sketches:
            files.write_sketches(work, self.sketches[work.step])
        if not self.task.before and not self.task.gathers:
            files.write_ids(self.new.lanes)
        return self.receipt.write(files.urls, {"languages": volumes(roll), "languages_kept": volumes(kept)})

    def _documents(self) -> Iterator[tuple[Any, Batch]]:
        if self.task.gathers:
            return self.new.gathered(self.task.gathers)
        if self.task.before:
            return DocumentsAgain(self.task, self.receipt, self.losses).kept_before(self.task.before)
        return self.new.from_source()

    def _kept(self) -> Iterator[Batch]:
        """The batches that the stage keeps, after all steps, with their sketches taken."""
        for positions, batch in self._documents():
            positions, batch, alive = self._through_steps(positions, batch)
            whole = bool(alive.all())
            count, begin = batch.num_rows if whole else int(alive.sum()), self.receipt.kept
            # Where the text stays at the source, its rows are the source's.
            rows = np.arange(begin, begin + count) if self.stage.leaves != "rows" else positions[alive]
            self.roll.enter(positions, batch, alive, rows)
            kept = batch if whole else batch.filter(pa.array(alive))
            self._sketch(kept, rows)
            self.receipt.kept += count
            yield kept

    def _sketch(self, kept: Batch, rows: Any) -> None:
        for work in self.stage.sketches:
            assert isinstance(work.op, Global)
            count, clock = self.receipt.step(work.step, work.op.name()), time.thread_time()
            answer = work.op.sketch(*read_columns(work.op, kept))
            columns = {n: as_column(answer[n], kind) for n, kind in work.op.contract.writes.items()}
            columns |= {"id": kept.column("id"), "row": pa.array(rows, pa.int64())}
            self.sketches[work.step].append(pa.RecordBatch.from_pydict(columns))
            count.rows += kept.num_rows
            count.seconds += time.thread_time() - clock

    # --- steps ---

    def _through_steps(self, positions: Any, batch: Batch) -> tuple[Any, Batch, Any]:
        alive = np.ones(batch.num_rows, bool)
        for work in (*self.task.rules, *self.stage.steps):
            op, clock = work.op, time.thread_time()
            count = self.receipt.step(work.step, op.name())
            if not _takes_all(op) and not alive.all():
                self.losses.enter(batch)
                dead = ~alive
                self.roll.enter(positions[dead], batch.filter(pa.array(dead)), alive[dead], None)
                positions, batch, alive = positions[alive], batch.filter(pa.array(alive)), alive[alive]
            count.rows += int(alive.sum())
            before = batch
            if isinstance(op, Filter):
                batch, positions, alive = self._filter(work, count, positions, batch, alive)
            elif isinstance(op, Map):
                batch, positions, alive = self._map(work, count, positions, batch, alive)
            if batch.num_rows != before.num_rows:
                self.losses.enter(before)
            count.seconds += time.thread_time() - clock
        self.losses.enter(batch)
        return positions, batch, alive

    def _filter(self, work: Work, count: StepCount, positions: Any, batch: Batch, alive: Any) -> tuple[Batch, Any, Any]:
        assert isinstance(work.op, Filter)
        parts, ok = [], []
        for lo, piece in self._guarded(work, count, batch, alive, work.op.judge):
            written, verdict = piece
            rows, codes = np.arange(lo, lo + written.num_rows), verdict.codes()
            codes[~alive[rows]] = -1
            lost = np.flatnonzero(codes >= 0)
            if len(lost):
                self.losses.fail(work, count, lost, codes[lost], verdict, lo)
                alive[lo + lost] = False
                if work.op.forgets:
                    written, rows = written.filter(pa.array(codes < 0)), rows[codes < 0]
            parts.append(written)
            ok.append(rows)
        return _joined(parts, ok, positions, batch, alive)

    def _map(self, work: Work, count: StepCount, positions: Any, batch: Batch, alive: Any) -> tuple[Batch, Any, Any]:
        op = work.op
        assert isinstance(op, Map)
        if isinstance(op, Measure):
            first = {f"~{n}": batch.column(n) for n in op.contract.writes if n in batch.schema.names}
            batch = with_columns(batch, {n: c for n, c in first.items() if n not in batch.schema.names})
        parts, ok = [], []
        for lo, grown in self._guarded(work, count, batch, alive, op.run):
            rows = np.arange(lo, lo + grown.num_rows)
            if op.contract.many:
                own = pc.list_element(pc.split_pattern(grown.column("id"), "#", max_splits=1, reverse=True), 0)
                rows = pc.index_in(own, batch.column("id")).to_numpy()
                gone = np.setdiff1d(np.arange(lo, lo + self._piece), rows)
                count.born += grown.num_rows - (self._piece - len(gone))
                self.losses.drop(batch, count, gone, "nothing_left")
                count.changed += grown.num_rows
            elif "content" in op.contract.writes:
                before = batch.column("content").slice(lo, grown.num_rows)
                count.changed += pc.not_equal(grown.column("content"), before).true_count
            parts.append(grown)
            ok.append(rows)
        batch, positions, alive = _joined(parts, ok, positions, batch, alive)
        if "content" in op.contract.writes:
            batch = with_columns(batch, {"length_bytes": lengths(batch.column("content"))})
        return batch, positions, alive

    def _guarded(self, work: Work, count: StepCount, batch: Batch, alive: Any, call: Any) -> Iterator[tuple[int, Any]]:
        """The op's answers for runs of rows; a document on which it raises is found by halving and set aside."""
        todo = [(0, batch.num_rows)] if batch.num_rows else []
        while todo:
            lo, rows = todo.pop()
            try:
                self._piece = rows
                answer = call(batch if rows == batch.num_rows else batch.slice(lo, rows))
            except (EngineError, MemoryError):
                raise
            except Exception as error:  # whatever an op raises belongs to the document
                if rows > 1:
                    todo += [(lo + rows // 2, rows - rows // 2), (lo, rows // 2)]
                elif alive[lo]:
                    self.losses.set_aside_rows(count, batch.slice(lo, 1).select(["id", "path", "repo_name"]), error)
                    alive[lo] = False
                continue
            yield lo, answer


def _takes_all(op: Op) -> bool:
    """Whether dead rows may pass through the op: it looks at whole columns and leaves the text as it is."""
    return op.contract.columns and "content" not in op.contract.writes and not op.contract.many


def _joined(parts: list[Batch], ok: list[Any], positions: Any, batch: Batch, alive: Any) -> tuple[Batch, Any, Any]:
    """Parts of a batch as one, with the places and fates of their rows; rows in no part are in quarantine."""
    if len(parts) == 1 and len(ok[0]) == batch.num_rows and parts[0].num_rows == batch.num_rows:
        return parts[0], positions, alive
    if not parts:
        none = np.zeros(0, np.int64)
        return batch.slice(0, 0), positions[none], alive[none]
    order = sorted(range(len(parts)), key=lambda n: ok[n][0] if len(ok[n]) else -1)
    rows = np.concatenate([ok[n] for n in order])
    whole = pa.Table.from_batches([parts[n] for n in order]).combine_chunks().to_batches()
    joined = whole[0] if whole else parts[0]
    return joined, positions[rows], alive[rows]
