"""Byte-pair encoding over whole columns: words are cut, looked up in a memory of words met, and merged when new.

What is remembered changes how fast an answer is found and never the answer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from engine.columns import Bytes, Offsets
from engine.digest import xxh64
from engine.merges import FEW, ID_BITS, MIX, Vocabulary, Words, merge_few, merge_many
from engine.pretokens import MARKUP, next_cut, next_cuts
from engine.simd import load64, trailing_zeros

SHORT = 15
"""Bytes of a word that fit into the key of a slot, with their number."""
SLOTS = 1 << 19
"""Words of up to `SHORT` bytes that are remembered: four numbers each, two of bytes and two of ids."""
LONG = 96
"""Bytes of the longest word that is remembered."""
LONG_SLOTS = 1 << 15
"""Longer words that are remembered: their size and a hash, their bytes, then their ids."""
_LONG_BYTES, _LONG_IDS = LONG // 8, 11
_WIDTH = 1 + _LONG_BYTES + _LONG_IDS
PROBES = 4
"""Slots in which a word is looked for. Each time that it is met it goes up by one, and a new one takes the last: so
what is often met stays, whatever comes by once."""
_ID = np.uint64((1 << 20) - 1)
_MIX2 = np.uint64(0xC2B2AE3D27D4EB4F)

_SHIFTS = [(1 << 8 * n) - 1 for n in range(9)]
LOW = np.array([_SHIFTS[min(n, 8)] for n in range(16)], np.uint64)
"""Which bits of a word's first eight bytes are its own, by its size; `HIGH` of the next eight."""
HIGH = np.array([_SHIFTS[max(n - 8, 0)] for n in range(16)], np.uint64)


class Memory(NamedTuple):
    """The words met lately and their tokens. One thread's own."""

    short: Words
    """Four numbers a slot: the bytes, with their number in the last; up to three ids, with their number; three more."""
    long: Words
    scratch: Words
    """Room for the merging of a short word."""


def new_memory() -> Memory:
    """An empty memory, of 23 MB."""
    numbers = (SLOTS * 4, LONG_SLOTS * _WIDTH, 2 * FEW)
    return Memory(*(np.zeros(count, np.uint64) for count in numbers))


