"""Conversations for tests, as lists of events."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from engine.op import Filter, Ledger, Op
from engine.schema import TEXT
from ops.issue_events import EVENT, EVENTS


def event(author: str = "ann", text: str = "", action: str = "created", title: str | None = None) -> dict[str, Any]:
    return {"author": author, "text": text, "action": action, "title": title, "type": "IssueCommentEvent"}


def conversations(*rows: list[dict[str, Any]] | None, titles: list[str | None] | None = None) -> pa.RecordBatch:
    whole = [None if row is None else [dict.fromkeys(f.name for f in EVENT) | e for e in row] for row in rows]
    names = [str(n) for n in range(len(rows))]
    return pa.RecordBatch.from_pydict(
        {
            "id": pa.array(names, TEXT),
            "path": pa.array(names, TEXT),
            "repo_name": pa.array(names, TEXT),
            "content": pa.array(names, TEXT),
            "title": pa.array(titles or [None] * len(rows), TEXT),
            "events": pa.array(whole, EVENTS),
        }
    )


def events_after(op: Op, *rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    batch = conversations(*rows)
    made: Any = op.judge(batch)[0] if isinstance(op, Filter) else op.run(batch)  # type: ignore[attr-defined]
    return made["events"].to_pylist()


def texts_after(op: Op, *texts: str) -> list[str]:
    return [row[0]["text"] for row in events_after(op, *([event(text=text)] for text in texts))]


def reasons_of(op: Filter, *rows: list[dict[str, Any]]) -> list[str | None]:
    ledger = Ledger("issues")
    op.run(conversations(*rows), ledger)
    why = {r["id"]: r["reason"] for r in ledger.table().to_pylist()}
    return [why.get(str(n)) for n in range(len(rows))]
