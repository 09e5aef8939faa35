"""Arrow columns as plain buffers and back, so that kernels run over text without a Python object a document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Offsets = np.ndarray[Any, np.dtype[np.int64]]


def one_array(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The column as a single array; chunks are joined only when there are several."""
    if isinstance(column, pa.ChunkedArray):
        if column.num_chunks == 1:
            return column.chunks[0]
        return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    return column


def nulls(rows: int, kind: Any) -> pa.Array:
    """A column of nulls, of any Arrow type."""
    return pa.nulls(rows, kind)


def text_buffers(column: pa.Array) -> tuple[Bytes, Offsets]:
    """The bytes of a text or binary column and where each value starts and ends in them.

    Value `i` is `bytes[offsets[i]:offsets[i + 1]]`; a null is an empty value. The bytes are the column's own, not a
    copy: hold the column as long as they are used. Reading past their end is not allowed.
    """
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        width: type = np.int32
    elif pa.types.is_large_string(kind) or pa.types.is_large_binary(kind):
        width = np.int64
    else:
        column, width = column.cast(pa.large_string()), np.int64
    if len(column) == 0:
        return np.zeros(0, np.uint8), np.zeros(1, np.int64)
    _, ends, data = column.buffers()
    assert ends is not None
    offsets = np.frombuffer(memoryview(ends), width)[column.offset : column.offset + len(column) + 1]
    offsets = offsets.astype(np.int64, copy=False)
    text = np.frombuffer(memoryview(data), np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)
    if column.null_count and int(offsets[-1]) > int(offsets[0]):
        # Arrow lets a null cover bytes; every kernel would have to ask.
        lengths = np.diff(offsets)
        if bool((lengths[np.asarray(column.is_null())] > 0).any()):
            return text_buffers(column.fill_null(""))
    return text, offsets


def text_column(data: Bytes, offsets: Offsets) -> pa.Array:
    """A `large_string` column over these bytes, which must be valid UTF-8; nothing is copied."""
    return pa.LargeStringArray.from_buffers(
        len(offsets) - 1,
        pa.py_buffer(np.ascontiguousarray(offsets, np.int64).data),
        pa.py_buffer(np.ascontiguousarray(data).data),
    )


OVERREAD = 64
"""Bytes that a kernel may read past the end of a value."""


def padded_parts(data: Bytes, offsets: Offsets) -> Iterator[tuple[slice, Bytes, Offsets]]:
    """The rows in at most two parts, each with bytes that may be read `OVERREAD` past the end of its last value.

    All but the values at the very end of the buffer are the buffer's own bytes; the rest are copied with room behind.
    """
    rows = len(offsets) - 1
    whole = int(np.searchsorted(offsets[1:], len(data) - OVERREAD, side="right"))
    if whole:
        yield slice(0, whole), data, offsets[: whole + 1]
    if whole < rows:
        begin, end = int(offsets[whole]), int(offsets[-1])
        rest = np.zeros(end - begin + OVERREAD, np.uint8)
        rest[: end - begin] = data[begin:end]
        yield slice(whole, rows), rest, offsets[whole:] - begin
