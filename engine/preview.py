"""A recipe tried on a few documents: what each step says of them, before anything is run.

A few hundred documents are read from shards across the source and go through the steps; those are shown that fare
differently from one another. Steps that look at all documents at once are named, not decided.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from engine.columns import one_array
from engine.compiling import compile_kernels
from engine.digest import document_ids, without_markup
from engine.errors import EngineError, Refused, did_you_mean
from engine.gathering import groups
from engine.judging import figures
from engine.op import Filter, Gather, Losses, Map, Measure, Op, Source, with_columns
from engine.plan import Chain, Plan
from engine.schema import DOCUMENT, TEXT
from engine.stage import Work

READ = 200
"""Documents that are read to choose from."""
READ_TO_GATHER = 5000
"""Rows that are read where documents are gathered of them."""
SHARDS = 8
"""Shards that they are read from."""


@dataclass
class Event:
    """What one step did: `read`, `kept`, `dropped`, `changed`, `wrote`, `passed`, `broke`, or `waits` where all
    documents are looked at."""

    fate: str
    step: str
    detail: str = ""
    reason: str = ""
    """Why it was dropped."""
    before: str | None = None
    """The text before and after, where the step changed it."""
    after: str | None = None


@dataclass
class Previewed:
    """A document and what became of it, as far as one document tells."""

    id: str
    stream: str
    path: str | None
    repo_name: str | None
    text: str
    events: list[Event] = field(default_factory=list)

    @property
    def course(self) -> tuple[str, ...]:
        """What sets it apart: the steps that did more than let it pass."""
        return tuple(f"{e.fate} {e.step} {e.reason}" for e in self.events if e.fate in ("dropped", "changed", "broke"))

    def as_json(self) -> dict[str, Any]:
        """The document as plain values."""
        return asdict(self)


def preview(plan: Plan, stream: str | None = None, count: int = 5) -> list[Previewed]:
    """Documents of a stream (of each, unless one is named) with what every step did to them; at most `count` a stream.

    Raises Refused where the recipe has no such stream.
    """
    names = [chain.stream for chain in plan.chains]
    if stream is not None and stream not in names:
        raise Refused(f"the recipe has no stream `{stream}`{did_you_mean(stream, names)}; it has: {', '.join(names)}")
    chosen = [chain for chain in plan.chains if stream in (None, chain.stream)]
    return [document for chain in chosen for document in _various(_previewed(chain), count)]


def _various(documents: list[Previewed], count: int) -> list[Previewed]:
    """Of each course one in turn, in the order in which they were read.

    One that passes comes first, then the rarer courses; files that never became documents come last.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for n, document in enumerate(documents):
        groups.setdefault(document.course, []).append(n)
    ranked = sorted(groups.items(), key=lambda g: (not documents[g[1][0]].id, bool(g[0]), len(g[1]), g[1][0]))
    turns = itertools.zip_longest(*(group for _, group in ranked))
    chosen = [n for turn in turns for n in turn if n is not None][:count]
    return [documents[n] for n in sorted(chosen)]


# --- reading ------------------------------------------------------------------------------------------------------


def _previewed(chain: Chain) -> list[Previewed]:
    works = [
        work
        for stage in chain.stages
        for work in (*((stage.gathers,) if stage.gathers else ()), *stage.steps, *stage.sketches)
    ]
    compile_kernels([work.op for work in works])
    source, gathers = chain.stages[0].source, any(isinstance(work.op, Gather) for work in works)
    batches, documents = [], []
    for batch, losses in _batches(source, chain.stream, READ_TO_GATHER if gathers else READ):
        batches.append(batch)
        documents += [_lost(chain.stream, source.name(), loss) for loss in (*losses.dropped, *losses.quarantined)]
    if batches:
        whole = pa.Table.from_batches(batches).combine_chunks().to_batches()
        documents = [document for batch in whole for document in _through(works, batch, source.name())] + documents
    return documents


