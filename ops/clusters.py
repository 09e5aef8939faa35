"""Clusters: of the documents that meet, which are kept and which are dropped for the sake of which.

Documents are numbered from 0 in the order in which they are preferred: 0 is the one to keep if any. A document is kept
unless a kept one that shares a bucket with it is its witness, so the kept ones are the lexicographically first maximal
independent set: there are no chains, and every drop can be shown. A component can be decided apart from all others.

Memory is 4 bytes a permutation and some 50 for each document that shares a bucket, 32 for each membership, and 8 for
each distinct shingle of the documents to be verified.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np

from engine.columns import Offsets
from ops.buckets import Flags, Meetings, Rows, components
from ops.minhash import Signatures
from ops.shingles import Hashes

Shares = np.ndarray[Any, np.dtype[np.float64]]

LIMIT = 1000
"""Kept documents of one bucket, the first in rank, that a document is compared with."""


class Sets(NamedTuple):
    """The shingles of documents: those of `i` are `values[starts[i]:starts[i] + counts[i]]`, sorted, each once."""

    values: Hashes
    starts: Rows
    counts: Rows


def gather_sets(documents: int, parts: Iterable[tuple[Rows, Hashes, Offsets]]) -> Sets:
    """The sets of so many documents, from parts in any order: numbers, and what `shingle_sets` says of those."""
    starts, counts = np.zeros(documents, np.int64), np.zeros(documents, np.int64)
    values, begin = [np.zeros(0, np.uint64)], 0
    for numbers, own, offsets in parts:
        starts[numbers], counts[numbers] = offsets[:-1] + begin, np.diff(offsets)
        values.append(own)
        begin += len(own)
    return Sets(np.concatenate(values), starts, counts)


@numba.njit(nogil=True, cache=True)
def _take(values: Hashes, ends: Offsets, chosen: Rows, bounds: Offsets, out: Hashes) -> None:
    for n in range(len(chosen)):
        begin = ends[chosen[n]]
        for k in range(bounds[n + 1] - bounds[n]):
            out[bounds[n] + k] = values[begin + k]


def take_sets(values: Hashes, ends: Offsets, chosen: Rows) -> tuple[Hashes, Offsets]:
    """The values of the chosen sets, one after the other, and their bounds; `ends` are the bounds of all sets."""
    bounds = np.r_[0, np.cumsum(np.diff(ends)[chosen])]
    out = np.empty(int(bounds[-1]), np.uint64)
    _take(values, ends, chosen, bounds, out)
    return out, bounds


@dataclass(frozen=True)
class Verdicts:
    """What becomes of each document."""

    kept: Rows
    """(n,) the kept document for which this one is dropped, or -1 where it is itself kept."""
    similarity: Shares
    """(n,) the Jaccard similarity to that document; not a number where kept."""
    bands_shared: Rows
    """(n,) the buckets shared with that document; 0 where kept."""
    cluster_size: Rows
    """(n,) one and the documents dropped for the same one; 1 where nothing was."""
    exact: bool
    """Whether `similarity` is that of the sets of shingles, rather than an estimate from signatures."""
    hidden: int
    """Comparisons that the limit on a bucket's kept documents left out."""


def least_agreement(threshold: float, permutations: int, deviations: float = 5.0) -> int:
    """The number of equal positions below which two signatures rule out a similarity of `threshold`.

    The share of equal positions of a pair at the threshold has the standard deviation `sqrt(threshold (1 - threshold) /
    permutations)`; one such pair in three million falls five of them short.
    """
    deviation = (threshold * (1 - threshold) / permutations) ** 0.5
    return int(np.ceil(permutations * max(0.0, threshold - deviations * deviation)))


@numba.njit(nogil=True, cache=True)
def _agreement(left: Any, right: Any) -> Any:
    equal = np.uint32(0)
    for i in range(len(left)):
        equal = np.uint32(equal + np.uint32(left[i] == right[i]))
    return np.int64(equal)


@numba.njit(nogil=True, cache=True, inline="always")
def _common(left: Any, right: Any) -> int:
    """How many numbers two ascending arrays share."""
    i = j = both = 0
    while i < len(left) and j < len(right):
        x, y = left[i], right[j]
        both += x == y
        i += x <= y
        j += y <= x
    return both


@numba.njit(nogil=True, cache=True)
def jaccard(left: Hashes, right: Hashes) -> float:
    """The Jaccard similarity of two sorted sets, not both empty."""
    both = _common(left, right)
    return both / (len(left) + len(right) - both)


@numba.njit(nogil=True, cache=True)
def _to_verify(met: Meetings, signatures: Signatures, least: int, limit: int, out: Flags) -> None:
    begins = np.zeros(len(met.sizes) + 1, np.int64)
    begins[1:] = np.cumsum(met.sizes)
    filled, members = begins[:-1].copy(), np.empty(len(met.buckets), np.int64)
    for d in range(len(out)):
        for bucket in met.buckets[met.starts[d] : met.starts[d + 1]]:
            members[filled[bucket]] = d
            filled[bucket] += 1
    seen_by = np.full(len(out), -1, np.int64)
    for d in range(len(out)):
        looks = 0
        for bucket in met.buckets[met.starts[d] : met.starts[d + 1]]:
            for other in members[begins[bucket] : begins[bucket + 1]]:
                if out[d]:
                    break
                if other == d or seen_by[other] == d:
                    continue
                seen_by[other] = d
                looks += 1
                if looks > limit:
                    out[d] = True
                elif _agreement(signatures[d], signatures[other]) >= least:
                    out[d] = out[other] = True


