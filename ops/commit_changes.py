"""Commits of one file: the column that carries them beside `content`, and the lines that each of them changed."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute as _compute

from engine.columns import Bytes, Offsets, text_buffers, text_column
from engine.op import Measure
from engine.schema import TEXT, Integers, Strings

pc: Any = _compute  # its stubs know columns of a few types only
Spans = np.ndarray[Any, np.dtype[np.int64]]

COMMIT = pa.struct([("old_contents", TEXT), ("message", TEXT), ("author_time", pa.int64())])
"""What a commit says beside `content`, the file as it left it: the file before, empty where there was none; the
message; and when it was written, in seconds of Unix time."""
Commits = Annotated[pa.Array, COMMIT]


def field(commits: pa.Array, name: str) -> pa.Array:
    """One field of commits as a column, null where there is no commit."""
    return pc.struct_field(commits, name)


def subjects(commits: pa.Array) -> pa.Array:
    """The first lines of the messages, which are all that StarCoder read of them."""
    message = pc.split_pattern(field(commits, "message"), "\n", max_splits=1)
    return pc.utf8_rtrim(pc.list_element(message, 0), "\r")


class ChangeMeasures(TypedDict):
    """Sizes of the files in characters, and the lines from the first that was changed to behind the last."""

    old_characters: Integers
    new_characters: Integers
    old_change_start: Integers
    old_change_end: Integers
    new_change_start: Integers
    new_change_end: Integers


class CommitChanges(Measure):
    """Measures commits: the characters of the file before and after, and which lines of either were changed.

    The change is what is left when the lines are taken off that both versions have in common at their beginning and
    at their end: from `old_change_start` up to `old_change_end` before, likewise after, counted from 0, the end not
    included. A line is what a line feed ends, or the end of the text. All are null where there is no commit.
    """

    def map(self, content: Strings, commit: Commits) -> ChangeMeasures:
        old = field(commit, "old_contents")
        spans = np.empty((4, len(content)), np.int64)
        _change_spans(*text_buffers(old), *text_buffers(content), spans)
        none = np.asarray(old.is_null())
        columns = [pa.array(span, mask=none) for span in spans]
        return {
            "old_characters": pc.utf8_length(old).cast(pa.int64()),
            "new_characters": pc.if_else(pa.array(none), None, pc.utf8_length(content).cast(pa.int64())),
            "old_change_start": columns[0],
            "old_change_end": columns[1],
            "new_change_start": columns[2],
            "new_change_end": columns[3],
        }


def lines_of(texts: pa.Array, starts: Any, ends: Any) -> pa.Array:
    """The lines of each text from `starts` up to `ends`, as far as there are any, the last without its line feed."""
    data, offsets = text_buffers(texts)
    spans = np.empty((len(texts), 2), np.int64)
    _spans_of_lines(data, offsets, np.asarray(starts, np.int64), np.asarray(ends, np.int64), spans)
    lengths = np.r_[0, np.cumsum(spans[:, 1] - spans[:, 0])]
    out = np.empty(int(lengths[-1]), np.uint8)
    _copy(data, spans, lengths, out)
    return text_column(out, lengths)


# --- kernels ------------------------------------------------------------------------------------------------------


@numba.njit(nogil=True, cache=True, inline="always")
def _line_feeds(data: Bytes, lo: int, hi: int) -> int:
    count = 0
    for n in range(lo, hi):
        count += data[n] == 0x0A
    return count


@numba.njit(nogil=True, cache=True)
def _common_beginning(a: Bytes, at: int, b: Bytes, to: int, most: int) -> int:
    n = 0
    while n + 64 <= most:
        differ = np.uint8(0)
        for k in range(64):
            differ |= a[at + n + k] ^ b[to + n + k]
        if differ:
            break
        n += 64
    while n < most and a[at + n] == b[to + n]:
        n += 1
    return n


@numba.njit(nogil=True, cache=True)
def _common_end(a: Bytes, end: int, b: Bytes, stop: int, most: int) -> int:
    n = 0
    while n + 64 <= most:
        differ = np.uint8(0)
        for k in range(64):
            differ |= a[end - n - 64 + k] ^ b[stop - n - 64 + k]
        if differ:
            break
        n += 64
    while n < most and a[end - 1 - n] == b[stop - 1 - n]:
        n += 1
    return n


@numba.njit(nogil=True, cache=True)
def _change_spans(old: Bytes, old_ends: Offsets, new: Bytes, new_ends: Offsets, out: Spans) -> None:
    for row in range(len(old_ends) - 1):
        a, a_end, b, b_end = old_ends[row], old_ends[row + 1], new_ends[row], new_ends[row + 1]
        none = a == a_end or b == b_end
        # Without the last line feed, line feeds stand between lines only.
        a_end -= 1 if a < a_end and old[a_end - 1] == 0x0A else 0
        b_end -= 1 if b < b_end and new[b_end - 1] == 0x0A else 0
        most = min(a_end - a, b_end - b)
        begin = _common_beginning(old, a, new, b, most)
        end = _common_end(old, a_end, new, b_end, most)
        a_whole, b_whole = begin == a_end - a, begin == b_end - b
        first = _line_feeds(old, a, a + begin)
        if (a_whole or old[a + begin] == 0x0A) and (b_whole or new[b + begin] == 0x0A):
            first += 1
        a_whole, b_whole = end == a_end - a, end == b_end - b
        last = _line_feeds(old, a_end - end, a_end)
        if (a_whole or old[a_end - end - 1] == 0x0A) and (b_whole or new[b_end - end - 1] == 0x0A):
            last += 1
        a_lines = _line_feeds(old, a, a_end) + (old_ends[row + 1] > a)
        b_lines = _line_feeds(new, b, b_end) + (new_ends[row + 1] > b)
        if none:
            first, last = 0, 0
        last = min(last, min(a_lines, b_lines) - first)
        out[0, row], out[1, row], out[2, row], out[3, row] = first, a_lines - last, first, b_lines - last


@numba.njit(nogil=True, cache=True)
def _spans_of_lines(data: Bytes, offsets: Offsets, starts: Offsets, ends: Offsets, out: Spans) -> None:
    for row in range(len(offsets) - 1):
        at, hi = offsets[row], offsets[row + 1]
        line, begin = 0, at if starts[row] <= 0 else -1
        stop = at
        while at < hi and line < ends[row]:
            if data[at] == 0x0A:
                line += 1
                stop = at
                if line == starts[row]:
                    begin = at + 1
            at += 1
        if line < ends[row]:
            stop = hi - 1 if hi > offsets[row] and data[hi - 1] == 0x0A else hi
        out[row, 0] = stop if begin < 0 else begin
        out[row, 1] = max(stop, out[row, 0])


@numba.njit(nogil=True, cache=True)
def _copy(data: Bytes, spans: Spans, ends: Offsets, out: Bytes) -> None:
    for row in range(len(ends) - 1):
        out[ends[row] : ends[row + 1]] = data[spans[row, 0] : spans[row, 1]]
