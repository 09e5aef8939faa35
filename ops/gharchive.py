"""The events of issues and pull requests from GH Archive's hourly files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import PositiveInt

from engine import storage
from engine.op import Batch, Losses, Shard, Source
from engine.schema import TEXT
from ops import input_files, stack_columns
from ops.issue_events import join, pc
from ops.json_lines import ERRORS, STRING, Lines, Names, read_lines
from ops.jsonl import ENDINGS, LONGEST_LINE, opened
from ops.line_blocks import blocks

OPENINGS = ("IssuesEvent", "PullRequestEvent")
"""Types of events by which an issue or pull request is opened and closed."""
ACTIONS = {
    **dict.fromkeys(OPENINGS, ("opened", "closed", "reopened", "merged")),
    **dict.fromkeys(("IssueCommentEvent", "PullRequestReviewCommentEvent"), ("created",)),
    "PullRequestReviewEvent": ("created", "submitted"),
}
"""Types of events that belong to a conversation, and those of their actions that do."""

_COLUMNS = {
    "repo_name": ("repo.name",),
    "number": ("payload.issue.number", "payload.pull_request.number", "payload.number"),
    "event": ("id",),
    "author": ("actor.login", "payload.comment.user.login", "payload.review.user.login"),
    "type": ("type",),
    "action": ("payload.action",),
    "created_at": ("created_at",),
    "title": ("payload.issue.title", "payload.pull_request.title"),
}
_SAID = ("payload.comment.body", "payload.review.body")
_OPENED_WITH = ("payload.issue.body", "payload.pull_request.body")
_PULL = "payload.issue.pull_request"
_NAMES = Names([*(n for names in _COLUMNS.values() for n in names), *_SAID, *_OPENED_WITH, _PULL])
_NUMBER = "^[0-9]{1,18}$"
_BATCH_BYTES = 8 << 20


class Gharchive(Source):
    """Reads the events of issues and pull requests from files of GH Archive, a row for each event.

    `content` is what was said: the text that an issue or pull request was opened with, or a comment; it is empty where
    one was only closed. `gather_conversations` makes conversations of such rows. Events of other types are passed over
    and counted (`other_events`), and so are other actions, such as labels (`other_actions`). Read are files as they
    have been since 2015; since October 2025 they hold neither title nor text of a pull request, whose comments are
    read nevertheless. A line that is no JSON goes to quarantine, and so does an event without repository or number.

    Example:
        source: {gharchive: {path: "gharchive/2024-01-*.json.gz"}}

    Reference:
        https://www.gharchive.org; Li et al. 2023, StarCoder, https://arxiv.org/abs/2305.06161, section 3.5
    """

    threads: ClassVar[bool] = True
    reasons: ClassVar[tuple[str, ...]] = ("pull_request", "too_large")
    writes: ClassVar[Mapping[str, pa.DataType]] = {
        "number": pa.int64(),
        **dict.fromkeys(("event", "author", "type", "action", "created_at", "title"), TEXT),
        "pull_request": pa.bool_(),
    }

    path: str | list[str]
    """File, folder, glob, or a list of them; local or a URL such as `s3://bucket/folder`."""
    pull_requests: Literal["keep", "drop"] = "keep"
    """Whether events of pull requests are kept."""
    max_bytes: PositiveInt = 1 << 20
    """Bytes that the text of an event may have; events with longer ones are dropped."""

    def shards(self) -> Iterator[Shard]:
        """A shard for each file."""
        for file in input_files.find(self.path, (*ENDINGS, ".json")):
            yield file.shard(0, file.bytes, file.version)

    def read(self, shard: Shard, losses: Losses, columns: frozenset[str] | None = None) -> Iterator[Batch]:
        """Batches of the file's events, in its order."""
        url, place = shard.at["url"], shard.at["place"]
        if storage.file_info(url).version != shard.version:
            raise input_files.changed(shard)
        line, byte, held = 1, 0, list[Batch]()
        try:
            with opened(url) as file:
                for block in blocks(file, 0, None, LONGEST_LINE):
                    byte = block.byte + block.stop
                    if block.left_out:
                        losses.drop("too_large", f"{place}:{line}", None, float(block.left_out))
                        line += 1
                        continue
                    lines = read_lines(block.data, block.stop, _NAMES)
                    held.append(self._events(lines, f"{place}:", line, losses))
                    line += len(lines.starts)
                    if sum(batch.nbytes for batch in held) >= _BATCH_BYTES:
                        yield _joined(held)
                        held = []
        except Exception as error:
            if not input_files.is_damage(error):
                raise
            losses.quarantine(place, f"behind its first {byte} bytes: {error}" if byte else str(error))
        if held:
            yield _joined(held)

    def _events(self, lines: Lines, place: str, line: int, losses: Losses) -> Batch:
        for n in np.flatnonzero(lines.errors > 0):
            losses.quarantine(f"{place}{line + int(n)}", f"the line {ERRORS[lines.errors[n]]}")
        rows = np.flatnonzero(lines.errors == 0)
        types, actions = _column(lines, rows, ("type",)), _column(lines, rows, ("payload.action",))
        typed = np.asarray(pc.is_in(types, pa.array(list(ACTIONS), TEXT)))
        wanted = np.zeros(len(rows), bool)
        for actions_of, names in _by_actions().items():
            wanted |= np.asarray(
                pc.and_(pc.is_in(types, pa.array(names, TEXT)), pc.is_in(actions, pa.array(actions_of, TEXT)))
            )
        losses.note("other_events", int((~typed).sum()))
        losses.note("other_actions", int((typed & ~wanted).sum()))
        rows = rows[wanted]
        batch = _rows(lines, rows)
        lost = np.asarray(pc.or_(batch.column("number").is_null(), batch.column("repo_name").is_null()))
        for n in rows[lost]:
            losses.quarantine(f"{place}{line + int(n)}", "the event has no repository, or no number of an issue")
        large = np.asarray(pc.greater(pc.binary_length(batch.column("content")), self.max_bytes)) & ~lost
        self._drop("too_large", batch, large, losses)
        pull = np.asarray(batch.column("pull_request")) & ~lost & ~large & (self.pull_requests == "drop")
        self._drop("pull_request", batch, pull, losses)
        return batch.filter(pa.array(~(lost | large | pull)))

    @staticmethod
    def _drop(reason: str, batch: Batch, lost: Any, losses: Losses) -> None:
        told = batch.filter(pa.array(lost))
        sizes = pc.binary_length(told.column("content")).to_pylist()
        for path, repo, size in zip(told["path"].to_pylist(), told["repo_name"].to_pylist(), sizes, strict=True):
            losses.drop(reason, str(path), repo, float(size) if reason == "too_large" else None)


