"""Spans: pieces of a document's text that were found to be something, in characters and in bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, TypeVar

import numba
import numpy as np
import pyarrow as pa

from engine.columns import Bytes, Offsets, text_buffers
from engine.schema import SPAN, SPANS, TEXT


class Found(NamedTuple):
    """A span of a row, in bytes from the beginning of the column's buffer."""

    row: int
    begin: int
    end: int
    kind: str
    rule: str | None


def span_column(content: pa.Array, found: Iterable[Found]) -> pa.Array:
    """The spans of each row in the order of their places, with their offsets in characters and bytes of the row."""
    spans = sorted(found, key=lambda s: s[:4])
    data, offsets = text_buffers(content)
    rows = np.array([s.row for s in spans], np.int64)
    begins, ends = np.array([s.begin for s in spans], np.int64), np.array([s.end for s in spans], np.int64)
    starts_of_rows = offsets[rows]
    places = np.empty((len(spans), 2), np.int64)
    _characters(data, starts_of_rows, begins, ends, places)
    values = pa.StructArray.from_arrays(
        [
            pa.array([s.kind for s in spans], TEXT),
            pa.array(places[:, 0]),
            pa.array(places[:, 1]),
            pa.array(begins - starts_of_rows),
            pa.array(ends - starts_of_rows),
            pa.array([s.rule for s in spans], TEXT),
        ],
        fields=list(SPAN),
    )
    lengths = np.bincount(rows, minlength=len(content)) if len(spans) else np.zeros(len(content), np.int64)
    return pa.LargeListArray.from_arrays(
        pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int64()), values, type=SPANS
    )


@numba.njit(nogil=True, cache=True)
def _characters(data: Bytes, rows: Offsets, begins: Offsets, ends: Offsets, places: Any) -> None:
    # Spans come in order, so each row is counted through once, from one span to the next.
    at, count, row = -1, 0, -1
    for n in range(len(begins)):
        if rows[n] != row or begins[n] < at:
            at, count, row = rows[n], 0, rows[n]
        count += _count(data, at, begins[n])
        at = begins[n]
        places[n, 0] = count
        places[n, 1] = count + _count(data, begins[n], ends[n])


@numba.njit(nogil=True, cache=True)
def _count(data: Bytes, begin: int, end: int) -> int:
    characters = 0
    for at in range(begin, end):
        characters += (data[at] & 0xC0) != 0x80
    return characters


T = TypeVar("T")


def merged(spans: Iterable[tuple[int, int, T]]) -> list[tuple[int, int, T]]:
    """The spans without overlaps, in their order: those that overlap become one, of the kind of the longest.

    `spans` are beginnings, ends and kinds; of two that are as long the first speaks. What one of them covered is
    covered still: of two detectors that disagree about where a name ends, neither leaves a part of it behind.
    """
    answer: list[tuple[int, int, T]] = []
    longest = 0
    for begin, end, kind in sorted(spans, key=lambda s: s[:2]):
        if answer and begin < answer[-1][1]:
            first, last, of = answer[-1]
            answer[-1] = (first, max(last, end), kind if end - begin > longest else of)
            longest = max(longest, end - begin)
        else:
            answer.append((begin, end, kind))
            longest = end - begin
    return answer
