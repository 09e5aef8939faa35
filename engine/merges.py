"""Byte-pair merging: the tokens of one word.

Merges are done as `tokenizers` does them: of all neighbours the pair of the lowest rank, the leftmost of equals.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from engine.columns import Bytes, Offsets

Words = np.ndarray[Any, np.dtype[np.uint64]]

FEW = 64
"""Bytes of a word up to which the lowest pair is found by looking at all."""
ID_BITS = np.uint64(20)
"""Bits of an id in tables."""
MIX = np.uint64(0x9E3779B97F4A7C15)
_NONE = np.uint64(2**64 - 1)
_LOWER = np.uint64(0xFFFFFFFF)


class Vocabulary(NamedTuple):
    """What a kernel needs of a tokenizer."""

    classes: Bytes
    """The class of each code point (`engine.pretokens`)."""
    bytes: np.ndarray[Any, np.dtype[np.int32]]
    """The id of each byte."""
    merges: Words
    """A hash table of two words a slot: a pair of ids plus one, and its rank and the id that it becomes."""


def merge_table(pairs: Offsets, made: Offsets) -> Words:
    """The hash table of merges, given in the order of their ranks: pairs of ids, and the ids that they become."""
    size = 1 << max(4, int(2.5 * len(made) + 1).bit_length())
    table = np.zeros(2 * size, np.uint64)
    _fill(table, pairs, made)
    return table


@numba.njit(nogil=True, cache=True)
def _place(key: Any, slots: int) -> Any:
    mixed = key * MIX
    return np.int64((mixed ^ (mixed >> np.uint64(32))) & np.uint64(slots - 1))


@numba.njit(nogil=True, cache=True)
def _fill(table: Words, pairs: Offsets, made: Offsets) -> None:
    slots = len(table) // 2
    for rank in range(len(made)):
        key = ((np.uint64(pairs[rank, 0]) << ID_BITS) | np.uint64(pairs[rank, 1])) + np.uint64(1)
        at = _place(key, slots)
        while table[2 * at] != 0 and table[2 * at] != key:
            at = (at + 1) & (slots - 1)
        # Of a pair that is there twice the later counts, as in `tokenizers`.
        table[2 * at] = key
        table[2 * at + 1] = (np.uint64(rank) << np.uint64(32)) | np.uint64(made[rank])


@numba.njit(nogil=True, cache=True)
def _merge(merges: Words, left: Any, right: Any) -> Any:
    """Rank (upper half) and id of what two ids become, or `_NONE`."""
    slots = len(merges) // 2
    key = ((np.uint64(left) << ID_BITS) | np.uint64(right)) + np.uint64(1)
    at = _place(key, slots)
    while True:
        found = merges[2 * at]
        if found == key:
            return merges[2 * at + 1]
        if found == 0:
            return _NONE
        at = (at + 1) & (slots - 1)


@numba.njit(nogil=True, cache=True)
def merge_few(data: Bytes, lo: int, hi: int, vocabulary: Vocabulary, scratch: Words, out: Any, at: int) -> int:
    """Writes the tokens of a word of at most `FEW` bytes to `out[at:]` and answers their number."""
    count = hi - lo
    ids, ranks = scratch[:FEW], scratch[FEW:]
    for n in range(count):
        ids[n] = np.uint64(vocabulary.bytes[data[lo + n]])
    for n in range(count - 1):
        ranks[n] = _merge(vocabulary.merges, ids[n], ids[n + 1])
    while count > 1:
        best, where = ranks[0], 0
        for n in range(1, count - 1):
            if ranks[n] < best:
                best, where = ranks[n], n
        if best == _NONE:
            break
        ids[where] = best & _LOWER
        count -= 1
        for n in range(where + 1, count):
            ids[n] = ids[n + 1]
        for n in range(where + 1, count - 1):
            ranks[n] = ranks[n + 1]
        if where:
            ranks[where - 1] = _merge(vocabulary.merges, ids[where - 1], ids[where])
        if where + 1 < count:
            ranks[where] = _merge(vocabulary.merges, ids[where], ids[where + 1])
    for n in range(count):
        out[at + n] = ids[n]
    return count


@numba.njit(nogil=True, cache=True)
def _push(heap: Words, size: int, key: Any) -> int:
    at = size
    while at > 0 and heap[(at - 1) >> 1] > key:
        heap[at] = heap[(at - 1) >> 1]
        at = (at - 1) >> 1
    heap[at] = key
    return size + 1


@numba.njit(nogil=True, cache=True)
def _pop(heap: Words, size: int) -> int:
    """Takes the lowest off the heap, `heap[0]`."""
    size -= 1
    key, at = heap[size], 0
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= key:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = key
    return size


@numba.njit(nogil=True, cache=True)
def merge_many(data: Bytes, lo: int, hi: int, vocabulary: Vocabulary, out: Any, at: int) -> int:
    """As `merge_few`, for words of any length: a heap of pairs by rank and place."""
    count = hi - lo
    ids = np.empty(count, np.uint64)
    ranks = np.empty(count, np.uint64)
    before, behind = np.arange(-1, count - 1), np.arange(1, count + 1)
    # A merge adds two pairs at most, and there are fewer merges than bytes.
    heap, size = np.empty(3 * count, np.uint64), 0
    for n in range(count):
        ids[n] = np.uint64(vocabulary.bytes[data[lo + n]])
    for n in range(count):
        ranks[n] = _merge(vocabulary.merges, ids[n], ids[n + 1]) if n + 1 < count else _NONE
        if ranks[n] != _NONE:
            size = _push(heap, size, (ranks[n] & ~_LOWER) | np.uint64(n))
    while size:
        key = heap[0]
        size = _pop(heap, size)
        n = np.int64(key & _LOWER)
        if ranks[n] == _NONE or ranks[n] >> np.uint64(32) != key >> np.uint64(32):
            continue  # the pair is no more
        gone = behind[n]
        ids[n] = ranks[n] & _LOWER
        behind[n] = behind[gone]
        if behind[n] < count:
            before[behind[n]] = n
        ranks[gone] = ranks[n] = _NONE
        for k in (before[n], n):
            if k >= 0 and behind[k] < count:
                ranks[k] = _merge(vocabulary.merges, ids[k], ids[behind[k]])
                if ranks[k] != _NONE:
                    size = _push(heap, size, (ranks[k] & ~_LOWER) | np.uint64(k))
    n = made = 0
    while n < count:
        out[at + made] = ids[n]
        made += 1
        n = behind[n]
    return made
