"""Runs of words that two texts share, for texts that were re-indented, re-punctuated or quoted in part.

Words are maximal runs of ASCII letters, digits and underscores or bytes above 0x7F, lower-cased. A run of n words is
known by a 64-bit hash, so what is found is found but for a chance of one in 10^12 or less.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
import pyarrow as pa

from engine.columns import Bytes, Offsets, padded_parts, text_buffers
from engine.simd import load64, mask, trailing_zeros
from ops.substrings import lowered, rows_with_wide_capitals

Numbers = np.ndarray[Any, np.dtype[np.int64]]
Hashes = np.ndarray[Any, np.dtype[np.uint64]]

_STEP = 0x9E3779B97F4A7C15
_MIX = 0x9FB21C651E98DF25
_BITS = 18


class WordNgrams:
    """The runs of `n` words of some texts, to be looked for in a column."""

    def __init__(self, texts: Sequence[str], n: int) -> None:
        self.n = n
        data, offsets = text_buffers(pa.array([t.lower() for t in texts], pa.large_string()))
        parts = [(_collect(part, ends, n), rows) for rows, part, ends in padded_parts(data, offsets)]
        hashes = np.concatenate([h for (h, _), _ in parts])
        numbers = np.concatenate([k + rows.start for (_, k), rows in parts])
        order = np.lexsort((numbers, hashes))
        self.hashes, first = np.unique(hashes[order], return_index=True)
        self.numbers = numbers[order][first]
        self.bits = np.zeros(1 << (_BITS - 6), np.uint64)
        slots = self.hashes >> np.uint64(64 - _BITS)
        np.bitwise_or.at(self.bits, slots >> np.uint64(6), np.uint64(1) << (slots & np.uint64(63)))

    def first(self, column: pa.Array) -> Numbers:
        """For each row the number of the first text, in the order given, that it shares n words with; else -1."""
        found = self._search(column)
        odd = rows_with_wide_capitals(column)
        if len(odd):
            found[odd] = self._search(lowered(column.take(odd)))
        return found

    def _search(self, column: pa.Array) -> Numbers:
        found = np.full(len(column), -1, np.int64)
        for rows, part, ends in padded_parts(*text_buffers(column)):
            _find(part, ends, self.n, self.bits, self.hashes, self.numbers, found[rows])
        return found


def count_words(text: str) -> int:
    """How many words a text has."""
    parts = padded_parts(*text_buffers(pa.array([text], pa.large_string())))
    return sum(len(_collect(part, ends, 1)[0]) for _, part, ends in parts)


_in_word = mask(
    lambda byte: byte.any(byte.letter(), byte.between(0x30, 0x39), byte.equal(0x5F), byte.between(0x80, 0xFF))
)


@numba.njit(nogil=True, cache=True, inline="always")
def _run_length(bits: Any) -> int:
    return 64 if bits == ~np.uint64(0) else trailing_zeros(~bits)


@numba.njit(nogil=True, cache=True, inline="always")
def _next_word(data: Bytes, at: int, hi: int) -> Any:
    # Where the first word at or behind a place begins and ends; both are `hi` where there is none.
    bits = _in_word(data, at) if at < hi else np.uint64(1)
    while bits == np.uint64(0):
        at += 64
        bits = _in_word(data, at) if at < hi else np.uint64(1)
    begin = min(at + trailing_zeros(bits), hi)
    end = begin
    step = 64
    while step == 64 and end < hi:
        step = _run_length(_in_word(data, end))
        end += step
    return begin, min(end, hi)


@numba.njit(nogil=True, cache=True, inline="always")
def _hash(data: Bytes, begin: int, end: int) -> Any:
    value = np.uint64(end - begin) * np.uint64(_STEP)
    for at in range(begin, end, 8):
        word = load64(data, at)
        if end - at < 8:
            word &= (np.uint64(1) << np.uint64(8 * (end - at))) - np.uint64(1)
        # Bit 5 makes an ASCII letter small and leaves digits be; of bytes above 0x7F nothing is changed.
        word |= np.uint64(0x2020202020202020) & ~((word & np.uint64(0x8080808080808080)) >> np.uint64(2))
        value = (value ^ word) * np.uint64(_MIX)
        value ^= value >> np.uint64(32)
    return value


@numba.njit(nogil=True, cache=True, inline="always")
def _mixed(run: Any) -> Any:
    run ^= run >> np.uint64(32)
    run *= np.uint64(_STEP)
    return run ^ (run >> np.uint64(29))


@numba.njit(nogil=True, cache=True)
def _power(n: int) -> Any:
    answer = np.uint64(1)
    for _ in range(n):
        answer *= np.uint64(_STEP)
    return answer


@numba.njit(nogil=True, cache=True)
def _collect(data: Bytes, offsets: Offsets, n: int) -> Any:
    size = int(offsets[-1] - offsets[0]) // 2 + len(offsets)
    hashes, numbers = np.empty(size, np.uint64), np.empty(size, np.int64)
    last, drop, total = np.zeros(n, np.uint64), _power(n), 0
    for row in range(len(offsets) - 1):
        at, hi, words, run = offsets[row], offsets[row + 1], 0, np.uint64(0)
        last[:] = 0
        while True:
            begin, at = _next_word(data, at, hi)
            if begin == at:
                break
            word = _hash(data, begin, at)
            run = run * np.uint64(_STEP) + word - last[words % n] * drop
            last[words % n] = word
            words += 1
            if words >= n:
                hashes[total], numbers[total] = _mixed(run), row
                total += 1
    return hashes[:total], numbers[:total]


@numba.njit(nogil=True, cache=True)
def _find(
    data: Bytes, offsets: Offsets, n: int, bits: Hashes, hashes: Hashes, numbers: Numbers, found: Numbers
) -> None:
    last, drop = np.zeros(n, np.uint64), _power(n)
    for row in range(len(found)):
        at, hi, words, run = offsets[row], offsets[row + 1], 0, np.uint64(0)
        last[:] = 0
        slot_of_word = 0
        while True:
            begin, at = _next_word(data, at, hi)
            if begin == at:
                break
            word = _hash(data, begin, at)
            run = run * np.uint64(_STEP) + word - last[slot_of_word] * drop
            last[slot_of_word] = word
            slot_of_word = 0 if slot_of_word + 1 == n else slot_of_word + 1
            words += 1
            if words < n:
                continue
            key = _mixed(run)
            slot = key >> np.uint64(64 - _BITS)
            if (bits[slot >> np.uint64(6)] >> (slot & np.uint64(63))) & np.uint64(1) == np.uint64(0):
                continue
            k = np.searchsorted(hashes, key)
            if k < len(hashes) and hashes[k] == key and (found[row] < 0 or numbers[k] < found[row]):
                found[row] = numbers[k]
