"""Shingles: a document as the set of the 64-bit hashes of its runs of n words, the elements that Jaccard compares.

A word is a maximal run of the bytes `[0-9A-Za-z_]` and those from 0x80 up, so a letter beyond ASCII never cuts one. All
arithmetic is modulo 2^64:

- hash of a word of L bytes: `h = SEED ^ L * LENGTH`; for each eight bytes of it, as a little-endian number x, but the
  last one to eight: `h = (h ^ x) * WORD; h ^= h >> 29`; for those: `h = (h ^ x) * LAST; h ^= h >> 32`;
- hash of a shingle of word hashes `h1 ... hn`: `y = h1 * BASE^(n-1) + ... + hn`, then `y ^= y >> 33; y *= LAST;
  y ^= y >> 33`.

A document of fewer words than n has one shingle, of all its words; one without words has none.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pyarrow as pa

from engine.columns import Bytes, Offsets, padded_parts, text_buffers
from engine.simd import load64, mask, trailing_zeros

Hashes = np.ndarray[Any, np.dtype[np.uint64]]

SEED = np.uint64(0xA0761D6478BD642F)
LENGTH = np.uint64(0xE7037ED1A0B428DB)
WORD = np.uint64(0x9E3779B97F4A7C15)
LAST = np.uint64(0xFF51AFD7ED558CCD)
BASE = np.uint64(0xD6E8FEB86659FD93)

SEEN = 2048
"""Slots of the table that leaves out most repeats of a shingle: 16 KiB, half of a first-level cache."""

_ONE = np.uint64(1)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)

_words = mask(
    lambda byte: byte.any(byte.letter(), byte.between(0x30, 0x39), byte.equal(0x5F), byte.between(0x80, 0xFF))
)


@numba.njit(nogil=True, cache=True, inline="always")
def _word_hash(data: Bytes, lo: int, hi: int) -> Any:
    left = hi - lo
    h = SEED ^ (np.uint64(left) * LENGTH)
    while left > 8:
        h = (h ^ load64(data, lo)) * WORD
        h ^= h >> np.uint64(29)
        lo += 8
        left -= 8
    h = (h ^ (load64(data, lo) & (_ALL >> np.uint64(64 - 8 * left)))) * LAST
    return h ^ (h >> np.uint64(32))


@numba.njit(nogil=True, cache=True, inline="always")
def _finish(y: Any) -> Any:
    y ^= y >> np.uint64(33)
    y *= LAST
    return y ^ (y >> np.uint64(33))


@numba.njit(nogil=True, cache=True)
def shingle(data: Bytes, lo: Any, hi: Any, ring: Hashes, seen: Hashes, out: Hashes) -> tuple[int, int]:
    """Puts the hashes of the shingles of `data[lo:hi]` into `out`; returns how many it put and how many there are.

    Most repeats are left out: what is put has every shingle at least once, in the order of the text. `ring` has n
    entries and `seen` a power of two of them, both for scratch; `out` has room for `(hi - lo) // 2 + 2`. The bytes may
    be read `engine.columns.OVERREAD` past `hi`.
    """
    n, slots = len(ring), np.uint64(len(seen) - 1)
    leaving = _ONE
    for i in range(n):
        ring[i] = 0
        leaving *= BASE
    seen[:] = 0
    seen[0] = 1  # the hash 0 is not in the table yet, and 1 does not belong here
    y, in_word = np.uint64(0), np.uint64(0)
    words = put = oldest = 0
    start = at = lo
    while at <= hi:
        bits = _words(data, at)
        if hi - at < 64:
            bits &= (_ONE << np.uint64(hi - at)) - _ONE
        edges = bits ^ ((bits << _ONE) | in_word)
        if in_word == 0 and edges != 0:
            start = at + trailing_zeros(edges)
            edges &= edges - _ONE
        in_word = bits >> np.uint64(63)
        while edges != 0:
            end = at + trailing_zeros(edges)
            edges &= edges - _ONE
            word = _word_hash(data, start, end)
            if edges != 0:
                start = at + trailing_zeros(edges)
                edges &= edges - _ONE
            y = y * BASE + word - ring[oldest] * leaving
            ring[oldest] = word
            oldest = oldest + 1 if oldest + 1 < n else 0
            words += 1
            if words >= n:
                value = _finish(y)
                out[put] = value
                put += seen[value & slots] != value
                seen[value & slots] = value
        at += 64
    if 0 < words < n:
        out[0] = _finish(y)
        return 1, 1
    return put, max(0, words - n + 1)


@numba.njit(nogil=True, cache=True)
def longest(offsets: Offsets) -> int:
    """The bytes of the longest value."""
    most = 0
    for i in range(len(offsets) - 1):
        most = max(most, offsets[i + 1] - offsets[i])
    return most


@numba.njit(nogil=True, cache=True)
def sort_hashes(values: Hashes, scratch: Hashes) -> int:
    """Sorts hashes in place, drops the repeats and returns how many are left; `scratch` is as long as `values`.

    Linear for hashes, which are spread evenly: they are dealt out by their leading bits and set right by insertion.
    """
    count = len(values)
    bits = 1
    while bits < 16 and (1 << bits) < count:
        bits += 1
    shift = np.uint64(64 - bits)
    ends = np.zeros((1 << bits) + 1, np.int64)
    for i in range(count):
        ends[(values[i] >> shift) + _ONE] += 1
    for i in range(1 << bits):
        ends[i + 1] += ends[i]
    for i in range(count):
        bin = values[i] >> shift
        scratch[ends[bin]] = values[i]
        ends[bin] += 1
    left = 0
    for i in range(count):
        value = scratch[i]
        at = left
        while at > 0 and values[at - 1] > value:
            at -= 1
        if at > 0 and values[at - 1] == value:
            continue
        for j in range(left, at, -1):
            values[j] = values[j - 1]
        values[at] = value
        left += 1
    return left


@numba.njit(nogil=True, cache=True)
def _sets(data: Bytes, offsets: Offsets, rows: Offsets, n: int, scratch: Hashes, out: Hashes, ends: Offsets) -> int:
    ring, seen = np.empty(n, np.uint64), np.empty(SEEN, np.uint64)
    at = 0
    for i in range(len(rows)):
        put, _ = shingle(data, offsets[rows[i]], offsets[rows[i] + 1], ring, seen, out[at:])
        at += sort_hashes(out[at : at + put], scratch)
        ends[i] = at
    return at


def shingle_sets(content: pa.Array, rows: Offsets, n: int = 5) -> tuple[Hashes, Offsets]:
    """The sets of shingle hashes of these rows of a text column, for exact Jaccard: `(values, offsets)`.

    `rows` ascends. The set of `rows[i]` is `values[offsets[i]:offsets[i + 1]]`, sorted, each hash once, 8 bytes apiece:
    code has about one shingle in ten bytes. ValueError for rows that do not ascend and for n below 1.
    """
    data, offsets = text_buffers(content)
    rows = np.ascontiguousarray(rows, np.int64)
    if n < 1 or (rows[1:] < rows[:-1]).any() or (len(rows) and rows[0] < 0):
        raise ValueError("shingles need at least one word, and rows that ascend from 0")
    room = np.diff(offsets)[rows] // 2 + 2
    scratch = np.empty(int(room.max(initial=0)), np.uint64)
    sets, bounds, begin = [], [np.zeros(1, np.int64)], 0
    for part, text, own in padded_parts(data, offsets):
        lo, hi = np.searchsorted(rows, (part.start, part.stop))
        # Memory that is never written to is never taken.
        out, ends = np.empty(int(room[lo:hi].sum()), np.uint64), np.empty(hi - lo, np.int64)
        count = _sets(text, own, rows[lo:hi] - part.start, n, scratch, out, ends)
        sets.append(out[:count].copy())
        bounds.append(ends + begin)
        begin += count
    return np.concatenate([np.zeros(0, np.uint64), *sets]), np.concatenate(bounds)