@numba.njit(nogil=True, cache=True)
def _pack(out: Any, at: int, count: int, table: Words, slot: Any) -> None:
    """Puts ids into numbers, three each, the last of them first; their number is above them in the first."""
    for n in range((count + 2) // 3):
        packed = np.uint64(count) << np.uint64(60) if n == 0 else np.uint64(0)
        for k in range(min(3, count - 3 * n)):
            packed |= np.uint64(out[at + 3 * n + k]) << (ID_BITS * np.uint64(k))
        table[slot + n] = packed


@numba.njit(nogil=True, cache=True)
def _unpack(table: Words, slot: Any, count: Any, out: Any, at: int) -> None:
    """Writes ids that were packed, and two more at most behind them."""
    for n in range((count + 2) // 3):
        packed = table[slot + n]
        out[at + 3 * n] = packed & _ID
        out[at + 3 * n + 1] = (packed >> ID_BITS) & _ID
        out[at + 3 * n + 2] = (packed >> (ID_BITS + ID_BITS)) & _ID


@numba.njit(nogil=True, cache=True)
def _short(
    data: Bytes, lo: int, hi: int, mixed: Any, low: Any, high: Any, tables: Any, memory: Memory, out: Any, at: int
) -> Any:
    """Writes the tokens of a word that is not in the first of its slots; answers their number."""
    table = memory.short
    first = (np.int64(mixed) << 4) & (len(table) - 1)
    new = first
    for slot in range(first, first + 4 * PROBES, 4):
        new = slot
        if table[slot + 1] == 0:
            break
        if table[slot] == low and table[slot + 1] == high:
            count = np.int64(table[slot + 2] >> np.uint64(60))
            _unpack(table, slot + 2, count, out, at)
            if slot > first:
                for n in range(slot, slot + 4):
                    table[n - 4], table[n] = table[n], table[n - 4]
            return count
    count = merge_few(data, lo, hi, tables, memory.scratch, out, at)
    if count <= 6:
        table[new], table[new + 1] = low, high
        _pack(out, at, count, table, new + 2)
    return count


@numba.njit(nogil=True, cache=True)
def _long(data: Bytes, lo: int, hi: int, vocabulary: Vocabulary, memory: Memory, out: Any, at: int) -> Any:
    """Writes the tokens of a word of more than `SHORT` bytes; answers their number."""
    size = hi - lo
    if size > LONG:
        return merge_many(data, lo, hi, vocabulary, out, at)
    key = np.uint64(size)
    for n in range(lo, hi - 7, 8):
        key = (key ^ load64(data, n)) * MIX
        key ^= key >> np.uint64(29)
    key = (key ^ load64(data, hi - 8)) * _MIX2
    key ^= key >> np.uint64(32)
    table, new = memory.long, np.int64(-1)
    first = np.int64(key >> np.uint64(40))
    # The ids' number comes in where the hash's lowest bits are.
    key = (key << np.uint64(16)) | (np.uint64(size) << np.uint64(8))
    for probe in range(PROBES):
        slot = ((first + probe) & (LONG_SLOTS - 1)) * _WIDTH
        head = table[slot]
        if head == 0:
            new = slot
            break
        if head & ~np.uint64(255) == key:
            same = table[slot + 1 + ((size - 1) >> 3)] == load64(data, hi - 8)
            for n in range((size - 1) >> 3):
                same = same and table[slot + 1 + n] == load64(data, lo + 8 * n)
            if same:
                count = np.int64(head & np.uint64(255))
                _unpack(table, slot + 1 + _LONG_BYTES, count, out, at)
                return count
    if size <= FEW:
        count = merge_few(data, lo, hi, vocabulary, memory.scratch, out, at)
    else:
        count = merge_many(data, lo, hi, vocabulary, out, at)
    if count <= 3 * _LONG_IDS:
        if new < 0:
            new = ((first + size % PROBES) & (LONG_SLOTS - 1)) * _WIDTH
        table[new] = key | np.uint64(count)
        for n in range((size - 1) >> 3):
            table[new + 1 + n] = load64(data, lo + 8 * n)
        table[new + 1 + ((size - 1) >> 3)] = load64(data, hi - 8)
        _pack(out, at, count, table, new + 1 + _LONG_BYTES)
    return count


@numba.njit(nogil=True, cache=True)
def encode(
    data: Bytes, offsets: Offsets, vocabulary: Vocabulary, memory: Memory, end: int, out: Any, ends: Offsets, at: Any
) -> Any:
    """Writes the tokens of every value to `out[at:]` and where they end to `ends`; answers where the last end.

    `end` is a token to put behind each value, or -1. `out` needs room for as many tokens as there are bytes, the ends
    and four more. The bytes may be read `OVERREAD` past the last value.
    """
    table, classes = memory.short, vocabulary.classes
    last = len(table) - 1
    for row in range(len(offsets) - 1):
        lo, hi = offsets[row], offsets[row + 1]
        while lo < hi:
            base, cuts = lo, next_cuts(data, lo, hi)
            if not cuts:
                cut, kind = next_cut(data, lo, hi, classes)
                if kind == MARKUP:
                    out[at] = data[lo + 2] - 0x90
                    at += 1
                    lo = cut
                    continue
                if cut - lo > SHORT:
                    at += _long(data, lo, cut, vocabulary, memory, out, at)
                    lo = cut
                    continue
                cuts = np.uint64(1) << np.uint64(cut - lo)
            while cuts:
                cut = base + trailing_zeros(cuts)
                cuts &= cuts - np.uint64(1)
                size = cut - lo
                if size > SHORT:
                    at += _long(data, lo, cut, vocabulary, memory, out, at)
                    lo = cut
                    continue
                low = load64(data, lo) & LOW[size]
                high = (load64(data, lo + 8) & HIGH[size]) | (np.uint64(size) << np.uint64(56))
                mixed = (low * MIX) ^ (high * _MIX2)
                mixed ^= mixed >> np.uint64(32)
                slot = (np.int64(mixed) << 4) & last
                packed = table[slot + 2]
                count = np.int64(packed >> np.uint64(60))
                if table[slot] == low and table[slot + 1] == high and count <= 3:
                    out[at] = packed & _ID
                    out[at + 1] = (packed >> ID_BITS) & _ID
                    out[at + 2] = (packed >> (ID_BITS + ID_BITS)) & _ID
                    at += count
                else:
                    at += _short(data, lo, cut, mixed, low, high, vocabulary, memory, out, at)
                lo = cut
        if end >= 0:
            out[at] = end
            at += 1
        ends[row] = at
    return at


@numba.njit(nogil=True, cache=True)
def word_hashes(data: Bytes, offsets: Offsets, classes: Bytes, out: Words) -> int:
    """Writes a 64-bit hash of each word and answers their number; the bytes may be read past the last value."""
    at = 0
    for row in range(len(offsets) - 1):
        lo, hi = offsets[row], offsets[row + 1]
        while lo < hi:
            cut, _ = next_cut(data, lo, hi, classes)
            out[at] = xxh64(data, lo, cut, np.uint64(0))
            at += 1
            lo = cut
    return at
