"""One pass over one shard: what a worker does.

A batch of documents goes through the steps of the stage while it is in memory. Rows that a step drops stay in the
batch, marked dead, until a step changes text or looks at single rows: so every measure is known of every document
read. The roll of the shard (all columns but the text, all documents) is what `measures/`, `why` and `whatif` show and
what the next pass starts from.
"""

from __future__ import annotations

import io
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine import gathering, storage
from engine.columns import nulls, one_array
from engine.compiling import compile_kernels
from engine.digest import chances, document_ids, document_lanes, hexes, without_markup
from engine.errors import EngineError, RunError
from engine.op import (
    Batch,
    Filter,
    Gather,
    Global,
    Ledger,
    Losses,
    Map,
    Measure,
    Op,
    Reasons,
    Shard,
    Source,
    as_column,
    read_columns,
    with_columns,
)
from engine.schema import DOCUMENT, QUARANTINE, ROLL, SAMPLE, SOURCE_COLUMNS, TEXT, TEXT_ROW
from engine.sketches import write_sketch

ROW_GROUP_BYTES = 16 << 20
"""Text of a row group in what a stage writes: batches smaller than this are joined."""
SAMPLES = 50
"""Dropped documents a reason whose text is kept (decision 1)."""
SAMPLE_CHARACTERS = 4000
"""Characters of such a text that are kept."""
FORGOTTEN = "forgotten"
"""The reason of documents that `engine forget` removed, and what stands for an error that tells of one."""
_NAMES = ("id", "path", "repo_name")
_PLAIN = ("content", "id", "path")
"""Columns whose values hardly repeat: a dictionary would only cost."""


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


@dataclass
class StepCount:
    """What a step did to a shard: rows that came, dropped by reason, changed; seconds of CPU."""

    step: str
    op: str
    rows: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    quarantined: int = 0
    born: int = 0
    changed: int = 0
    seconds: float = 0.0
    noted: dict[str, int] = field(default_factory=dict)
    """What was counted besides, by name; nothing is lost by it."""


def run_shard(task: Task) -> dict[str, Any]:
    """The receipt of a shard that has been run: counts, files with their bytes, seconds; its files lie in the stage."""
    stage = task.stage
    compile_kernels([work.op for work in (*stage.steps, *stage.sketches)])
    return _ShardRun(task).run()


@dataclass(frozen=True)
class ShardText:
    """Reads the text that a task would read, as columns in the order of its rows."""

    task: Task

    def __call__(self) -> Iterator[pa.Array]:
        for batch in _ShardRun(self.task).texts_again(["content"]):
            yield batch.column("content")


def receipt_url(folder: str, shard: str) -> str:
    """Where the receipt of a shard lies in a stage's folder."""
    return storage.join(folder, "receipts", f"{shard}.json")


@dataclass(frozen=True)
class _Lost:
    """Rows of a batch that a step drops, each with the place of its reason among `names`."""

    step: str
    rows: Any
    names: list[str]
    codes: Any
    score: pa.Array | None = None
    of: pa.Array | None = None
    silent: bool = False


