"""The order in which training sees the samples: arithmetic, so that any place of it is known without what came before.

An epoch is a permutation of the samples by a keyed Feistel network, which needs no table: place `n` is computed, on
any rank, at any step. Where streams have weights the sequence is made of blocks that each hold every stream's exact
share, in an order of their own; each stream goes through its samples by epochs of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

Numbers = np.ndarray[Any, np.dtype[np.int64]]

BLOCK = 1 << 16
"""Sequences of a block, which are shared out among weighted streams exactly."""
ROUNDS = 8
"""Rounds of the Feistel network: four make it hard to tell from chance, small counts want more."""
_BLOCKS = np.uint64(0xB10C)


@numba.njit(nogil=True, cache=True, inline="always")
def mixed(x: Any) -> Any:
    """A 64-bit number made of another by the finaliser of SplitMix64, a bijection that leaves no pattern."""
    x = np.uint64(x) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@numba.njit(nogil=True, cache=True)
def permuted(n: int, count: int, key: Any) -> Any:
    """The place of `n` in a permutation of the numbers below `count` that `key` chooses."""
    half = np.uint64(1)
    while (1 << (np.int64(half) * 2)) < count:
        half += np.uint64(1)
    low = (np.uint64(1) << half) - np.uint64(1)
    at = np.uint64(n)
    while True:
        left, right = at >> half, at & low
        for k in range(ROUNDS):
            left, right = right, left ^ (mixed(right ^ mixed(key + np.uint64(k))) & low)
        at = (left << half) | right
        # The network permutes a power of four; what lands outside goes on until it lands inside.
        if at < np.uint64(count):
            return np.int64(at)


@numba.njit(nogil=True, cache=True)
def _places(
    first: int, seed: Any, ends: Numbers, slots: Numbers, epochs: Numbers, samples: Numbers, streams: Numbers
) -> None:
    # `ends`: where each stream's samples end among all; `slots`: where its slots end in a block.
    block = slots[-1]
    for k in range(len(samples)):
        n = first + k
        which = n // block
        slot = permuted(n - which * block, block, mixed(seed ^ _BLOCKS) + np.uint64(which)) if len(slots) > 1 else 0
        stream = 0
        while slots[stream] <= slot:
            stream += 1
        before = slots[stream - 1] if stream else 0
        begin = ends[stream - 1] if stream else 0
        size = ends[stream] - begin
        turn = which * (slots[stream] - before) + slot - before
        epochs[k] = turn // size
        key = mixed(mixed(seed) ^ (np.uint64(epochs[k]) << np.uint64(20)) ^ np.uint64(stream))
        samples[k] = begin + permuted(turn % size, size, key)
        streams[k] = stream


@dataclass(frozen=True)
class Order:
    """The endless sequence of samples; `sizes` counts each stream's, which are numbered one stream after the other."""

    seed: int
    sizes: tuple[int, ...]
    shares: tuple[float, ...] | None = None
    """The share of each stream in the sequence; unless given, all samples are one stream and come once an epoch."""

    def places(self, first: int, count: int) -> tuple[Numbers, Numbers]:
        """For `count` sequences from the `first` on, the epoch and the number of the sample of each."""
        sizes, slots = (sum(self.sizes),), np.ones(1, np.int64)
        if self.shares is not None:
            sizes, slots = self.sizes, np.cumsum(shared_out(BLOCK, self.shares))
        epochs, samples, streams = (np.empty(count, np.int64) for _ in range(3))
        seed = np.uint64(self.seed & (2**64 - 1))
        _places(first, seed, np.cumsum(np.array(sizes, np.int64)), slots, epochs, samples, streams)
        return epochs, samples


def shared_out(count: int, shares: tuple[float, ...]) -> Numbers:
    """`count` in whole parts that are to each other as the shares, the largest remainders rounded up."""
    exact = np.array(shares) / sum(shares) * count
    parts = np.floor(exact).astype(np.int64)
    rest = np.argsort(parts - exact, kind="stable")[: count - int(parts.sum())]
    parts[rest] += 1
    return parts
