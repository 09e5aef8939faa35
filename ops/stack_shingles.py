"""The Stack's own shingles, for `reproduce`: the first four bytes of the SHA-1 of n tokens joined by spaces.

A token is what lies between two characters outside `[A-Za-z_0-9]`, and empty where they are neighbours; a document of
fewer than n tokens has no shingle. Written with a space for each such character, a document has its shingles as plain
stretches of text.

Reference: Kocetkov et al. 2022, https://arxiv.org/abs/2211.15533
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from engine.columns import Bytes, Offsets
from engine.digest import xxh64
from ops.shingles import Hashes

Words32 = np.ndarray[Any, np.dtype[np.uint32]]

_SPACE = np.uint8(0x20)
_WORD = np.zeros(256, np.bool_)
_WORD[[ord(c) for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789"]] = True


@numba.njit(nogil=True, cache=True, inline="always")
def _rotate(x: Any, by: Any) -> Any:
    return np.uint32((x << np.uint32(by)) | (x >> np.uint32(32 - by)))


@numba.njit(nogil=True, cache=True, inline="always")
def _swap(x: Any) -> Any:
    return np.uint32(
        (x >> np.uint32(24))
        | ((x >> np.uint32(8)) & np.uint32(0xFF00))
        | ((x << np.uint32(8)) & np.uint32(0xFF0000))
        | (x << np.uint32(24))
    )


@numba.njit(nogil=True, cache=True)
def _block(data: Bytes, at: int, state: Words32, w: Words32) -> None:
    """One block of 64 bytes of SHA-1 (RFC 3174); `w` has 80 entries."""
    for i in range(16):
        j = at + 4 * i
        w[i] = np.uint32(
            (np.uint32(data[j]) << np.uint32(24))
            | (np.uint32(data[j + 1]) << np.uint32(16))
            | (np.uint32(data[j + 2]) << np.uint32(8))
            | np.uint32(data[j + 3])
        )
    for i in range(16, 80):
        w[i] = _rotate(np.uint32(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16]), 1)
    a, b, c, d, e = state[0], state[1], state[2], state[3], state[4]
    for i in range(20):
        t = np.uint32(_rotate(a, 5) + np.uint32(d ^ (b & np.uint32(c ^ d))) + e + np.uint32(0x5A827999) + w[i])
        a, b, c, d, e = t, a, _rotate(b, 30), c, d
    for i in range(20, 40):
        t = np.uint32(_rotate(a, 5) + np.uint32(b ^ c ^ d) + e + np.uint32(0x6ED9EBA1) + w[i])
        a, b, c, d, e = t, a, _rotate(b, 30), c, d
    for i in range(40, 60):
        t = np.uint32(_rotate(a, 5) + np.uint32((b & c) | (d & np.uint32(b | c))) + e + np.uint32(0x8F1BBCDC) + w[i])
        a, b, c, d, e = t, a, _rotate(b, 30), c, d
    for i in range(60, 80):
        t = np.uint32(_rotate(a, 5) + np.uint32(b ^ c ^ d) + e + np.uint32(0xCA62C1D6) + w[i])
        a, b, c, d, e = t, a, _rotate(b, 30), c, d
    state[0] += a
    state[1] += b
    state[2] += c
    state[3] += d
    state[4] += e


@numba.njit(nogil=True, cache=True)
def sha1_32(data: Bytes, lo: int, hi: int, state: Words32, w: Words32, tail: Bytes) -> Any:
    """The first four bytes of the SHA-1 of `data[lo:hi]` as a little-endian number; `tail` has 128 bytes."""
    state[0], state[1], state[2] = 0x67452301, 0xEFCDAB89, 0x98BADCFE
    state[3], state[4] = 0x10325476, 0xC3D2E1F0
    at = lo
    while at + 64 <= hi:
        _block(data, at, state, w)
        at += 64
    tail[:] = 0
    tail[: hi - at] = data[at:hi]
    tail[hi - at] = 0x80
    end = 64 if hi - at < 56 else 128
    size = np.uint64(hi - lo) * np.uint64(8)
    for i in range(8):
        tail[end - 1 - i] = np.uint8(size >> np.uint64(8 * i))
    _block(tail, 0, state, w)
    if end == 128:
        _block(tail, 64, state, w)
    return _swap(state[0])


@numba.njit(nogil=True, cache=True)
def stack_shingle(
    data: Bytes, lo: Any, hi: Any, n: int, flat: Bytes, edges: Offsets, seen: Hashes, out: Hashes
) -> tuple[int, int]:
    """Puts the hashes of the shingles of `data[lo:hi]` into `out`; returns how many it put and how many there are.

    Most repeats are left out. For scratch: `flat` has room for `hi - lo` bytes and `OVERREAD`, `edges` for
    `hi - lo + 2` entries, `seen` for a power of two; `out` has room for `hi - lo + 1` hashes.
    """
    # Token k is flat[edges[k] : edges[k + 1] - 1].
    tokens = size = 0
    edges[0] = 0
    for i in range(lo, hi):
        byte = data[i]
        if _WORD[byte]:
            flat[size] = byte
            size += 1
        elif byte < 0x80 or byte >= 0xC0:
            flat[size] = _SPACE
            size += 1
            tokens += 1
            edges[tokens] = size
    tokens += 1
    edges[tokens] = size + 1
    state, w, tail = np.empty(5, np.uint32), np.empty(80, np.uint32), np.empty(128, np.uint8)
    slots, put = np.uint64(len(seen) - 1), 0
    seen[:] = 0
    seen[0] = 1
    for k in range(tokens - n + 1):
        begin, end = edges[k], edges[k + n] - 1
        name = xxh64(flat, begin, end, np.uint64(0))
        if seen[name & slots] != name:
            seen[name & slots] = name
            out[put] = np.uint64(sha1_32(flat, begin, end, state, w, tail))
            put += 1
    return put, max(0, tokens - n + 1)