def to_verify(met: Meetings, signatures: Signatures, threshold: float, limit: int = LIMIT) -> Flags:
    """Which documents `decide` may ask for the shingles of: those that meet one they may be near to.

    A document that met `limit` others without finding one is among them unseen, so that no bucket costs its square.
    """
    out = np.zeros(len(met.documents), np.bool_)
    _to_verify(met, signatures, least_agreement(threshold, signatures.shape[1]), limit, out)
    return out


@numba.njit(nogil=True, cache=True)
def _witness(d: int, near: Rows, nearest: int, sets: Sets, threshold: float) -> tuple[int, float]:
    """The most similar of the documents `near`, the first of equals, and how similar; -1 for none, -2 for no set."""
    witness, best = -1, threshold
    own = sets.values[sets.starts[d] : sets.starts[d] + sets.counts[d]]
    # The nearest by estimate goes first, so that the sizes of the sets alone rule most others out.
    near[0], near[nearest] = near[nearest], near[0]
    for other in near:
        its = sets.values[sets.starts[other] : sets.starts[other] + sets.counts[other]]
        if len(own) == 0 or len(its) == 0:
            return -2, best
        if min(len(own), len(its)) / max(len(own), len(its)) < best:
            continue
        value = jaccard(own, its)
        if value > best or (value == best and (witness < 0 or other < witness)):
            witness, best = other, value
    return witness, best


@numba.njit(nogil=True, cache=True)
def _decide(
    met: Meetings,
    signatures: Signatures,
    least: int,
    sets: Sets,
    threshold: float,
    limit: int,
    kept: Rows,
    similarity: Shares,
) -> Any:
    begins = np.zeros(len(met.sizes) + 1, np.int64)
    begins[1:] = np.cumsum(np.minimum(met.sizes, limit))
    # Of each bucket the first kept documents, in rank order, and how many are kept in all.
    first, count = np.empty(begins[-1], np.int64), np.zeros(len(met.sizes), np.int64)
    seen_by, near = np.full(len(kept), -1, np.int64), np.empty(len(kept), np.int64)
    hidden = 0
    for d in range(len(kept)):
        own = met.buckets[met.starts[d] : met.starts[d + 1]]
        found, nearest, most = 0, 0, -1
        for bucket in own:
            shown = min(count[bucket], limit)
            hidden += count[bucket] - shown
            for other in first[begins[bucket] : begins[bucket] + shown]:
                if seen_by[other] == d:
                    continue
                seen_by[other] = d
                agreement = _agreement(signatures[d], signatures[other])
                if agreement >= least:
                    if agreement > most:
                        nearest, most = found, agreement
                    near[found] = other
                    found += 1
        if found > 0:
            witness, best = _witness(d, near[:found], nearest, sets, threshold)
            if witness == -2:
                return -1
            if witness >= 0:
                kept[d], similarity[d] = witness, best
                continue
        for bucket in own:
            if count[bucket] < limit:
                first[begins[bucket] + count[bucket]] = d
            count[bucket] += 1
    return hidden


def decide(met: Meetings, signatures: Signatures, sets: Sets, threshold: float, limit: int = LIMIT) -> Verdicts:
    """The verdicts with a witness for every drop: a kept document with an exact similarity of at least `threshold`.

    The witness is the most similar of the kept documents that share a bucket, and of equals the first in rank.
    `signatures`, (n, permutations), and `sets` are those of the documents of `met`. A set may be empty where
    `to_verify`, asked with the same threshold and limit, does not want it; ValueError where a wanted one is.
    """
    if not len(met.documents) == len(signatures) == len(sets.starts) == len(sets.counts):
        raise ValueError("signatures and sets must be those of the documents that meet, one for each")
    kept = np.full(len(met.documents), -1, np.int64)
    similarity = np.full(len(kept), np.nan)
    least = least_agreement(threshold, signatures.shape[1])
    hidden = _decide(met, signatures, least, sets, threshold, limit, kept, similarity)
    if hidden < 0:
        raise ValueError("a document that `to_verify` names has no shingles to be compared by")
    return _verdicts(met, kept, similarity, True, hidden)


@numba.njit(nogil=True, cache=True)
def _estimate(signatures: Signatures, kept: Rows, out: Shares) -> None:
    for d in range(len(kept)):
        if kept[d] >= 0:
            out[d] = _agreement(signatures[d], signatures[kept[d]]) / signatures.shape[1]


def collapse(met: Meetings, signatures: Signatures) -> Verdicts:
    """The papers' verdicts: of each component the first document is kept, whatever the similarities.

    `similarity` is the share of equal positions of the signatures, to a document with which it may share no bucket.
    """
    own = np.repeat(np.arange(len(met.documents)), np.diff(met.starts))
    hubs = np.full(len(met.sizes), len(met.documents))
    np.minimum.at(hubs, met.buckets, own)
    documents, roots = components(hubs[met.buckets].astype(np.uint64), own.astype(np.uint64))
    kept = np.where(documents == roots, -1, roots.astype(np.int64))
    similarity = np.full(len(kept), np.nan)
    _estimate(signatures, kept, similarity)
    return _verdicts(met, kept, similarity, False, 0)


@numba.njit(nogil=True, cache=True)
def _bands_shared(met: Meetings, kept: Rows, out: Rows) -> None:
    for d in range(len(kept)):
        k = kept[d]
        if k >= 0:
            out[d] = _common(
                met.buckets[met.starts[d] : met.starts[d + 1]], met.buckets[met.starts[k] : met.starts[k + 1]]
            )


def _verdicts(met: Meetings, kept: Rows, similarity: Shares, exact: bool, hidden: int) -> Verdicts:
    shared = np.zeros(len(kept), np.int64)
    _bands_shared(met, kept, shared)
    heads = np.where(kept < 0, np.arange(len(kept)), kept)
    sizes = np.bincount(heads, minlength=len(kept))[heads]
    return Verdicts(kept, similarity, shared, sizes, exact, hidden)