def _batches(source: Source, stream: str, rows: int) -> Iterator[tuple[pa.RecordBatch, Losses]]:
    """The first documents of shards across the source."""
    shards = sorted(source.shards(), key=lambda s: s.name)
    chosen = [shards[n * len(shards) // min(SHARDS, len(shards))] for n in range(min(SHARDS, len(shards)))]
    for shard in chosen:
        losses, most = Losses(), -(-rows // len(chosen))
        raw = next((batch for batch in source.read(shard, losses) if batch.num_rows), None)
        losses.dropped, losses.quarantined = losses.dropped[:most], losses.quarantined[:most]
        if raw is not None:
            yield _documents(raw.slice(0, most), stream, source), losses


def _documents(raw: pa.RecordBatch, stream: str, op: Op) -> pa.RecordBatch:
    """Rows that a source or gather answered as documents, with the ids that a run gives them."""
    kinds: dict[str, Any] = {f.name: f.type for f in DOCUMENT} | dict(op.contract.writes)
    columns: dict[str, Any] = {n: pa.nulls(raw.num_rows, kind) for n, kind in kinds.items()}
    for name in (n for n in kinds if n in raw.schema.names and n not in ("id", "stream", "length_bytes")):
        column = one_array(raw.column(name))
        decoded = column.dictionary_decode() if isinstance(column, pa.DictionaryArray) else column
        columns[name] = decoded if decoded.type == kinds[name] else decoded.cast(kinds[name])
    text: Any = without_markup(columns["content"])[0]
    columns["content"], columns["length_bytes"] = text, pc.binary_length(text).cast(pa.int64())
    columns["id"] = document_ids(stream, [columns[n] for n in ("repo_name", "revision_id", "path", "content")])
    columns["stream"] = pa.repeat(pa.scalar(stream, TEXT), raw.num_rows)
    return pa.RecordBatch.from_pydict(columns)


def _lost(stream: str, source: str, loss: dict[str, Any]) -> Previewed:
    why = loss.get("reason", "")
    event = Event("dropped", source, why, why) if why else Event("broke", source, loss["error"])
    return Previewed("", stream, loss["path"], loss["repo_name"], "", [event])


# --- the steps ----------------------------------------------------------------------------------------------------


def _through(works: Sequence[Work], batch: pa.RecordBatch, source: str) -> list[Previewed]:
    """What each step did to the documents of a batch."""
    documents = rows = _seen(batch, source)
    for work in works:
        if not batch.num_rows:
            break
        if isinstance(work.op, Gather):
            batch = _gathered(work.op, batch)
            left = {id(row) for row in rows}
            rows = _seen(batch, work.step)
            documents = [*(d for d in documents if id(d) not in left), *rows]
        else:
            batch, rows = _step(work, batch, rows)
    return documents


def _seen(batch: pa.RecordBatch, step: str) -> list[Previewed]:
    columns = [batch.column(n).to_pylist() for n in ("id", "stream", "path", "repo_name", "content")]
    documents = [Previewed(*row) for row in zip(*columns, strict=True)]
    known = [batch.column(n).to_pylist() for n in ("revision_id", "language", "license", "length_bytes")]
    for document, (*told, size) in zip(documents, zip(*known, strict=True), strict=True):
        document.events.append(Event("read", step, ", ".join([*filter(None, told), f"{size:,} bytes"])))
    return documents


def _gathered(op: Gather, batch: pa.RecordBatch) -> pa.RecordBatch:
    """The documents that the rows make, as far as they are all of them."""
    keys: list[Any] = [(name, "ascending") for name in dict.fromkeys((*op.key, *op.order, "id"))]
    table = pa.Table.from_batches([batch]).sort_by(keys).combine_chunks()
    made = op.run(groups(table, op.key), table.to_batches()[0])
    return _documents(made, batch.column("stream")[0].as_py(), op)


def _step(work: Work, batch: pa.RecordBatch, rows: list[Previewed]) -> tuple[pa.RecordBatch, list[Previewed]]:
    """The batch after a step and whose rows they are; where the step raises, it is asked document by document."""
    try:
        return _apply(work, batch, rows)
    except (EngineError, MemoryError):
        raise
    except Exception as error:
        if batch.num_rows == 1:
            rows[0].events.append(Event("broke", work.step, f"{type(error).__name__}: {error}"))
            return batch.slice(0, 0), []
    parts = [_step(work, batch.slice(n, 1), rows[n : n + 1]) for n in range(batch.num_rows)]
    whole = (
        pa.Table.from_batches([b for b, r in parts if r]).combine_chunks().to_batches()
        if any(r for _, r in parts)
        else []
    )
    return whole[0] if whole else batch.slice(0, 0), [row for _, left in parts for row in left]


def _apply(work: Work, batch: pa.RecordBatch, rows: list[Previewed]) -> tuple[pa.RecordBatch, list[Previewed]]:
    op = work.op
    if isinstance(op, Measure):
        return op.run(batch), rows
    if isinstance(op, Filter):
        return _filtered(work, op, batch, rows)
    if isinstance(op, Map):
        return _mapped(work, op, batch, rows)
    for row in rows:
        row.events.append(Event("waits", work.step, "looks at all documents"))
    return batch, rows


def _filtered(
    work: Work, op: Filter, batch: pa.RecordBatch, rows: list[Previewed]
) -> tuple[pa.RecordBatch, list[Previewed]]:
    written, verdict = op.judge(batch)
    reasons, of = verdict.reason().to_pylist(), verdict.of().to_pylist()
    found = {c: (written.column(c).to_pylist(), _values(batch, c)) for c in op.contract.writes}
    for n, (row, reason) in enumerate(zip(rows, reasons, strict=True)):
        told = [str(f) for f in figures(verdict, n) if reason is None or f.reason == reason]
        told = told or [f"{reason} of {of[n]}" if of[n] else reason or ""]
        told += [f"{c}: {_value(now[n])}" for c, (now, was) in found.items() if now[n] not in (None, "", was[n])]
        row.events.append(
            Event("dropped" if reason else "kept", work.step, ", ".join(filter(None, told)), reason or "")
        )
    kept = [reason is None for reason in reasons]
    return written.filter(pa.array(kept, pa.bool_())), list(itertools.compress(rows, kept))


def _values(batch: pa.RecordBatch, name: str) -> list[Any]:
    return batch.column(name).to_pylist() if name in batch.schema.names else [None] * batch.num_rows


def _mapped(
    work: Work, op: Map, batch: pa.RecordBatch, rows: list[Previewed]
) -> tuple[pa.RecordBatch, list[Previewed]]:
    grown = op.run(batch)
    if "content" in op.contract.writes:
        text: Any = grown.column("content")
        grown = with_columns(grown, {"length_bytes": pc.binary_length(text).cast(pa.int64())})
    born: dict[str, list[int]] = {}
    for n, name in enumerate(grown.column("id").to_pylist()):
        parent = str(name).rpartition("#")[0] if op.contract.many else str(name)
        born.setdefault(parent, []).append(n)
    after = grown.to_pylist()
    for row, was in zip(rows, batch.to_pylist(), strict=True):
        row.events.append(_event(work, op, was, [after[n] for n in born.get(was["id"], [])]))
    # Of a document that became several, the first goes on.
    heirs = [born[i][0] for i in batch.column("id").to_pylist() if i in born]
    return grown.take(pa.array(heirs, pa.int64())), [row for row in rows if row.id in born]


def _event(work: Work, op: Map, was: dict[str, Any], now: list[dict[str, Any]]) -> Event:
    if not now:
        return Event("dropped", work.step, "nothing_left", "nothing_left")
    first = now[0]
    told = [f"{k}: {_value(first[k])}" for k in op.contract.writes if k != "content" and first[k] != was.get(k)]
    told = [t for t in told if not t.endswith(": ")]
    if op.contract.many:
        told.insert(0, f"became {len(now)} documents, of which the first is shown" if len(now) > 1 else "")
    detail = ", ".join(filter(None, told))
    if first["content"] != was["content"]:
        return Event("changed", work.step, detail, before=was["content"], after=first["content"])
    return Event("wrote" if detail else "passed", work.step, detail)


def _value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(_value(v) for v in value[:3]) + (f" and {len(value) - 3} more" if len(value) > 3 else "")
    if isinstance(value, dict):
        return " ".join(v for v in value.values() if isinstance(v, str))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
