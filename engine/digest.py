"""Hashes of columns: document ids, content digests and chance, all by XXH64 over the Arrow buffers.

A 128-bit digest is two XXH64 lanes with different seeds. It names documents and finds equal ones; it is not made to
withstand a person who builds collisions on purpose.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pyarrow as pa
import xxhash

from engine.columns import Bytes, Offsets, padded_parts, text_buffers, text_column
from engine.schema import FIRST_MARKUP, LAST_MARKUP, REPLACEMENT
from engine.simd import load32, load64, mask, trailing_zeros

Lanes = np.ndarray[Any, np.dtype[np.uint64]]

_P1 = np.uint64(0x9E3779B185EBCA87)
_P2 = np.uint64(0xC2B2AE3D27D4EB4F)
_P3 = np.uint64(0x165667B19E3779F9)
_P4 = np.uint64(0x85EBCA77C2B2AE63)
_P5 = np.uint64(0x27D4EB2F165667C5)
_SEEDS = np.array([0, 0x5EED], np.uint64)


@numba.njit(nogil=True, cache=True, inline="always")
def _rotate(x: Any, r: Any) -> Any:
    return (x << np.uint64(r)) | (x >> np.uint64(64 - r))


@numba.njit(nogil=True, cache=True, inline="always")
def _round(acc: Any, word: Any) -> Any:
    return _rotate(acc + word * _P2, 31) * _P1


@numba.njit(nogil=True, cache=True)
def xxh64(data: Bytes, lo: int, hi: int, seed: Any) -> Any:
    """The XXH64 of `data[lo:hi]`, as the reference implementation computes it."""
    n = hi - lo
    at = lo
    if n >= 32:
        a, b, c, d = seed + _P1 + _P2, seed + _P2, seed, seed - _P1
        while at + 32 <= hi:
            a = _round(a, load64(data, at))
            b = _round(b, load64(data, at + 8))
            c = _round(c, load64(data, at + 16))
            d = _round(d, load64(data, at + 24))
            at += 32
        h = _rotate(a, 1) + _rotate(b, 7) + _rotate(c, 12) + _rotate(d, 18)
        for lane in (a, b, c, d):
            h = (h ^ _round(np.uint64(0), lane)) * _P1 + _P4
    else:
        h = seed + _P5
    h += np.uint64(n)
    while at + 8 <= hi:
        h = _rotate(h ^ _round(np.uint64(0), load64(data, at)), 27) * _P1 + _P4
        at += 8
    if at + 4 <= hi:
        h = _rotate(h ^ (np.uint64(load32(data, at)) * _P1), 23) * _P2 + _P3
        at += 4
    while at < hi:
        h = _rotate(h ^ (np.uint64(data[at]) * _P5), 11) * _P1
        at += 1
    h = (h ^ (h >> np.uint64(33))) * _P2
    h = (h ^ (h >> np.uint64(29))) * _P3
    return h ^ (h >> np.uint64(32))


@numba.njit(nogil=True, cache=True)
def _hash_values(data: Bytes, offsets: Offsets, seeds: Lanes, out: Lanes) -> None:
    for n in range(len(out)):
        for lane in range(len(seeds)):
            out[n, lane] = xxh64(data, offsets[n], offsets[n + 1], seeds[lane])


@numba.njit(nogil=True, cache=True)
def _hex(lanes: Lanes, out: Bytes) -> None:
    rows, width = lanes.shape
    at = 0
    for n in range(rows):
        for k in range(width):
            for nibble in range(15, -1, -1):
                value = np.uint8((lanes[n, k] >> np.uint64(4 * nibble)) & np.uint64(15))
                out[at] = value + np.uint8(48) if value < 10 else value + np.uint8(87)
                at += 1


def digests(column: pa.Array) -> Lanes:
    """A (rows, 2) array of 128-bit digests of a text column's values; a null has the digest (0, 0)."""
    data, offsets = text_buffers(column)
    out = np.empty((len(column), 2), np.uint64)
    _hash_values(data, offsets, _SEEDS, out)
    if column.null_count:
        out[np.asarray(column.is_null())] = 0
    return out


def hexes(lanes: Lanes) -> pa.Array:
    """The digests as lower-case hexadecimal text, 16 characters a lane."""
    rows, width = lanes.shape
    out = np.empty(rows * width * 16, np.uint8)
    _hex(np.ascontiguousarray(lanes), out)
    return text_column(out, np.arange(rows + 1, dtype=np.int64) * (16 * width))


def document_lanes(stream: str, parts: list[pa.Array]) -> Lanes:
    """A (rows, 2) array of the 128-bit ids of a stream's documents, made of the stream and these columns in order."""
    rows = len(parts[0])
    own = np.array([xxhash.xxh64_intdigest(stream.encode(), seed=int(seed)) for seed in _SEEDS], np.uint64)
    folded = np.concatenate([np.broadcast_to(own, (rows, 2)), *(digests(part) for part in parts)], axis=1)
    data = np.ascontiguousarray(folded, "<u8").view(np.uint8).reshape(-1)
    out = np.empty((rows, 2), np.uint64)
    _hash_values(data, np.arange(rows + 1) * (folded.shape[1] * 8), _SEEDS, out)
    return out


def document_ids(stream: str, parts: list[pa.Array]) -> pa.Array:
    """The ids of a stream's documents as the 32 hexadecimal digits that users see."""
    return hexes(document_lanes(stream, parts))


def chances(ids: pa.Array, seed: int, salt: str = "") -> np.ndarray[Any, np.dtype[np.float64]]:
    """For each id a number in [0, 1) that depends on nothing but the id, the seed and the salt.

    The salt keeps the draws of two ops apart; an op passes its own step's name.
    """
    data, offsets = text_buffers(ids)
    values = np.empty((len(ids), 1), np.uint64)
    salted = xxhash.xxh64_intdigest(salt.encode(), seed=seed & (2**64 - 1))
    _hash_values(data, offsets, np.array([salted], np.uint64), values)
    return (values[:, 0] >> np.uint64(11)).astype(np.float64) * 2.0**-53


_leads = mask(lambda byte: byte.equal(0xEF))


@numba.njit(nogil=True, cache=True)
def _rows_with_markup(data: Bytes, offsets: Offsets, out: Bytes) -> int:
    # U+FDD0..U+FDEF are EF B7 90 .. EF B7 AF: few texts have a byte EF at all.
    found = 0
    for n in range(len(out)):
        out[n] = 0
        at, hi = offsets[n], offsets[n + 1]
        while at < hi and out[n] == 0:
            bits = _leads(data, at)
            while bits != np.uint64(0):
                lead = at + trailing_zeros(bits)
                bits &= bits - np.uint64(1)
                if lead + 2 < hi and data[lead + 1] == 0xB7 and 0x90 <= data[lead + 2] <= 0xAF:
                    out[n] = 1
                    found += 1
                    break
            at += 64
    return found


_NO_MARKUP = dict.fromkeys(range(FIRST_MARKUP, LAST_MARKUP + 1), REPLACEMENT)


def without_markup(content: pa.Array) -> tuple[pa.Array, int]:
    """The column with every noncharacter U+FDD0..U+FDEF replaced by U+FFFD, and how many documents had one."""
    data, offsets = text_buffers(content)
    marked = np.zeros(len(content), np.uint8)
    found = sum(_rows_with_markup(part, ends, marked[rows]) for rows, part, ends in padded_parts(data, offsets))
    if not found:
        return content, 0
    values: list[Any] = content.to_pylist()
    for n in np.flatnonzero(marked):
        values[n] = values[n].translate(_NO_MARKUP)
    return pa.array(values, content.type), found
