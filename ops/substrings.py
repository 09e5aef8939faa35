"""Many fixed strings looked for in a whole column at once, as an Aho-Corasick automaton would find them.

A long string is known by eight windows of eight bytes, of which any occurrence has exactly one at a multiple of eight
from the start of its row; so only every eighth place of the text is looked up, in a bit table that the processor keeps
close, and what the table knows is compared byte by byte. Shorter strings are looked up at every place.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
import pyarrow as pa

from engine.columns import Bytes, Offsets, padded_parts, text_buffers, text_column
from engine.simd import load64, mask, trailing_zeros

Numbers = np.ndarray[Any, np.dtype[np.int64]]
Words = np.ndarray[Any, np.dtype[np.uint64]]

WINDOW = 8
"""Bytes of a window: the shortest string that can be looked for."""
_LONG = 2 * WINDOW - 1
_FOLD = 0x2020202020202020
_TABLE_BITS = 20


class Substrings:
    """The strings that are looked for, lower-cased and in UTF-8, each of at least `WINDOW` bytes."""

    def __init__(self, strings: Sequence[bytes]) -> None:
        short = [s for s in strings if len(s) < WINDOW]
        if short:
            raise ValueError(f"{short[0]!r} has fewer than {WINDOW} bytes")
        self.text = np.frombuffer(b"".join(strings) + bytes(WINDOW), np.uint8)
        self.ends = np.cumsum([0, *(len(s) for s in strings)], dtype=np.int64)
        self._indexes = [
            _index([(n, s) for n, s in enumerate(strings) if len(s) >= _LONG], WINDOW),
            _index([(n, s) for n, s in enumerate(strings) if len(s) < _LONG], 1),
        ]

    def first(self, column: pa.Array) -> Numbers:
        """For each row the number of the first string, in the order given, that its lower-cased text holds; else -1.

        Equal to asking `string in text.lower()` for one string after another.
        """
        found = self._search(column)
        odd = rows_with_wide_capitals(column)
        if len(odd):
            found[odd] = self._search(lowered(column.take(odd)))
        return found

    def _search(self, column: pa.Array) -> Numbers:
        data, offsets = text_buffers(column)
        found = np.full(len(column), len(self.ends), np.int64)
        for rows, part, ends in padded_parts(data, offsets):
            for index in self._indexes:
                if index is not None:
                    _find(part, ends, self.text, self.ends, found[rows], *index)
        found[found == len(self.ends)] = -1
        return found


def _index(strings: list[tuple[int, bytes]], stride: int) -> Any:
    # Of all places in a string the one whose windows are rarest among the strings is the one that it is known by:
    # hundreds of them begin with `Write a function to`.
    if not strings:
        return None
    lengths = np.array([len(s) for _, s in strings])
    starts = np.cumsum(lengths) - lengths
    windows = _windows(b"".join(s for _, s in strings))
    place, last = np.arange(len(windows)) - np.repeat(starts, lengths), np.repeat(lengths, lengths) - WINDOW
    cost = np.append(0, np.cumsum(np.where(place <= last, _costs(windows, place <= last), 0)))
    run = np.full(len(windows), np.inf)
    run[: len(run) - stride + 1] = cost[stride:] - cost[:-stride]
    run[place > last - stride + 1] = np.inf
    lowest = np.flatnonzero(run == np.repeat(np.minimum.reduceat(run, starts), lengths))
    best = lowest[np.searchsorted(lowest, starts)]
    chosen = best + np.arange(stride)[:, None]
    keys = (windows[chosen], np.broadcast_to([n for n, _ in strings], chosen.shape), place[chosen])
    order = np.lexsort([k.ravel() for k in keys[::-1]])
    windows, numbers, places = (k.ravel()[order] for k in keys)
    bits = np.zeros(1 << (_TABLE_BITS - 6), np.uint64)
    slots = (windows * np.uint64(_MIX)) >> np.uint64(64 - _TABLE_BITS)
    np.bitwise_or.at(bits, slots >> np.uint64(6), np.uint64(1) << (slots & np.uint64(63)))
    return bits, windows, numbers.astype(np.int64), places.astype(np.int64), stride


def _windows(text: bytes) -> Words:
    """The window that begins at each byte of a text; behind its end there are zeros."""
    data = np.frombuffer(text + bytes(WINDOW), np.uint8).astype(np.uint64)
    windows = np.full(len(text), np.uint64(_FOLD))
    for k in range(WINDOW):
        windows |= data[k : len(text) + k] << np.uint64(8 * k)
    return windows


def _costs(windows: Words, whole: Any) -> Any:
    """How common each window is among those that are whole; few distinct bytes, as in a ruler, are so in any text."""
    known, inverse, counts = np.unique(windows[whole], return_inverse=True, return_counts=True)
    letters = np.sort(known.view(np.uint8).reshape(-1, WINDOW), axis=1)
    distinct = 1 + (np.diff(letters, axis=1) != 0).sum(axis=1)
    costs = np.zeros(len(windows))
    costs[whole] = (counts + np.where(distinct < 4, 1000.0, 4.0 / distinct))[inverse]
    return costs


_MIX = 0x9E3779B97F4A7C15


@numba.njit(nogil=True, cache=True)
def _find(
    data: Bytes,
    offsets: Offsets,
    text: Bytes,
    ends: Offsets,
    found: Numbers,
    bits: Words,
    windows: Words,
    numbers: Numbers,
    places: Numbers,
    stride: int,
) -> None:
    for row in range(len(found)):
        lo, hi = offsets[row], offsets[row + 1]
        for at in range(lo, hi - WINDOW + 1, stride):
            window = load64(data, at) | np.uint64(_FOLD)
            slot = (window * np.uint64(_MIX)) >> np.uint64(64 - _TABLE_BITS)
            if (bits[slot >> np.uint64(6)] >> (slot & np.uint64(63))) & np.uint64(1) == np.uint64(0):
                continue
            k = np.searchsorted(windows, window)
            while k < len(windows) and windows[k] == window:
                number, begin = numbers[k], at - places[k]
                if number < found[row] and _equal(data, begin, lo, hi, text, ends[number], ends[number + 1]):
                    found[row] = number
                k += 1


@numba.njit(nogil=True, cache=True)
def _equal(data: Bytes, begin: Any, lo: int, hi: int, text: Bytes, first: Any, last: Any) -> bool:
    if begin < lo or begin + last - first > hi:
        return False
    for k in range(last - first):
        byte = data[begin + k]
        if 0x41 <= byte <= 0x5A:
            byte |= 0x20
        if byte != text[first + k]:
            return False
    return True


# --- capitals beyond ASCII ----------------------------------------------------------------------------------------

_wide = mask(lambda byte: byte.between(0xC3, 0xFF))


def rows_with_wide_capitals(column: pa.Array) -> Numbers:
    """The rows whose text has a character beyond ASCII that lower-casing changes; to those ASCII's rule does not do."""
    data, offsets = text_buffers(column)
    marked = np.zeros(len(column), np.bool_)
    for rows, part, ends in padded_parts(data, offsets):
        _mark_capitals(part, ends, _capitals(), marked[rows])
    return np.flatnonzero(marked)