class _ShardRun:
    def __init__(self, task: Task) -> None:
        self.task, self.stage, self.shard = task, task.stage, task.shard
        self.ledger = Ledger(self.stage.stream)
        self.quarantine: list[dict[str, Any]] = []
        self.op_errors = 0
        self.counts: dict[str, StepCount] = {}
        self.samples: dict[tuple[str, str], list[Any]] = {}
        self.lost: list[_Lost] = []
        """What filters dropped of the batch at hand and is not entered yet."""
        self.sampled: dict[tuple[str, str], float] = {}
        """Of each step and reason that has its samples, the draw below which a document still becomes one."""
        self.roll: list[tuple[Any, Batch]] = []
        self.sketches: dict[str, list[Batch]] = {work.step: [] for work in self.stage.sketches}
        self.lanes: list[Any] = []
        self.languages: dict[str, list[int]] = {}
        self.languages_kept: dict[str, list[int]] = {}
        self.read = self.kept = self.text_bytes = self.marked = 0
        self._forgotten = [task.forgotten] if task.forgotten else []
        own = [w.op for w in self.stage.steps if isinstance(w.op, Filter) and w.op.forgets]
        self._private: list[Filter] = [*self._forgotten, *own]
        """Filters of whose documents nothing stays, whatever these are dropped for at the source."""
        self.measured = [n for w in self.stage.steps if isinstance(w.op, Measure) for n in w.op.contract.writes]

    # --- the whole ---

    def run(self) -> dict[str, Any]:
        began, cpu = time.perf_counter(), time.thread_time()
        url = self._url("documents" if self.stage.leaves == "documents" else "text")
        if self.stage.leaves == "rows":
            for _ in self._kept():
                pass
            files = {}
        elif self.stage.leaves == "runs":
            files = self._write_runs()
        else:
            with storage.open_whole(url) as file:
                self._write_documents(file)
            files = {"text": url}
        files |= self._write_tables()
        receipt = {
            "shard": self.shard.name,
            "stream": self.stage.stream,
            "fingerprint": self.task.fingerprint,
            "read": self.read,
            "born": sum(c.born for c in self.counts.values()),
            "kept": self.kept,
            "dropped": sum(sum(c.dropped.values()) for c in self.counts.values()),
            "quarantined": len(self.quarantine),
            "op_errors": self.op_errors,
            "markup_replaced": self.marked,
            "input_bytes": self.shard.bytes,
            "text_bytes": self.text_bytes,
            "steps": [vars(c) for c in self.counts.values()],
            "languages": self.languages,
            "languages_kept": self.languages_kept,
            "files": {k: u.rsplit("/", 1)[-1] for k, u in files.items()},
            "file_bytes": {k: storage.file_info(u).bytes for k, u in files.items()},
            "seconds": round(time.perf_counter() - began, 4),
            "cpu_seconds": round(time.thread_time() - cpu, 4),
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }
        came = self.read + receipt["born"]
        assert came == receipt["kept"] + receipt["dropped"] + receipt["quarantined"], receipt
        storage.write_json(receipt_url(self.task.out, self.shard.name), receipt)
        return receipt

    def _url(self, kind: str, ending: str = "parquet") -> str:
        return storage.join(self.task.out, kind, f"{self.shard.name}.{ending}")

    def _count(self, step: str, op: str) -> StepCount:
        return self.counts.setdefault(step, StepCount(step, op))

    # --- where documents come from ---

    def _kept(self) -> Iterator[Batch]:
        """The batches that the stage keeps, after all steps, with their sketches taken."""
        for positions, batch in self._documents():
            positions, batch, alive = self._through_steps(positions, batch)
            whole = bool(alive.all())
            count = batch.num_rows if whole else int(alive.sum())
            # Where the text stays at the source, its rows are the source's.
            rows = np.arange(self.kept, self.kept + count) if self.stage.leaves != "rows" else positions[alive]
            self._settle(positions, batch, alive, rows)
            kept = batch if whole else batch.filter(pa.array(alive))
            self._sketch(kept, rows)
            self.kept += count
            yield kept

    def _documents(self) -> Iterator[tuple[Any, Batch]]:
        if self.task.gathers:
            return self._gathered(self.task.gathers)
        return self._again() if self.task.before else self._first()

    def _first(self) -> Iterator[tuple[Any, Batch]]:
        source, losses, step = self.stage.source, Losses(), self.stage.source.name()
        count, at = self._count(step, step), 0
        repeated = np.array(self.task.repeated, np.int64)
        clock = time.thread_time()
        for raw in source.read(self.shard, losses):
            if self.task.limit is not None:
                raw = raw.slice(0, max(0, self.task.limit - at))
            batch, lanes = self._as_documents(raw, source)
            self.lanes.append(lanes)
            positions = np.arange(at, at + batch.num_rows)
            at += batch.num_rows
            again, forgotten = np.isin(positions, repeated), self._fails(batch, self._forgotten)
            if again.any():
                private = self._fails(batch, self._private)
                for rows, silent in ((again & private, True), (again & ~private, False)):
                    own = batch.column("id").filter(pa.array(rows))
                    self._leave(step, count, batch, rows, "repeated", own, silent)
            self._leave(step, count, batch, forgotten & ~again, FORGOTTEN, None, True)
            gone = again | forgotten
            if gone.any():
                batch, positions = batch.filter(pa.array(~gone)), positions[~gone]
            count.seconds += time.thread_time() - clock
            yield positions, batch
            clock = time.thread_time()
            if self.task.limit is not None and at >= self.task.limit:
                break
        count.seconds += time.thread_time() - clock
        self._enter_losses(losses, count)
        count.noted = dict(sorted(losses.noted.items()))
        self.read = count.rows = at + len(losses.dropped) + len(losses.quarantined)

    def _leave(
        self, step: str, count: StepCount, batch: Batch, rows: Any, why: str, of: pa.Array | None, silent: bool
    ) -> None:
        """Enters rows that are dropped at the source."""
        lost = np.flatnonzero(rows)
        if len(lost):
            self._drop(batch, _Lost(step, lost, [why], np.zeros(len(lost), np.int64), None, of, silent))
            count.dropped[why] = count.dropped.get(why, 0) + len(lost)

    @staticmethod
    def _fails(batch: Batch, filters: Sequence[Filter]) -> Any:
        """Which rows any of the filters would drop."""
        failed = np.zeros(batch.num_rows, bool)
        for op in filters:
            failed |= op.judge(batch)[1].codes() >= 0
        return failed

    def _as_documents(self, raw: Batch, op: Op) -> tuple[Batch, Any]:
        content, marked = without_markup(_text(one_array(raw.column("content"))))
        self.marked += marked
        given = {n: _text(raw.column(n)) for n in SOURCE_COLUMNS if n in raw.schema.names and n != "content"}
        absent = {f.name: nulls(raw.num_rows, f.type) for f in DOCUMENT if f.name not in given}
        parts = [given[n] if n in given else absent[n] for n in ("repo_name", "revision_id", "path")]
        lanes = document_lanes(self.stage.stream, [*parts, content])
        own = {
            "id": hexes(lanes),
            "stream": pa.repeat(pa.scalar(self.stage.stream, TEXT), raw.num_rows),
            "content": content,
            "length_bytes": _lengths(content),
        }
        columns = absent | given | own
        arrays = {f.name: columns[f.name].cast(f.type) for f in DOCUMENT}
        for name, kind in op.contract.writes.items():
            if name not in DOCUMENT.names:
                column = one_array(raw.column(name)) if name in raw.schema.names else nulls(raw.num_rows, kind)
                arrays[name] = without_markup(column)[0] if kind == TEXT else column
        self.text_bytes += int(pc.sum(own["length_bytes"]).as_py() or 0)
        return pa.RecordBatch.from_pydict(arrays), lanes

    def _enter_losses(self, losses: Losses, count: StepCount) -> None:
        for rows in (losses.dropped, losses.quarantined):
            if not rows:
                continue
            for row in rows:
                row["size"] = str(row.get("score"))
            columns = {k: pa.array([r.get(k) for r in rows], TEXT) for k in ("path", "repo_name", "size")}
            ids = document_ids(self.stage.stream, [columns["repo_name"], columns["path"], columns["size"]])
            batch = pa.RecordBatch.from_pydict({"id": ids, "path": columns["path"], "repo_name": columns["repo_name"]})
            batch = _hidden(batch, self._fails(batch, self._private))
            if rows is losses.quarantined:
                for row, known in zip(rows, batch.to_pylist(), strict=True):
                    # An error tells of the path.
                    private = (known["path"], known["repo_name"]) != (row["path"], row["repo_name"])
                    error = FORGOTTEN if private else row["error"]
                    self._quarantine(count, known["id"], known["path"], known["repo_name"], error)
                continue
            reason = pa.array([r["reason"] for r in rows], TEXT)
            score = pa.array([r["score"] for r in rows], pa.float64())
            self.ledger.drop(count.step, batch, reason, score)
            for row in rows:
                count.dropped[row["reason"]] = count.dropped.get(row["reason"], 0) + 1

    def _gathered(self, folder: str) -> Iterator[tuple[Any, Batch]]:
        """Documents made of a partition's rows; born is how many more they are than the rows: below none, mostly."""
        assert self.stage.gathers is not None
        work, clock = self.stage.gathers, time.thread_time()
        op = work.op
        assert isinstance(op, Gather)
        count, at = self._count(work.step, op.name()), 0
        shards = storage.read_json(storage.join(folder, "gathered.json"))
        table = gathering.read_partition(folder, shards, op, self.shard.at)
        self.read = count.rows = table.num_rows
        for edges, rows in gathering.grouped(table, op):
            for first, made in self._gather(op, count, edges, rows):
                batch, _ = self._as_documents(made, op)
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
                self.op_errors += 1
                ids: list[Any] = part.column("id").to_pylist()
                for name in ids:
                    self._quarantine(count, name, None, None, f"{type(error).__name__}: {error}"[:2000])
                continue
            yield lo, made

    def _again(self) -> Iterator[tuple[Any, Batch]]:
        """Text that an earlier pass kept, joined with what its roll says of the documents."""
        assert self.task.before is not None
        roll = storage.read_parquet(storage.join(self.task.before, "roll", f"{self.shard.name}.parquet"))
        roll = roll.filter(roll.column(TEXT_ROW).is_valid()).combine_chunks()
        where = roll.column(TEXT_ROW).to_numpy()
        self.read = len(where)
        self._count("text", "text").rows = len(where)
        verdicts = storage.read_parquet(self.task.verdicts) if self.task.verdicts else None
        clock, at, met = time.thread_time(), 0, 0
        for texts in self.texts_again(None, roll.schema.names):
            lo, hi = np.searchsorted(where, [at, at + texts.num_rows])
            wanted = where[lo:hi] - at
            at += texts.num_rows
            met += hi - lo
            if len(wanted) < texts.num_rows:
                texts = texts.take(pa.array(wanted, pa.int64()))
            meta = roll.slice(lo, hi - lo).drop_columns([TEXT_ROW])
            columns = {n: one_array(meta.column(n)) for n in meta.schema.names}
            columns |= {n: texts.column(n) for n in texts.schema.names}
            names = [n for n in DOCUMENT.names if n in columns]
            names += [n for n in columns if n not in names]
            batch = pa.RecordBatch.from_arrays([columns[n] for n in names], names=names)
            self.text_bytes += int(pc.sum(batch.column("length_bytes")).as_py() or 0)
            self._count("text", "text").seconds += time.thread_time() - clock
            yield self._apply(where[lo:hi], batch, verdicts)
            clock = time.thread_time()
        if met != len(where):
            raise RunError(f"{self.shard.name}: the input changed while the run was under way; run again")

    def texts_again(self, columns: list[str] | None, known: Sequence[str] = ()) -> Iterator[Batch]:
        """The text, and all that lies beside it but the columns known, of every row that the pass before saw."""
        if self.task.text is None:
            for raw in self.stage.source.read(self.shard, Losses(), frozenset(["content"])):
                content, _ = without_markup(_text(one_array(raw.column("content"))))
                yield pa.RecordBatch.from_arrays([content], names=["content"])
            return
        with storage.open_read(storage.join(self.task.text, "text", f"{self.shard.name}.parquet")) as file:
            parquet = pq.ParquetFile(file, pre_buffer=False)
            columns = columns or [n for n in parquet.schema_arrow.names if n not in known]
            for group in range(parquet.num_row_groups):
                yield from parquet.read_row_group(group, columns=columns, use_threads=False).to_batches()

    def _apply(self, positions: Any, batch: Batch, verdicts: pa.Table | None) -> tuple[Any, Batch]:
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
            reason, score, of = (one_array(part.column(n)) for n in ("reason", "score", "of"))
            whys: Any = reason.dictionary_encode()
            codes = whys.indices.to_numpy()
            self._drop(batch, _Lost(step, place[mine], whys.dictionary.to_pylist(), codes, score, of))
            count = self._count(step, step)
            found: Any = pc.value_counts(reason)
            for item in found.to_pylist():
                count.dropped[item["values"]] = count.dropped.get(item["values"], 0) + item["counts"]
        alive = np.ones(batch.num_rows, bool)
        alive[place] = False
        return positions[alive], batch.filter(pa.array(alive))

    # --- steps ---

    def _through_steps(self, positions: Any, batch: Batch) -> tuple[Any, Batch, Any]:
        alive = np.ones(batch.num_rows, bool)
        for work in (*self.task.rules, *self.stage.steps):
            op, clock = work.op, time.thread_time()
            count = self._count(work.step, op.name())
            if not self._takes_all(op) and not alive.all():
                self._enter_lost(batch)
                dead = ~alive
                self._settle(positions[dead], batch.filter(pa.array(dead)), alive[dead], None)
                positions, batch, alive = positions[alive], batch.filter(pa.array(alive)), alive[alive]
            count.rows += int(alive.sum())
            before = batch
            if isinstance(op, Filter):
                batch, positions, alive = self._filter(work, count, positions, batch, alive)
            elif isinstance(op, Map):
                batch, positions, alive = self._map(work, count, positions, batch, alive)
            if batch.num_rows != before.num_rows:
                self._enter_lost(before)
            count.seconds += time.thread_time() - clock
        self._enter_lost(batch)
        return positions, batch, alive

    @staticmethod
    def _takes_all(op: Op) -> bool:
        """Whether dead rows may pass through the op: it looks at whole columns and leaves the text as it is."""
        return op.contract.columns and "content" not in op.contract.writes and not op.contract.many

    def _filter(self, work: Work, count: StepCount, positions: Any, batch: Batch, alive: Any) -> tuple[Batch, Any, Any]:
        assert isinstance(work.op, Filter)
        parts, ok = [], []
        for lo, piece in self._guarded(work, count, batch, alive, work.op.judge):
            written, verdict = piece
            rows, codes = np.arange(lo, lo + written.num_rows), verdict.codes()
            codes[~alive[rows]] = -1
            lost = np.flatnonzero(codes >= 0)
            if len(lost):
                self._lose(work, count, lost, codes[lost], verdict, lo)
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
                if len(gone):
                    self._drop(batch, _Lost(work.step, gone, ["nothing_left"], np.zeros(len(gone), np.int64)))
                    count.dropped["nothing_left"] = count.dropped.get("nothing_left", 0) + len(gone)
                count.changed += grown.num_rows
            elif "content" in op.contract.writes:
                before = batch.column("content").slice(lo, grown.num_rows)
                count.changed += pc.not_equal(grown.column("content"), before).true_count
            parts.append(grown)
            ok.append(rows)
        batch, positions, alive = _joined(parts, ok, positions, batch, alive)
        if "content" in op.contract.writes:
            batch = with_columns(batch, {"length_bytes": _lengths(batch.column("content"))})
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
                    self.op_errors += 1
                    name, path, repo_name = (batch.column(n)[lo].as_py() for n in ("id", "path", "repo_name"))
                    self._quarantine(count, name, path, repo_name, f"{type(error).__name__}: {error}"[:2000])
                    alive[lo] = False
                continue
            yield lo, answer

    # --- what leaves on the way ---

    def _lose(self, work: Work, count: StepCount, lost: Any, codes: Any, verdict: Reasons[Any], first: int) -> None:
        """Counts the rows that a filter drops, which begin at row `first` of the batch; `_enter_lost` enters them."""
        names = list(verdict.checks)
        for code, number in enumerate(np.bincount(codes, minlength=len(names)).tolist()):
            if number:
                count.dropped[names[code]] = count.dropped.get(names[code], 0) + number
        silent, rows = isinstance(work.op, Filter) and work.op.forgets, pa.array(lost)
        of = verdict.of().take(rows) if verdict.names_causes() else None
        self.lost.append(_Lost(work.step, first + lost, names, codes, verdict.score().take(rows), of, silent))

    def _enter_lost(self, batch: Batch) -> None:
        """Enters what filters have dropped of a batch since its rows last changed: once a batch, not once a filter."""
        if self.lost:
            self._drop(batch, *self.lost)
            self.lost.clear()

    def _drop(self, batch: Batch, *lost: _Lost) -> None:
        """Enters rows of a batch in the ledger, with a reason, score and cause for each, and samples their text.

        Silently, nothing is entered that tells more of a document than its id and the reason.
        """
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
        draws = chances(ids, self.stage.seed, "samples")
        highest = np.array([self.sampled.get(key, 1.0) for key in keys])
        low = np.flatnonzero((draws < highest[codes]) & ~silent)
        for code in np.unique(codes[low]):
            self._sample(keys[code], batch, rows, low[codes[low] == code], draws, score)

    def _sample(self, key: tuple[str, str], batch: Batch, lost: Any, chosen: Any, draws: Any, score: pa.Array) -> None:
        """Keeps the text of the first few dropped documents by chance; from then on only earlier ones are looked at."""
        chosen = chosen[np.argsort(draws[chosen], kind="stable")][:SAMPLES]
        rows, held = pa.array(lost[chosen]), self.samples.setdefault(key, [])
        content = batch.column("content")
        text = [_beginning(content[row].as_buffer()) for row in lost[chosen].tolist()]
        figures = score.take(pa.array(chosen)).to_pylist()
        columns = [batch.column(n).take(rows).to_pylist() for n in _NAMES]
        held += list(zip(draws[chosen].tolist(), *columns, figures, text, strict=True))
        held.sort(key=lambda sample: (sample[0], sample[1]))
        del held[SAMPLES:]
        if len(held) == SAMPLES:
            self.sampled[key] = held[-1][0]

    def _quarantine(self, count: StepCount, name: str, path: str | None, repo_name: str | None, error: str) -> None:
        count.quarantined += 1
        where = {"id": name, "path": path, "repo_name": repo_name, "stream": self.stage.stream}
        self.quarantine.append(where | {"step": count.step, "error": error})

    def _settle(self, positions: Any, batch: Batch, alive: Any, rows: Any) -> None:
        """Enters documents in the roll; `rows` are the places of the text of those alive, None where none is."""
        names = [*ROLL, *(n for n in self.measured if n not in ROLL)]
        names += [f.name for f in self.stage.extra if f.name not in names and not pa.types.is_nested(f.type)]
        # A measure taken twice, before and after a change of the text, counts as it was first.
        columns = {
            n: batch.column(f"~{n}" if f"~{n}" in batch.schema.names else n) for n in names if n in batch.schema.names
        }
        where = np.full(batch.num_rows, -1, np.int64)
        if rows is not None:
            where[alive] = rows
        columns[TEXT_ROW] = pa.array(where, mask=where < 0)
        self.roll.append((positions, pa.RecordBatch.from_pydict(columns)))

    def _sketch(self, kept: Batch, rows: Any) -> None:
        for work in self.stage.sketches:
            assert isinstance(work.op, Global)
            count, clock = self._count(work.step, work.op.name()), time.thread_time()
            answer = work.op.sketch(*read_columns(work.op, kept))
            columns = {n: as_column(answer[n], kind) for n, kind in work.op.contract.writes.items()}
            columns |= {"id": kept.column("id"), "row": pa.array(rows, pa.int64())}
            self.sketches[work.step].append(pa.RecordBatch.from_pydict(columns))
            count.rows += kept.num_rows
            count.seconds += time.thread_time() - clock

    # --- what is written ---

    def _write_documents(self, file: Any) -> None:
        schema = pa.schema([*DOCUMENT, *(f for f in self.stage.extra if f.name not in DOCUMENT.names)])
        with parquet_writer(file, schema) as writer:
            waiting: list[Batch] = []
            held = 0
            for batch in self._kept():
                columns = [
                    batch.column(f.name) if f.name in batch.schema.names else pa.nulls(batch.num_rows, f.type)
                    for f in schema
                ]
                waiting.append(pa.RecordBatch.from_arrays(columns, schema=schema))
                held += int(pc.sum(batch.column("length_bytes")).as_py() or 0)
                if held >= ROW_GROUP_BYTES:
                    writer.write_table(pa.Table.from_batches(waiting), row_group_size=1 << 30)
                    waiting, held = [], 0
            if sum(b.num_rows for b in waiting):
                writer.write_table(pa.Table.from_batches(waiting), row_group_size=1 << 30)

    def _write_runs(self) -> dict[str, str]:
        work, url = self.stage.gathered_by, self._url("rows", "arrow")
        assert work is not None and isinstance(work.op, Gather)
        known = {f.name: f.type for f in (*DOCUMENT, *self.stage.extra)}
        schema = pa.schema([(n, known[n]) for n in dict.fromkeys(("id", *work.op.contract.reads))])
        with storage.open_whole(url) as file:
            runs = gathering.Runs(file, work.op, schema)
            for batch in self._kept():
                runs.add(batch)
            runs.close()
        index = self._url("rows", "npy")
        gathering.write_index(index, runs)
        return {"rows": url, "rows/index": index}

    def _write_tables(self) -> dict[str, str]:
        files = {"roll": self._url("roll")}
        roll = self._whole_roll()
        self.languages = volumes(roll)
        self.languages_kept = volumes(roll.filter(roll.column(TEXT_ROW).is_valid()))
        with storage.open_whole(files["roll"]) as file, parquet_writer(file, roll.schema) as writer:
            writer.write_table(roll)
        tables = {
            "ledger": self.ledger.table(),
            "quarantine": pa.Table.from_pylist(self.quarantine, QUARANTINE),
            "samples": self._samples(),
        }
        for kind, table in tables.items():
            if table.num_rows:
                files[kind] = self._url(kind)
                storage.write_parquet(files[kind], table)
        for work in self.stage.sketches:
            folder, batches = storage.join(self.task.out, "sketches", work.step), self.sketches[work.step]
            url = write_sketch(folder, self.shard.name, batches, work.op.contract.writes)
            files[f"sketches/{work.step}"] = url
        if not self.task.before and not self.task.gathers:
            lanes = np.concatenate(self.lanes) if self.lanes else np.zeros((0, 2), np.uint64)
            buffer = io.BytesIO()
            np.save(buffer, lanes)
            files["ids"] = self._url("ids", "npy")
            storage.write_bytes(files["ids"], buffer.getvalue())
        return files

    def _whole_roll(self) -> pa.Table:
        if not self.roll:
            fields = [f for f in DOCUMENT if f.name in ROLL]
            return pa.schema([*fields, pa.field(TEXT_ROW, pa.int64())]).empty_table()
        names = list(dict.fromkeys(n for _, b in self.roll for n in b.schema.names if n != TEXT_ROW))
        table = pa.concat_tables([pa.Table.from_batches([b]) for _, b in self.roll], promote_options="default")
        positions = np.concatenate([p for p, _ in self.roll])
        order = np.argsort(positions, kind="stable")
        table = table.select([*names, TEXT_ROW])
        return table if (np.diff(positions) >= 0).all() else table.take(pa.array(order, pa.int64()))

    def _samples(self) -> pa.Table:
        rows = [
            {
                "id": i,
                "path": p,
                "repo_name": r,
                "stream": self.stage.stream,
                "step": step,
                "reason": why,
                "score": s,
                "content": t,
            }
            for (step, why), held in sorted(self.samples.items())
            for _, i, p, r, s, t in held
        ]
        return pa.Table.from_pylist(rows, SAMPLE)


