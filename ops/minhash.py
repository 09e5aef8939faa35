"""MinHash signatures and their bands, over a whole column at once and equal to datasketch's, element for element.

A signature is, for each of K permutations of the 32-bit numbers, the least image of a document's shingle hashes (of
their low 32 bits): two documents agree in a share of positions that estimates their Jaccard similarity. Documents meet
where all rows of one of their bands agree.

Reference: Broder 1997, https://doi.org/10.1109/SEQUEN.1997.666900; datasketch 2.0, https://ekzhu.github.io/datasketch
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numba
import numpy as np
import pyarrow as pa

from engine.columns import OVERREAD, Bytes, Offsets, padded_parts, text_buffers
from ops.shingles import LAST, SEED, SEEN, WORD, Hashes, longest, shingle
from ops.stack_shingles import Words32, stack_shingle

Signatures = np.ndarray[Any, np.dtype[np.uint32]]

_MERSENNE = np.uint64((1 << 61) - 1)
_LEAST = np.uint32(0xFFFFFFFF)


@dataclass(frozen=True)
class MinHash:
    """How a document becomes a signature."""

    permutations: int = 256
    """Numbers in a signature, four bytes each."""
    n: int = 5
    """Words in a shingle."""
    seed: int = 1
    """Seed of the permutations."""
    scheme: Literal["affine32", "legacy"] = "affine32"
    """`affine32`: fmix32, then `a * h + b` modulo 2^32, a odd. `legacy`: `(a * h + b) mod (2^61 - 1)` in arithmetic
    that wraps at 2^64, cut to 32 bits: datasketch 1.x and The Stack."""
    shingles: Literal["words", "stack"] = "words"
    """`words` are those of `ops.shingles`, `stack` those of `ops.stack_shingles`."""

    def __post_init__(self) -> None:
        if self.n < 1 or self.permutations < 1:
            raise ValueError(f"{self.permutations} permutations of shingles of {self.n} words: both must be at least 1")


THE_STACK = MinHash(seed=42, scheme="legacy", shingles="stack")
"""What The Stack v1.2 and StarCoder were deduplicated with."""


@lru_cache(maxsize=8)
def parameters(minhash: MinHash) -> tuple[Hashes, Hashes]:
    """The multipliers and the addends of the permutations, as datasketch draws them from NumPy's `RandomState`."""
    draw = np.random.RandomState(minhash.seed)
    count = minhash.permutations
    if minhash.scheme == "legacy":
        bounds = ((1, int(_MERSENNE)), (0, int(_MERSENNE)))
        drawn = np.array([[draw.randint(*b, dtype=np.uint64) for b in bounds] for _ in range(count)], np.uint64)
        a, b = np.ascontiguousarray(drawn[:, 0]), np.ascontiguousarray(drawn[:, 1])
    else:
        a = draw.randint(0, 1 << 31, count, np.uint32).astype(np.uint64) * np.uint64(2) + np.uint64(1)
        b = draw.randint(0, 1 << 32, count, np.uint32).astype(np.uint64)
    a.flags.writeable = b.flags.writeable = False
    return a, b


TILE = 4096
"""Hashes that all permutations go over before the next: 16 KiB, so that they stay in the first-level cache."""
_LANES = 32


@numba.njit(nogil=True, cache=True, inline="always")
def _fmix32(x: Any) -> Any:
    x = np.uint32(x ^ (x >> np.uint32(16)))
    x = np.uint32(x * np.uint32(0x85EBCA6B))
    x = np.uint32(x ^ (x >> np.uint32(13)))
    x = np.uint32(x * np.uint32(0xC2B2AE35))
    return np.uint32(x ^ (x >> np.uint32(16)))


@numba.njit(nogil=True, cache=True)
def _affine32(h: Words32, a: Words32, b: Words32, least: Words32) -> None:
    # A scalar minimum over a slice, and nothing of 64 bits about: the one form that LLVM makes 32-bit vectors of.
    for k in range(len(a)):
        times, plus, low = a[k], b[k], least[k]
        for i in range(len(h)):
            low = min(low, np.uint32(times * h[i] + plus))
        least[k] = low


@numba.njit(nogil=True, cache=True)
def _legacy(h: Words32, a: Hashes, b: Hashes, least: Words32) -> None:
    for k in range(len(a)):
        times, plus, low = a[k], b[k], np.uint64(least[k])
        for i in range(len(h)):
            x = times * np.uint64(h[i]) + plus
            x = (x & _MERSENNE) + (x >> np.uint64(61))
            x = x - _MERSENNE if x >= _MERSENNE else x
            low = min(low, x & np.uint64(_LEAST))
        least[k] = np.uint32(low)


@numba.njit(nogil=True, cache=True)
def _sign(wide: Hashes, legacy: bool, a: Hashes, b: Hashes, a32: Words32, b32: Words32, h: Words32, out: Any) -> None:
    """The signature of a set of hashes, repeats allowed; `h` is scratch for as many and `_LANES`."""
    out[:] = _LEAST
    count = len(wide)
    if count == 0:
        return
    for i in range(count):
        h[i] = np.uint32(wide[i]) if legacy else _fmix32(np.uint32(wide[i]))
    while count % _LANES != 0:  # a repeat changes no minimum and spares the vectors a remainder
        h[count] = h[0]
        count += 1
    for tile in range(0, count, TILE):
        if legacy:
            _legacy(h[tile : min(count, tile + TILE)], a, b, out)
        else:
            _affine32(h[tile : min(count, tile + TILE)], a32, b32, out)