def _by_actions() -> dict[tuple[str, ...], list[str]]:
    """The types that have the same actions."""
    found: dict[tuple[str, ...], list[str]] = {}
    for name, actions in ACTIONS.items():
        found.setdefault(actions, []).append(name)
    return found


def _column(lines: Lines, rows: Any, names: tuple[str, ...]) -> pa.Array:
    """The strings and numbers under the first of the names that has any; objects stand for nothing."""
    there = [name for name in names if (lines.kind(name)[rows] >= STRING).any()]
    if not there:
        return pa.nulls(len(rows), TEXT)
    columns = [stack_columns.text(lines.text(name, rows)) for name in there]
    return pc.coalesce(*columns) if len(columns) > 1 else columns[0]


def _strings(lines: Lines, rows: Any, names: tuple[str, ...]) -> pa.Array:
    """The strings under the first of the names that has one; whatever is no string is null."""
    columns = [pa.nulls(len(rows), TEXT)]
    for name in names:
        strings = lines.kind(name)[rows] == STRING
        if strings.any():
            column = stack_columns.text(lines.text(name, rows))
            columns.append(pc.if_else(pa.array(strings), column, pa.scalar(None, TEXT)))
    return pc.coalesce(*columns)


def _rows(lines: Lines, rows: Any) -> Batch:
    """The events of these lines, as columns."""
    own = {ours: _strings(lines, rows, names) for ours, names in _COLUMNS.items() if ours not in ("number", "event")}
    numbers = [
        pc.if_else(pc.match_substring_regex(column, _NUMBER), column, pa.scalar(None, TEXT))
        for column in (_column(lines, rows, (name,)) for name in _COLUMNS["number"])
    ]
    number = pc.coalesce(*numbers).cast(pa.int64())
    event = pc.fill_null(_column(lines, rows, _COLUMNS["event"]), "")
    opening = pc.is_in(own["type"], pa.array(OPENINGS, TEXT))
    starts = pc.fill_null(pc.and_(opening, pc.equal(own["action"], "opened")), False)
    said = pc.if_else(opening, pa.scalar(None, TEXT), _strings(lines, rows, _SAID))
    content = pc.if_else(starts, _strings(lines, rows, _OPENED_WITH), said)
    named = pc.fill_null(pc.starts_with(own["type"], "PullRequest"), False)
    columns = own | {
        "content": pc.fill_null(content, ""),
        "path": join("issues/", number.cast(TEXT), "/", event),
        "number": number,
        "event": event,
        "pull_request": pc.or_(named, pa.array(lines.kind(_PULL)[rows] >= STRING)),
    }
    return pa.RecordBatch.from_pydict(columns)


def _joined(batches: list[Batch]) -> Batch:
    return (
        pa.Table.from_batches(batches).combine_chunks().to_batches()[0]
        if any(b.num_rows for b in batches)
        else batches[0]
    )