def _beginning(text: pa.Buffer) -> str:
    """The first characters of a text; no more of it is decoded."""
    return text.slice(0, min(text.size, 4 * SAMPLE_CHARACTERS)).to_pybytes().decode(errors="ignore")[:SAMPLE_CHARACTERS]


def volumes(roll: pa.Table) -> dict[str, list[int]]:
    """For each language the documents and their bytes; documents without one are under an empty name."""
    sums = roll.select(["language", "length_bytes"]).group_by("language")
    table = sums.aggregate([("length_bytes", "count"), ("length_bytes", "sum")])
    rows = zip(
        *(table.column(c).to_pylist() for c in ("language", "length_bytes_count", "length_bytes_sum")), strict=True
    )
    return {name or "": [count, total or 0] for name, count, total in sorted(rows, key=lambda r: r[0] or "")}


def _stacked(columns: list[pa.Array | None], sizes: list[int], kind: pa.DataType) -> pa.Array:
    """The columns under one another, nulls in place of those that are not there."""
    parts = [nulls(n, kind) if c is None else c.cast(kind) for c, n in zip(columns, sizes, strict=True)]
    return pa.concat_arrays([one_array(part) for part in parts])


def _hidden(batch: Batch, rows: Any) -> Batch:
    """The batch without the path and repository of these rows."""
    nothing, mask = pa.scalar(None, TEXT), pa.array(rows)
    return with_columns(batch, {n: pc.if_else(mask, nothing, batch.column(n)) for n in ("path", "repo_name")})


def _lengths(text: Any) -> pa.Array:
    """The bytes of each text."""
    return pc.binary_length(text).cast(pa.int64())


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _text(column: pa.Array) -> pa.Array:
    if isinstance(column, pa.DictionaryArray):
        column = column.dictionary_decode()
    return column.cast(TEXT) if pa.types.is_string(column.type) else column


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


def parquet_writer(file: Any, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer of documents: zstd level 1, which writes twice as fast as level 3 for 15 % more bytes."""
    repeating = [f.name for f in schema if f.name not in _PLAIN and _is_text(f.type)]
    measured = [f.name for f in schema if f.name != "content" and not pa.types.is_nested(f.type)]
    return pq.ParquetWriter(
        file,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=repeating,  # pyright: ignore[reportArgumentType]  # columns are named, too
        write_statistics=measured,
    )
