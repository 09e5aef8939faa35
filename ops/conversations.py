"""Issues and pull requests that were made conversations before: the structure that StarCoder's data have."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import PositiveInt

from engine import storage
from engine.columns import Offsets, one_array
from engine.digest import without_markup
from engine.op import Batch, Losses, Shard, Source
from engine.schema import TEXT
from ops import input_files, stack_columns
from ops.issue_events import EVENT, EVENTS, closed, field, join, opened, pc, sums, whole_text, with_fields
from ops.jsonl import ENDINGS, LONGEST_LINE
from ops.jsonl import opened as opened_file
from ops.line_blocks import blocks

FIELDS: dict[str, tuple[str, ...]] = {
    "author": ("author",),
    "type": ("type",),
    "action": ("action",),
    "created_at": ("created_at", "datetime"),
    "title": ("title",),
    "text": ("text", "comment", "description"),
}
"""The fields of an event under the names that they go by; the first that holds anything counts."""
ROW = ("repo", "org", "issue_id", "issue_number", "pull_request", "events")
_ROWS = 512
_TYPES = {"repo": TEXT, "org": TEXT, "issue_id": pa.int64(), "issue_number": pa.int64(), "pull_request": pa.bool_()}


class Conversations(Source):
    """Reads conversations that are whole rows of Parquet files or JSON lines, as StarCoder's issues are.

    A row has `repo`, `issue_number` or `issue_id`, `pull_request` and `events`; `org` is put before a `repo` that has
    no owner. An event's text is its `text`, `comment` or `description`, the first that holds any. `content` is all
    that was said, until `render_issue` writes it. A conversation of which neither title nor text is known as it was
    opened is kept and counted as `no_opening`. Rows without events are dropped (`no_events`); what cannot be read goes
    to quarantine.

    Example:
        source: {conversations: {path: "issues/*.parquet"}}

    Reference:
        https://huggingface.co/datasets/bigcode/the-stack-github-issues
    """

    reasons: ClassVar[tuple[str, ...]] = ("no_events", "pull_request", "too_large")
    writes: ClassVar[Mapping[str, pa.DataType]] = {
        "title": TEXT,
        "events": EVENTS,
        "pull_request": pa.bool_(),
        "no_opening": pa.bool_(),
    }

    path: str | list[str]
    """File, folder, glob, or a list of them; local or a URL such as `s3://bucket/folder`."""
    pull_requests: Literal["keep", "drop"] = "keep"
    """Whether conversations about pull requests are kept."""
    max_bytes: PositiveInt = 16 << 20
    """Bytes that the texts of a conversation may have together; longer ones are dropped."""

    def shards(self) -> Iterator[Shard]:
        """A shard for each file."""
        for file in input_files.find(self.path, (".parquet", *ENDINGS)):
            yield file.shard(0, file.bytes, file.version)

    def read(self, shard: Shard, losses: Losses, columns: frozenset[str] | None = None) -> Iterator[Batch]:
        """Batches of the file's conversations."""
        url, place = shard.at["url"], shard.at["place"]
        if storage.file_info(url).version != shard.version:
            raise input_files.changed(shard)
        at = 0
        rows = _parquet(url) if url.lower().endswith(".parquet") else _lines(url, place, losses)
        try:
            for columns_read, count in rows:
                yield self._documents(columns_read, count, _namer(place, at), losses)
                at += count
        except Exception as error:
            if not input_files.is_damage(error):
                raise
            losses.quarantine(place, f"behind row {at}: {error}")

    def _documents(self, given: dict[str, Any], count: int, name: Callable[[int], str], losses: Losses) -> Batch:
        events, edges = _events(given.get("events"), count)
        number = pc.coalesce(*(_text(given.get(n), count) for n in ("issue_number", "issue_id")))
        content, pull = whole_text(events, edges), _truths(given.get("pull_request"), count)
        opening = np.asarray(pc.not_equal(field(events, "title"), ""))
        opening |= np.asarray(
            pc.and_(pc.equal(field(events, "action"), "opened"), pc.not_equal(field(events, "text"), ""))
        )
        title = pa.array(_first(field(events, "title"), edges), TEXT)
        # The engine counts what markup it replaces in `content`; in the events it is replaced likewise.
        clean = {n: without_markup(field(events, n))[0] for n in ("title", "text", "author")}
        columns = {
            "content": content,
            "repo_name": _repository(_text(given.get("repo"), count), _text(given.get("org"), count)),
            "path": pc.coalesce(join("issues/", number), pa.array([name(n) for n in range(count)], TEXT)),
            "title": title,
            "events": closed(with_fields(events, **clean), edges),
            "pull_request": pa.array(pull),
            "no_opening": pa.array(sums(opening, edges) == 0),
        }
        batch = pa.RecordBatch.from_pydict(columns)
        sizes = np.asarray(pc.binary_length(content))
        left = np.ones(count, bool)
        repos, paths = batch.column("repo_name").to_pylist(), batch.column("path").to_pylist()
        for reason, lost in (
            ("no_events", np.diff(edges) == 0),
            ("too_large", sizes > self.max_bytes),
            ("pull_request", pull & (self.pull_requests == "drop")),
        ):
            for n in np.flatnonzero(lost & left):
                score = float(sizes[n]) if reason == "too_large" else None
                losses.drop(reason, str(paths[n]), repos[n], score)
            left &= ~lost
        batch = batch.filter(pa.array(left))
        losses.note("no_opening", int(pc.sum(batch.column("no_opening")).as_py() or 0))
        return batch


def _namer(place: str, at: int) -> Callable[[int], str]:
    return lambda row: f"{place}#{at + row}"


