"""Rows of a data set as documents: which become documents, and why the others do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from engine.columns import text_buffers
from engine.op import Batch, Losses
from engine.schema import SOURCE_COLUMNS
from ops.decode import decode
from ops.stack_columns import CONVERSIONS

REASONS = ("no_content", "too_large", "undecodable", "empty", "binary")
"""Why a row of a data set does not become a document."""

BATCH_BYTES = 64 << 20
"""Bytes of text that a batch of documents may have, unless one document has more."""

Rows = Mapping[str, pa.Array]
"""Columns of a data set under our names, with their values as they came."""


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type can be `content`."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    tests = (pa.types.is_string, pa.types.is_binary, pa.types.is_large_string, pa.types.is_large_binary)
    return any(test(kind) for test in (*tests, pa.types.is_string_view, pa.types.is_binary_view, pa.types.is_null))


def _plain(content: Any) -> pa.Array:
    kind = content.type
    if pa.types.is_dictionary(kind):
        return _plain(content.dictionary).take(content.indices)
    if pa.types.is_null(kind):
        return content.cast(pa.large_binary())
    if pa.types.is_binary_view(kind) or pa.types.is_string_view(kind):
        return content.cast(pa.large_binary() if pa.types.is_binary_view(kind) else pa.large_string())
    return content


def _lengths(content: Any) -> Any:
    if pa.types.is_dictionary(content.type):
        # A text that stands for many rows is written out for each: its dictionary tells how long they get.
        lengths = pa.array(_lengths(content.dictionary)).take(content.indices)
        return np.asarray(lengths.fill_null(0))
    return np.diff(text_buffers(_plain(content))[1])


def pieces(content: pa.Array) -> Iterator[slice]:
    """The rows of a column of text in runs of at most `BATCH_BYTES`."""
    ends = np.cumsum(_lengths(content))
    at = 0
    while at < len(ends):
        before = int(ends[at - 1]) if at else 0
        stop = max(at + 1, int(np.searchsorted(ends, before + BATCH_BYTES, side="right")))
        yield slice(at, stop)
        at = stop


def documents(rows: Rows, max_bytes: int, losses: Losses, name: Callable[[int], str]) -> Batch:
    """The rows that are documents, with our columns; the others are entered in the losses.

    A row without a path is entered under `name(row)`. Texts of more than `max_bytes` are dropped by their length alone.
    """
    content = _plain(rows["content"])
    columns = {ours: rows[ours] for ours in SOURCE_COLUMNS if ours in rows and ours != "content"}
    sizes, numbers = _lengths(content), np.arange(len(content))
    missing, too_large = np.asarray(content.is_null()), sizes > max_bytes
    lost = missing | too_large
    if lost.any():
        reasons = np.where(missing, "no_content", "too_large")[lost]
        _enter(losses, columns, lost, reasons, sizes, name)
        kept = pa.array(~lost)
        content, sizes, numbers = content.filter(kept), sizes[~lost], numbers[~lost]
        columns = {ours: column.filter(kept) for ours, column in columns.items()}
    content, reason = decode(content)
    if reason.null_count < len(reason):
        lost = np.asarray(reason.is_valid())
        _enter(losses, columns, lost, reason.drop_null().to_pylist(), sizes, lambda row: name(int(numbers[row])))
        kept = pa.array(~lost)
        content = content.filter(kept)
        columns = {ours: column.filter(kept) for ours, column in columns.items()}
    converted = {ours: CONVERSIONS[ours](column) for ours, column in columns.items()}
    return pa.RecordBatch.from_pydict({"content": content, **converted})


def _enter(losses: Losses, columns: Rows, lost: Any, reasons: Any, sizes: Any, name: Callable[[int], str]) -> None:
    rows = np.flatnonzero(lost)
    told = {
        c: CONVERSIONS[c](columns[c].take(pa.array(rows, pa.int64()))) for c in ("path", "repo_name") if c in columns
    }
    paths, repositories = (told[c].to_pylist() if c in told else [None] * len(rows) for c in ("path", "repo_name"))
    for row, reason, path, repository in zip(rows.tolist(), reasons, paths, repositories, strict=True):
        score = float(sizes[row]) if reason == "too_large" else None
        losses.drop(str(reason), path or name(row), repository, score)


def joined(batches: Iterator[Batch], size: int) -> Iterator[Batch]:
    """The batches, with those that follow one another joined until they have `size` bytes of text; none is empty."""
    held: list[Batch] = []
    for batch in batches:
        if not batch.num_rows:
            continue
        if held and held[0].schema != batch.schema:
            yield _join(held)
            held = []
        held.append(batch)
        if sum(b.column(0).nbytes for b in held) >= size:
            yield _join(held)
            held = []
    if held:
        yield _join(held)


def _join(batches: list[Batch]) -> Batch:
    if len(batches) == 1:
        return batches[0]
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]