def lowered(column: pa.Array) -> pa.Array:
    """The column in lower case as `str.lower` has it, by a loop over its rows."""
    return pa.array([None if text is None else text.lower() for text in column.to_pylist()], pa.large_string())


@functools.cache
def _capitals() -> Any:
    changed = [chr(c).lower() != chr(c) for c in range(0x20000)]
    changed[:0x80] = [False] * 0x80
    return np.array(changed, np.bool_)


@numba.njit(nogil=True, cache=True)
def _mark_capitals(data: Bytes, offsets: Offsets, capitals: Any, marked: Any) -> None:
    for row in range(len(marked)):
        at, hi = offsets[row], offsets[row + 1]
        while at < hi and not marked[row]:
            bits = _wide(data, at)
            while bits != np.uint64(0):
                lead = at + trailing_zeros(bits)
                bits &= bits - np.uint64(1)
                if lead >= hi:
                    break
                code = _code_point(data, lead)
                if code < len(capitals) and capitals[code]:
                    marked[row] = True
                    break
            at += 64


@numba.njit(nogil=True, cache=True, inline="always")
def _three(data: Bytes, at: int) -> Any:
    return (np.int64(data[at]) & 0x0F) << 12 | (np.int64(data[at + 1]) & 0x3F) << 6 | (np.int64(data[at + 2]) & 0x3F)


@numba.njit(nogil=True, cache=True, inline="always")
def _code_point(data: Bytes, at: int) -> Any:
    lead = np.int64(data[at])
    if lead < 0xE0:
        return (lead & 0x1F) << 6 | (np.int64(data[at + 1]) & 0x3F)
    if lead < 0xF0:
        return _three(data, at)
    return (lead & 0x07) << 18 | (np.int64(data[at + 1]) & 0x30) << 12 | _three(data, at + 1)


# --- text without white space ---------------------------------------------------------------------------------------


def without_white_space(column: pa.Array) -> pa.Array:
    """The column with every character for which `str.isspace` is true taken out."""
    data, offsets = text_buffers(column)
    out = np.empty(int(offsets[-1] - offsets[0]) + 1, np.uint8)
    ends = np.zeros(len(offsets), np.int64)
    _squeeze(data, offsets, _KINDS, out, ends)
    return text_column(out[: int(ends[-1])], ends)


_KINDS = np.array(
    [0 if c < 0x80 and chr(c).isspace() else 2 if c in (0xC2, 0xE1, 0xE2, 0xE3) else 1 for c in range(256)]
)
_KINDS = _KINDS.astype(np.uint8)
"""Of each byte whether it is white space (0), may begin white space (2), or neither (1)."""


@numba.njit(nogil=True, cache=True)
def _squeeze(data: Bytes, offsets: Offsets, kinds: Bytes, out: Bytes, ends: Offsets) -> None:
    end = 0
    for row in range(len(ends) - 1):
        at, hi = offsets[row], offsets[row + 1]
        while at < hi:
            byte = data[at]
            kind = kinds[byte]
            if kind > 1:
                wide = byte == 0xC2 and (data[at + 1] == 0x85 or data[at + 1] == 0xA0)
                if wide or (byte != 0xC2 and _is_wide_space(_three(data, at))):
                    at += 2 if wide else 3
                    continue
                kind = np.uint8(1)
            out[end] = byte
            end += np.int64(kind)
            at += 1
        ends[row + 1] = end


@numba.njit(nogil=True, cache=True, inline="always")
def _is_wide_space(code: int) -> bool:
    return (
        0x2000 <= code <= 0x200A
        or code == 0x1680
        or code == 0x2028
        or code == 0x2029
        or code == 0x202F
        or code == 0x205F
        or code == 0x3000
    )