# --- columns ----------------------------------------------------------------------------------------------------


def _text(column: Any, count: int) -> pa.Array:
    return pa.nulls(count, TEXT) if column is None else stack_columns.text(column)


def _truths(column: Any, count: int) -> Any:
    """Whether each row says that it is a pull request: a truth value, or anything said about one."""
    if column is None:
        return np.zeros(count, bool)
    if pa.types.is_boolean(column.type):
        return np.asarray(pc.fill_null(column, False))
    if pa.types.is_struct(column.type):
        truths = np.zeros(count, bool)
        for n in range(column.type.num_fields):
            truths |= _truths(pc.struct_field(column, n), count)
        return truths
    told = pc.fill_null(pc.not_equal(_text(column, count), ""), False)
    return np.asarray(column.is_valid() if pa.types.is_nested(column.type) else told)


def _events(column: Any, count: int) -> tuple[pa.Array, Offsets]:
    """All events of a column in whatever form, and where those of each row begin."""
    kind = getattr(column, "type", pa.null())
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)) or not pa.types.is_struct(kind.value_type):
        return pa.array([], EVENT), np.zeros(count + 1, np.int64)
    if kind.value_type == EVENT:
        return opened(column)
    flat = column.flatten()
    lengths = np.asarray(pc.fill_null(pc.list_value_length(column), 0))
    there = {kind.value_type.field(n).name for n in range(kind.value_type.num_fields)}
    arrays = []
    for names in FIELDS.values():
        found = [_text(pc.struct_field(flat, name), len(flat)) for name in names if name in there]
        full = [pc.if_else(pc.equal(c, ""), pa.scalar(None, TEXT), c) for c in found]
        arrays.append(pc.coalesce(*full, pa.nulls(len(flat), TEXT)))
    order = dict(zip(FIELDS, arrays, strict=True))
    events = pa.StructArray.from_arrays([order[f.name] for f in EVENT], fields=list(EVENT))
    return events, np.append(0, np.cumsum(lengths, dtype=np.int64))


def _first(column: Any, edges: Offsets) -> list[str | None]:
    """The first value of each row that is not empty."""
    full = np.flatnonzero(np.asarray(pc.not_equal(column, "")))
    places = np.searchsorted(full, edges[:-1])
    there = places < len(full)
    there[there] = full[places[there]] < edges[1:][there]
    rows = np.where(there, full[np.minimum(places, len(full) - 1)] if len(full) else 0, 0)
    return column.take(pa.array(rows, mask=~there)).to_pylist()


def _repository(repo: pa.Array, org: pa.Array) -> pa.Array:
    whole = join(org, "/", repo)
    return pc.if_else(pc.fill_null(pc.match_substring(repo, "/"), True), repo, pc.coalesce(whole, repo))


# --- files ------------------------------------------------------------------------------------------------------


def _parquet(url: str) -> Iterator[tuple[dict[str, Any], int]]:
    with storage.open_read(url, ahead=False) as file:
        reader = pq.ParquetFile(file, pre_buffer=False)
        names = [n for n in ROW if n in reader.schema_arrow.names]
        for batch in reader.iter_batches(_ROWS, columns=names, use_threads=False):
            yield {n: one_array(batch.column(n)) for n in batch.schema.names}, batch.num_rows


def _lines(url: str, place: str, losses: Losses) -> Iterator[tuple[dict[str, Any], int]]:
    """Rows of JSON lines. Lines are few and long here, so that they may be objects on their way."""
    line, held = 0, list[dict[str, Any]]()
    with opened_file(url) as file:
        for block in blocks(file, 0, None, LONGEST_LINE):
            if block.left_out:
                line += 1
                losses.drop("too_large", f"{place}:{line}", None, float(block.left_out))
                continue
            for text in bytes(block.data[: block.stop]).split(b"\n")[:-1]:
                line += 1
                if not text.strip():
                    continue
                try:
                    row = json.loads(text.decode("utf-8", "replace"))
                except (ValueError, RecursionError) as error:
                    losses.quarantine(f"{place}:{line}", f"the line is no JSON: {error}")
                    continue
                if not isinstance(row, dict):
                    losses.quarantine(f"{place}:{line}", "the line is no JSON object")
                    continue
                held.append(_row(row))
            for n in range(0, len(held), _ROWS):
                part = held[n : n + _ROWS]
                columns: dict[str, Any] = {k: pa.array([r[k] for r in part], t) for k, t in _TYPES.items()}
                yield columns | {"events": pa.array([r["events"] for r in part], EVENTS)}, len(part)
            held = []


def _row(row: dict[str, Any]) -> dict[str, Any]:
    """A row with values of the types that belong there, null in place of others."""
    events = row.get("events")
    listed = [e for e in events if isinstance(e, dict)] if isinstance(events, list) else []
    return {
        **{n: _string(row.get(n)) for n in ("repo", "org")},
        **{n: _number(row.get(n)) for n in ("issue_id", "issue_number")},
        "pull_request": _truth(row.get("pull_request")),
        "events": [{ours: _one_of(e, names) for ours, names in FIELDS.items()} for e in listed],
    }


def _one_of(event: dict[str, Any], names: tuple[str, ...]) -> str | None:
    return next((text for name in names if (text := _string(event.get(name)))), None)


def _string(value: Any) -> str | None:
    if isinstance(value, str):
        # A lone surrogate is valid JSON, but no text.
        return value.encode("utf-8", "replace").decode()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Any) -> int | None:
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _truth(value: Any) -> bool:
    return any(v is not None for v in value.values()) if isinstance(value, dict) else bool(value)
