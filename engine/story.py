"""The whole story of one document: what every step saw in it and decided."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pyarrow as pa

from engine import storage
from engine.columns import nulls
from engine.judging import figures, number
from engine.op import Filter, Global, Job, Map, with_columns
from engine.plan import make_plan
from engine.recipe import load
from engine.run import Run, scan
from engine.schema import DOCUMENT
from engine.stage import Work

MOST = 20
"""Documents whose story is told when a path fits several."""


@dataclass
class Event:
    """What one step did to the document: `kept`, `dropped`, `changed`, `quarantined`, `read` or `not judged`."""

    fate: str
    step: str
    detail: str = ""


@dataclass
class Story:
    """A document and everything that happened to it, in order."""

    id: str
    path: str | None
    repo_name: str | None
    stream: str
    fate: str
    events: list[Event] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The story as plain values."""
        return vars(self) | {"events": [vars(e) for e in self.events]}


def stories(run: Run, wanted: str) -> list[Story]:
    """The stories of the documents that an id (or its beginning) or a path (or its end) names; at most 20.

    `repo@revision:path` and `repo:path` name a document too. Raises nothing where none fits: the list is empty.
    """
    fits = _fits(wanted)
    found: dict[str, dict[str, Any]] = {}
    for kind in ("measures", "ledger", "quarantine"):
        frame = run.frame(kind)
        names = frame.collect_schema().names()
        if "id" not in names:
            continue
        for row in frame.filter(fits(names)).head(10 * MOST).collect().to_dicts():
            found.setdefault(row["id"], {}).setdefault(kind, row)
    exact = {k: v for k, v in found.items() if wanted in (k, *(r.get("path") for r in v.values()))}
    chosen = exact or found
    told = [_story(run, name, rows) for name, rows in sorted(chosen.items())[:MOST]]
    return sorted(told, key=lambda s: (s.path or "", s.repo_name or "", s.id))


def _fits(wanted: str) -> Any:
    repo, _, path = wanted.partition(":") if ":" in wanted else ("", "", wanted)
    repo = repo.partition("@")[0]

    def fits(names: list[str]) -> pl.Expr:
        test = pl.col("id").str.starts_with(wanted) if len(wanted) >= 6 else pl.col("id") == wanted
        if "path" in names and path:
            named = (pl.col("path") == path) | pl.col("path").str.ends_with("/" + path.lstrip("/"))
            if repo and "repo_name" in names:
                named = named & (pl.col("repo_name") == repo)
            test = test | named
        return test

    return fits


def _story(run: Run, name: str, rows: dict[str, dict[str, Any]]) -> Story:
    row = rows.get("measures") or {}
    lost = _one(run, "ledger", name)
    broken = _one(run, "quarantine", name)
    any_row = row or lost or broken or {}
    fate = "dropped" if lost else "quarantined" if broken else "kept"
    story = Story(name, any_row.get("path"), any_row.get("repo_name"), any_row.get("stream", ""), fate)
    recipe = load(storage.join(run.path, "recipe.yaml"))
    chain = next((c for c in make_plan(recipe).chains if c.stream == story.stream), None)
    if chain is None:
        return story
    last = (lost or broken or {}).get("step")
    stages = chain.stages[chain.origin :]
    source = stages[0].gathers.step if stages[0].gathers else stages[0].source.name()
    if last in (source, stages[0].source.name(), "forget"):
        source = last
        story.events.append(_end(run, source, lost, broken))
        return story
    story.events.append(Event("read", source, _what(row)))
    batch = _row_batch(run, row, fate == "kept", name)
    for stage in stages:
        for work in (*stage.steps, *stage.sketches):
            if work.step.startswith("measure "):
                continue
            if work.step == last:
                story.events.append(_end(run, work.step, lost, broken, _checks(work, batch)))
                return story
            story.events.append(_passed(work, batch))
    story.events.append(Event("kept", "documents", next((f for f in run.files("documents") if story.stream in f), "")))
    story.events[-1].detail = _where(run, name)
    return story


def _one(run: Run, kind: str, name: str) -> dict[str, Any] | None:
    frame = run.frame(kind)
    if "id" not in frame.collect_schema().names():
        return None
    rows = frame.filter(pl.col("id") == name).head(1).collect().to_dicts()
    return rows[0] if rows else None


def _what(row: dict[str, Any]) -> str:
    told = [str(row[k]) for k in ("repo_name", "revision_id", "language") if row.get(k)]
    if row.get("length_bytes") is not None:
        told.append(f"{row['length_bytes']:,} bytes")
    if row.get("license"):
        told.append(f"{row['license']} ({row.get('license_source') or 'given'})")
    return ", ".join(told)


def _row_batch(run: Run, row: dict[str, Any], kept: bool, name: str) -> pa.RecordBatch:
    text = None
    for kind in ("documents",) if kept else ("samples",):
        found = _one(run, kind, name)
        text = found.get("content") if found else None
    known = {f.name: f.type for f in DOCUMENT}
    columns = {k: pa.array([v], known.get(k)) for k, v in row.items()}
    if text is not None:
        columns["content"] = pa.array([text], known["content"])
    return pa.RecordBatch.from_pydict(columns)


def _checks(work: Work, batch: pa.RecordBatch) -> str:
    op = work.op
    if not isinstance(op, Filter) or any(r not in batch.schema.names for r in op.contract.reads):
        return ""
    # A row as plain values does not say of what type a null is.
    untyped = {n: nulls(1, t) for n, t in op.contract.reads.items() if pa.types.is_null(batch.column(n).type)}
    return ", ".join(str(figure) for figure in figures(op.judge(with_columns(batch, untyped))[1], 0))


def _passed(work: Work, batch: pa.RecordBatch) -> Event:
    if isinstance(work.op, Filter):
        return Event("kept", work.step, _checks(work, batch))
    if isinstance(work.op, Global):
        return Event("kept", work.step)
    return Event("passed", work.step) if isinstance(work.op, Map | Job) else Event("", work.step)


def _end(run: Run, step: str, lost: dict[str, Any] | None, broken: dict[str, Any] | None, checks: str = "") -> Event:
    if lost is None:
        return Event("quarantined", step, (broken or {}).get("error", ""))
    detail = lost["reason"]
    if lost.get("of") and lost["of"] != lost["id"]:
        other = _one(run, "measures", lost["of"])
        named = f"{other['repo_name'] or ''}:{other['path']} ({lost['of']})" if other else lost["of"]
        detail += f" of {named}"
    if lost.get("score") is not None and not checks:
        detail += f", score {number(lost['score'])}"
    return Event("dropped", step, detail + (f" ({checks})" if checks else ""))


def _where(run: Run, name: str) -> str:
    for url in run.files("documents"):
        if scan([url]).filter(pl.col("id") == name).select(pl.len()).collect().item():
            return url
    return ""
