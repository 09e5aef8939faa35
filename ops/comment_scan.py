"""Kernels that count the characters of comments, byte by byte: one for the languages of a table, one for Python."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from engine.columns import Bytes, Offsets
from engine.simd import mask, ones, trailing_zeros
from ops.comment_syntax import CHARACTER, COLUMN_ONE, LINE_START, OPERAND, WORD_START

_ALL, _ONE = np.uint64(2**64 - 1), np.uint64(1)
_line_feeds = mask(lambda byte: byte.equal(0x0A))
_continuations = mask(lambda byte: byte.between(0x80, 0xBF))


# --- what both kernels need ---------------------------------------------------------------------------------------


@numba.njit(nogil=True, cache=True)
def _characters(data: Bytes, lo: int, hi: int) -> int:
    found = 0
    while lo < hi:
        valid = _ALL if hi - lo >= 64 else (_ONE << np.uint64(hi - lo)) - _ONE
        found += ones(~_continuations(data, lo) & valid)
        lo += 64
    return found


@numba.njit(nogil=True, cache=True)
def _line_end(data: Bytes, at: int, hi: int) -> int:
    # Where the line ends that `at` stands in, before its `\n` or `\r\n`.
    begin = at
    while at < hi:
        found = _line_feeds(data, at)
        if found != np.uint64(0):
            at = min(at + trailing_zeros(found), hi)
            return at - 1 if begin < at < hi and data[at - 1] == 0x0D else at
        at += 64
    return hi


@numba.njit(nogil=True, cache=True)
def _is(data: Bytes, at: int, hi: int, mark: Bytes, width: int) -> bool:
    if at + width > hi:
        return False
    for k in range(width):  # noqa: SIM110 - numba has no generator expressions
        if data[at + k] != mark[k]:
            return False
    return True


@numba.njit(nogil=True, cache=True)
def _word(byte: int) -> bool:
    return 0x30 <= byte <= 0x39 or 0x61 <= (byte | 0x20) <= 0x7A or byte == 0x5F or byte >= 0x80


# --- any language of the table ------------------------------------------------------------------------------------


@numba.njit(nogil=True, cache=True)
def _value_is_due(data: Bytes, lo: int, at: int) -> bool:
    # Whether a `/` at this place begins a regular expression: not behind a name, a number, a string or a bracket that
    # closes, but behind `return` and its like, which end on these letters: return typeof case in of new else void ...
    at -= 1
    while at >= lo and data[at] <= 0x20:
        at -= 1
    if at < lo:
        return True
    byte = data[at]
    if not _word(byte):
        return byte not in (0x29, 0x5D, 0x7D, 0x22, 0x27, 0x60, 0x3C)  # ) ] } " ' ` <
    end = at + 1
    while at >= lo and _word(data[at]):
        at -= 1
    length = end - at - 1
    if length == 2:
        return data[at + 1] in (0x69, 0x6F, 0x64) and data[at + 2] in (0x6E, 0x66, 0x6F)  # in, if, of, do
    if length == 6:
        return data[at + 1] == 0x72 and data[at + 6] == 0x6E and data[at + 4] == 0x75  # return
    return False


@numba.njit(nogil=True, cache=True)
def _may_open(data: Bytes, lo: int, at: int, hi: int, where: int, width: int) -> bool:
    if where == WORD_START:
        return at == lo or data[at - 1] <= 0x20 or data[at - 1] in (0x28, 0x29, 0x3B, 0x5B, 0x7B, 0x7C, 0x26, 0x2C)
    if where == COLUMN_ONE:
        return at == lo or data[at - 1] == 0x0A
    if where == LINE_START:
        while at > lo and (data[at - 1] == 0x20 or data[at - 1] == 0x09):
            at -= 1
        return at == lo or data[at - 1] == 0x0A
    if where == OPERAND:
        return _value_is_due(data, lo, at)
    if where == CHARACTER:  # '\n' or one character, however many bytes it has
        at += width
        if at >= hi:
            return False
        if data[at] == 0x5C:
            return True
        at += 1
        while at < hi and 0x80 <= data[at] <= 0xBF:
            at += 1
        return at < hi and data[at] == 0x27
    return True


@numba.njit(nogil=True, cache=True)
def _close(data: Bytes, at: int, hi: int, marks: Bytes, widths: Any, traits: Any) -> int:
    # Behind the end of the region whose opening ends at `at`; -1 if it must close on its line and does not.
    if widths[1] == 0:
        return _line_end(data, at, hi)
    nests, escape, lines, brackets = traits[2], traits[3], traits[4], traits[5]
    last, opening, depth, bracket = marks[1, 0], marks[0, 0], 1, False
    while at < hi:
        byte = data[at]
        if byte == escape and escape != 0:
            at += 2
        elif byte == 0x0A and not lines:
            return -1
        elif brackets and byte == 0x5B:
            bracket, at = True, at + 1
        elif bracket:
            bracket, at = byte != 0x5D, at + 1
        elif byte == last and _is(data, at, hi, marks[1], widths[1]):
            at += widths[1]
            depth -= 1
            if depth == 0:
                return at
        elif nests and byte == opening and _is(data, at, hi, marks[0], widths[0]):
            at += widths[0]
            depth += 1
        else:
            at += 1
    return hi if lines else -1


@numba.njit(nogil=True, cache=True)
def in_comments(
    data: Bytes, lo: int, hi: int, begins: Any, marks: Any, widths: Any, traits: Any, escape: Any, first: Bytes
) -> int:
    found, at, line_end = 0, lo, lo
    unclosed = np.uint64(0)  # regions not to be tried again before `line_end`, or a line could take its square
    if first[0] != 0:
        while at < hi and not _is(data, at, hi, first, 2):
            at += 1
    while at < hi:
        byte = data[at]
        if not begins[byte]:
            at += 1
            continue
        if byte == escape:
            at += 2
            continue
        if at >= line_end:
            unclosed = np.uint64(0)
        end = -1
        for k in range(len(widths)):
            width = widths[k, 0]
            if width == 0:
                break
            if unclosed >> np.uint64(k) & _ONE or not _is(data, at, hi, marks[k, 0], width):
                continue
            if not _may_open(data, lo, at, hi, traits[k, 1], width):
                continue
            end = _close(data, at + width, hi, marks[k], widths[k], traits[k])
            if end >= 0:
                found += _characters(data, at, end) if traits[k, 0] else 0
                break
            line_end = _line_end(data, at, hi) if unclosed == np.uint64(0) else line_end
            unclosed |= _ONE << np.uint64(k)
        at = end if end >= 0 else at + 1
    return found


# --- Python -------------------------------------------------------------------------------------------------------


@numba.njit(nogil=True, cache=True)
def _python_string(data: Bytes, at: int, hi: int) -> tuple[int, int]:
    # Behind the end of the string whose first quote is at `at`, and the width of its quotes, 0 if nothing closes it; an
    # end of -1 if it had to close on its line.
    mark = data[at]
    width = 3 if at + 2 < hi and data[at + 1] == mark and data[at + 2] == mark else 1
    at += width
    while at < hi:
        byte = data[at]
        if byte == 0x5C:
            at += 3 if at + 2 < hi and data[at + 1] == 0x0D and data[at + 2] == 0x0A else 2
        elif byte == mark and width == 1:
            return at + 1, 1
        elif byte == mark and at + 2 < hi and data[at + 1] == mark and data[at + 2] == mark:
            return at + 3, 3
        elif byte == 0x0A and width == 1:
            return -1, 0
        else:
            at += 1
    return (hi if width == 3 else -1), 0


@numba.njit(nogil=True, cache=True)
def _spells(data: Bytes, at: int, end: int, word: bytes) -> bool:
    if end - at != len(word):
        return False
    for k in range(len(word)):  # noqa: SIM110
        if data[at + k] != word[k]:
            return False
    return True


@numba.njit(nogil=True, cache=True)
def in_python_comments(data: Bytes, lo: int, hi: int) -> int:
    # A docstring is a string that is a statement by itself and the first of the file or behind the colon of a `def` or
    # `class`: `expected` says that it would have to come next, `pending` what strings count if nothing else follows in
    # their statement, -1 where there are none. `fresh` says that a statement begins, `heading` that one is a header.
    found, pending, depth = 0, -1, 0
    expected, heading, fresh = True, False, True
    at = lo + 3 if hi - lo >= 3 and data[lo] == 0xEF and data[lo + 1] == 0xBB and data[lo + 2] == 0xBF else lo
    while at < hi:
        byte = data[at]
        prefix = at
        if _word(byte):
            while at < hi and _word(data[at]):
                at += 1
            quoted = at < hi and (data[at] == 0x22 or data[at] == 0x27) and at - prefix <= 2
            if not quoted:
                starts = fresh and depth == 0
                heading = (starts and (_spells(data, prefix, at, b"def") or _spells(data, prefix, at, b"class"))) or (
                    heading and not starts
                )
                fresh = starts and _spells(data, prefix, at, b"async")
                expected, pending = False, -1
                continue
            byte = data[at]
        if byte == 0x22 or byte == 0x27:
            end, width = _python_string(data, at, hi)
            plain = width > 0
            for k in range(prefix, at):  # r and u may stand before a docstring, b and f may not
                plain = plain and data[k] | 0x20 in (0x72, 0x75)
            if plain and (expected or pending >= 0):
                pending = max(pending, 0) + _characters(data, at + width, max(at + width, end - width))
            else:
                pending = -1
            expected = fresh = False
            at = end if end >= 0 else at + 1
            continue
        at += 1
        if byte == 0x20 or byte == 0x09 or byte == 0x0D or byte == 0x0C:
            continue
        if byte == 0x5C:
            at += 2 if at + 1 < hi and data[at] == 0x0D else 1
            continue
        if byte == 0x23:
            end = _line_end(data, at, hi)
            found += _characters(data, at, end)
            for k in range(at, end):
                found -= data[k] == 0x23
            at = end
            continue
        if byte == 0x0A or byte == 0x3B:
            if depth == 0:
                found += max(pending, 0)
                expected = expected and byte == 0x0A
                fresh, heading, pending = True, False, -1
            continue
        opens = byte == 0x28 or byte == 0x5B or byte == 0x7B
        closes = byte == 0x29 or byte == 0x5D or byte == 0x7D
        depth = max(0, depth + opens - closes)
        expected = byte == 0x3A and heading and depth == 0
        heading = heading and not expected
        fresh, pending = expected, -1
    return found + max(pending, 0)


# --- both, over a column ------------------------------------------------------------------------------------------


@numba.njit(nogil=True, cache=True)
def comment_fractions(
    data: Bytes,
    offsets: Offsets,
    codes: Any,
    begins: Any,
    marks: Any,
    widths: Any,
    traits: Any,
    escapes: Bytes,
    first: Any,
    out: Any,
) -> None:
    for n in range(len(out)):
        lo, hi, k = offsets[n], offsets[n + 1], codes[n] - 1
        out[n] = np.nan
        if lo == hi or k < -1:
            continue
        if k < 0:
            found = in_python_comments(data, lo, hi)
        else:
            found = in_comments(data, lo, hi, begins[k], marks[k], widths[k], traits[k], escapes[k], first[k])
        out[n] = found / _characters(data, lo, hi)