@numba.njit(nogil=True, cache=True)
def _sign_words(
    data: Bytes, offsets: Offsets, n: int, legacy: bool, a: Hashes, b: Hashes, out: Signatures, counts: Offsets
) -> None:
    room = longest(offsets) // 2 + 2
    wide, h = np.empty(room, np.uint64), np.empty(room + _LANES, np.uint32)
    ring, seen = np.empty(n, np.uint64), np.empty(SEEN, np.uint64)
    a32, b32 = a.astype(np.uint32), b.astype(np.uint32)
    for d in range(len(counts)):
        put, counts[d] = shingle(data, offsets[d], offsets[d + 1], ring, seen, wide)
        _sign(wide[:put], legacy, a, b, a32, b32, h, out[d])


@numba.njit(nogil=True, cache=True)
def _sign_stack(
    data: Bytes, offsets: Offsets, n: int, legacy: bool, a: Hashes, b: Hashes, out: Signatures, counts: Offsets
) -> None:
    room = longest(offsets) + 2
    wide, h = np.empty(room, np.uint64), np.empty(room + _LANES, np.uint32)
    flat, edges, seen = np.empty(room + OVERREAD, np.uint8), np.empty(room, np.int64), np.empty(SEEN, np.uint64)
    a32, b32 = a.astype(np.uint32), b.astype(np.uint32)
    for d in range(len(counts)):
        put, counts[d] = stack_shingle(data, offsets[d], offsets[d + 1], n, flat, edges, seen, wide)
        _sign(wide[:put], legacy, a, b, a32, b32, h, out[d])


def signatures(content: pa.Array, minhash: MinHash) -> tuple[Signatures, Offsets]:
    """The signatures of a text column, (rows, permutations), and the number of shingles of each row, repeats counted.

    A document without shingles has the signature of all ones. Scratch memory is 6 bytes for each byte of the longest
    document, 21 with the shingles of The Stack.
    """
    data, offsets = text_buffers(content)
    rows, (a, b) = len(content), parameters(minhash)
    out, counts = np.empty((rows, minhash.permutations), np.uint32), np.zeros(rows, np.int64)
    sign = _sign_stack if minhash.shingles == "stack" else _sign_words
    for part, text, own in padded_parts(data, offsets):
        sign(text, own, minhash.n, minhash.scheme == "legacy", a, b, out[part], counts[part])
    return out, counts


@numba.njit(nogil=True, cache=True)
def _bands(signatures: Signatures, rows: int, groups: Hashes, out: Hashes) -> None:
    for d in range(out.shape[0]):
        for band in range(out.shape[1]):
            h = ((SEED ^ groups[d]) * WORD ^ np.uint64(band)) * LAST
            h ^= h >> np.uint64(32)
            for i in range(band * rows, (band + 1) * rows):
                h = (h ^ np.uint64(signatures[d, i])) * WORD
                h ^= h >> np.uint64(32)
            h *= LAST
            out[d, band] = h ^ (h >> np.uint64(32))


def band_hashes(signatures: Signatures, bands: int, rows: int, groups: Hashes | None = None) -> Hashes:
    """A 64-bit hash of each band of each signature, (documents, bands): documents with an equal one meet.

    Bands do not meet other bands, and documents only those of their own group: `groups` has a hash of the group (the
    language) of each. Bands take `bands * rows` of the permutations, from the first on.
    """
    documents, permutations = signatures.shape
    if bands * rows > permutations:
        raise ValueError(f"{bands} bands of {rows} rows need {bands * rows} permutations; there are {permutations}")
    out = np.empty((documents, bands), np.uint64)
    _bands(signatures, rows, np.zeros(documents, np.uint64) if groups is None else groups, out)
    return out


@lru_cache(maxsize=32)
def best_bands(threshold: float, permutations: int, weights: tuple[float, float] = (0.5, 0.5)) -> tuple[int, int]:
    """The bands and rows that err least at a threshold, of all with `bands * rows <= permutations`.

    What is least is `weights[0]` times the integral of the chance to meet below the threshold, plus `weights[1]` times
    that of the chance not to meet above it. Both are polynomials, for which Gauss's quadrature is exact.
    """
    nodes, areas = np.polynomial.legendre.leggauss(permutations // 2 + 1)
    below, above = threshold * (nodes + 1) / 2, threshold + (1 - threshold) * (nodes + 1) / 2
    errors: dict[tuple[int, int], float] = {}
    for rows in range(1, permutations + 1):
        bands = np.arange(1, permutations // rows + 1)
        false = (1 - (1 - below**rows) ** bands[:, None]) @ areas * (threshold / 2)
        missed = (1 - above**rows) ** bands[:, None] @ areas * ((1 - threshold) / 2)
        for count, error in zip(bands, weights[0] * false + weights[1] * missed, strict=True):
            errors[int(count), rows] = float(error)
    return min(errors, key=lambda cut: errors[cut])
