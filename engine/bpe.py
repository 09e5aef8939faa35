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
from engine.simd import fetch, load64, trailing_zeros

TINY, SHORT = 7, 15
"""Bytes of a word that fit into one number together with their number, and into two."""
TINY_SLOTS, SHORT_SLOTS = 1 << 18, 1 << 18
"""Words of these sizes that are remembered."""
LONG = 96
"""Bytes of the longest word that is remembered."""
LONG_SLOTS = 1 << 15
"""Longer words that are remembered: their size and a hash, their bytes, then their ids."""
_LONG_BYTES, _LONG_IDS = LONG // 8, 11
_WIDTH = 1 + _LONG_BYTES + _LONG_IDS
PROBES = 4
"""Slots in which a word is looked for. Each time that it is met it goes up by one, and a new one takes the last: so
what is often met stays, whatever comes by once."""
_REST = 2 * (TINY_SLOTS + PROBES)
"""Where the slots of words begin that are not tiny."""
_ID = np.uint64((1 << 20) - 1)
_MIX2 = np.uint64(0xC2B2AE3D27D4EB4F)

_SHIFTS = [(1 << 8 * n) - 1 for n in range(9)]
LOW = np.array([_SHIFTS[min(n, 8)] for n in range(16)], np.uint64)
"""Which bits of a word's first eight bytes are its own, by its size; `HIGH` of the next eight."""
HIGH = np.array([_SHIFTS[max(n - 8, 0)] for n in range(16)], np.uint64)


class Memory(NamedTuple):
    """The words met lately and their tokens. One thread's own."""

    short: Words
    """Slots of two numbers for tiny words: the bytes with their number, and up to three ids with theirs. Behind them
    slots of four: eight bytes; up to three ids; the other bytes with the number of all; three ids more."""
    long: Words
    scratch: Words
    """Room for the merging of a short word."""
    seen: Words
    """The words between the cuts of one look, four numbers each: what the first number of its slot is, and the one that
    tells its other bytes; the slot; where the word ends."""


def new_memory() -> Memory:
    """An empty memory, of 19 MB."""
    numbers = (2 * (TINY_SLOTS + PROBES) + 4 * (SHORT_SLOTS + PROBES), LONG_SLOTS * _WIDTH, 2 * FEW, 4 * 64)
    return Memory(*(_lines(count) for count in numbers))


def _lines(count: int) -> Words:
    """Zeros that begin where a line of the processor's cache does, so that no slot lies in two."""
    whole = np.zeros(count + 8, np.uint64)
    skipped = -whole.ctypes.data % 64 // 8
    return whole[skipped : skipped + count]


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
def _key(data: Bytes, lo: int, size: int) -> Any:
    """The first eight bytes of a short word, the rest with the size above, and a hash of both."""
    low = load64(data, lo) & LOW[size]
    high = (load64(data, lo + 8) & HIGH[size]) | (np.uint64(size) << np.uint64(56))
    mixed = (low * MIX) ^ (high * _MIX2)
    return low, high, np.int64(mixed ^ (mixed >> np.uint64(32)))


@numba.njit(nogil=True, cache=True)
def _found(table: Words, first: Any, width: int, low: Any, high: Any) -> Any:
    """The slot of a word, one nearer to its first than it was, or -1; and then the slot that it may have."""
    slot = first
    for n in range(PROBES):
        slot = first + n * width
        # A slot is empty where no size is.
        if (table[slot + 2] if width == 4 else table[slot]) == 0:
            break
        if table[slot] == low and (width == 2 or table[slot + 2] == high):
            if n == 0:
                return slot, -1
            for k in range(slot, slot + width):
                table[k - width], table[k] = table[k], table[k - width]
            return slot - width, -1
    return -1, slot


@numba.njit(nogil=True, cache=True)
def _short(data: Bytes, lo: int, hi: int, tables: Any, memory: Memory, out: Any, at: int) -> Any:
    """Writes the tokens of a word that is not in the first of its slots; answers their number."""
    table, size, tiny = memory.short, hi - lo, np.int64(-1)
    low, high, mixed = _key(data, lo, size)
    if size <= TINY:
        slot, tiny = _found(table, (mixed & (TINY_SLOTS - 1)) << 1, 2, low | high, high)
        if slot >= 0:
            _unpack(table, slot + 1, 1, out, at)
            return np.int64(table[slot + 1] >> np.uint64(60))
    slot, new = _found(table, _REST + ((mixed & (SHORT_SLOTS - 1)) << 2), 4, low, high)
    if slot >= 0:
        count = np.int64(table[slot + 1] >> np.uint64(60))
        _unpack(table, slot + 1, min(count, 3), out, at)
        if count > 3:
            _unpack(table, slot + 3, count - 3, out, at + 3)
        return count
    count = merge_few(data, lo, hi, tables, memory.scratch, out, at)
    if tiny >= 0 and count <= 3:
        table[tiny] = low | high
        _pack(out, at, count, table, tiny + 1)
    elif count <= 6:
        table[new], table[new + 2] = low, high
        table[new + 3] = 0
        _pack(out, at, min(count, 3), table, new + 1)
        if count > 3:
            _pack(out, at + 3, count - 3, table, new + 3)
            table[new + 1] += np.uint64(count - 3) << np.uint64(60)
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
    table, classes, seen = memory.short, vocabulary.classes, memory.seen
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
            words = 0
            while cuts:
                cut = base + trailing_zeros(cuts)
                cuts &= cuts - np.uint64(1)
                size = cut - lo
                if size > SHORT:
                    seen[words + 2] = 0
                else:
                    low, high, mixed = _key(data, lo, size)
                    # Without a branch: which of two sizes a word has cannot be foretold.
                    rest = np.int64(size > TINY)
                    low |= high & (np.uint64(rest) - np.uint64(1))
                    slot = _REST * rest + ((mixed & (TINY_SLOTS - 1)) << (1 + rest))
                    fetch(table, slot)
                    seen[words], seen[words + 1] = low, high if rest else low
                    seen[words + 2] = np.uint64(2 * slot + rest + 2)
                seen[words + 3] = np.uint64(cut)
                words += 4
                lo = cut
            for n in range(0, words, 4):
                place, cut = np.int64(seen[n + 2]) - 2, np.int64(seen[n + 3])
                if place < 0:
                    at += _long(data, base, cut, vocabulary, memory, out, at)
                    base = cut
                    continue
                slot = place >> 1
                packed = table[slot + 1]
                count = np.int64(packed >> np.uint64(60))
                if table[slot] == seen[n] and table[slot + 2 * (place & 1)] == seen[n + 1] and count <= 3:
                    out[at] = packed & _ID
                    out[at + 1] = (packed >> ID_BITS) & _ID
                    out[at + 2] = (packed >> (ID_BITS + ID_BITS)) & _ID
                    at += count
                else:
                    at += _short(data, base, cut, vocabulary, memory, out, at)
                base = cut
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
