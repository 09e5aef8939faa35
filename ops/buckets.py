"""Buckets: which documents share a band, and which hang together through such buckets.

A record is a band's 64-bit hash (`key`) and a document's 64-bit number, 16 bytes. Records may be split by ranges of
keys: all records of a bucket have one key, so each range finds its buckets alone. Nothing here is quadratic in the size
of a bucket, and nothing depends on the order of the records.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from engine.columns import Offsets
from ops.shingles import Hashes

Numbers = np.ndarray[Any, np.dtype[np.uint64]]
Records = tuple[Hashes, Numbers]
"""Keys and documents, as long as each other."""
Rows = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

_BYTE = np.uint64(0xFF)


@numba.njit(nogil=True, cache=True)
def _sort(keys: Hashes, rows: Numbers, keys_out: Hashes, rows_out: Numbers) -> bool:
    """Stable sort by key, a byte at a time from the lowest; says whether the answer lies in the `_out` arrays."""
    counts = np.zeros((8, 256), np.int64)
    for i in range(len(keys)):
        for byte in range(8):
            counts[byte, (keys[i] >> np.uint64(8 * byte)) & _BYTE] += 1
    moved = False
    for byte in range(8):
        ends, begin, split = counts[byte], 0, True
        for value in range(256):
            split = split and ends[value] != len(keys)
            begin, ends[value] = begin + ends[value], begin
        if not split:
            continue
        shift = np.uint64(8 * byte)
        for i in range(len(keys)):
            value = (keys[i] >> shift) & _BYTE
            keys_out[ends[value]], rows_out[ends[value]] = keys[i], rows[i]
            ends[value] += 1
        keys, keys_out, rows, rows_out, moved = keys_out, keys, rows_out, rows, not moved
    return moved


def _sorted_by(keys: Hashes, rows: Numbers) -> Records:
    keys, rows = np.array(keys, np.uint64), np.array(rows, np.uint64)
    keys_out, rows_out = np.empty_like(keys), np.empty_like(rows)
    return (keys_out, rows_out) if _sort(keys, rows, keys_out, rows_out) else (keys, rows)


def sort_records(keys: Hashes, documents: Numbers) -> Records:
    """The records by key, then document; linear in time, and 32 bytes a record of memory besides the input's."""
    if (documents[1:] < documents[:-1]).any():
        documents, keys = _sorted_by(documents, keys)
    return _sorted_by(keys, documents)


def band_records(bands: Hashes, documents: Numbers, present: Flags) -> Records:
    """The sorted records of a shard: of the hashes of its documents' bands, (rows, bands), and the documents' numbers.

    `present` says which documents have a shingle; the others share one signature without being alike, and stay out.
    """
    rows = np.flatnonzero(present)
    rows = rows[np.argsort(documents[rows])]
    return sort_records(bands[rows].reshape(-1), np.repeat(documents[rows], bands.shape[1]))


@numba.njit(nogil=True, cache=True)
def _shared(keys: Hashes, documents: Numbers, keys_out: Hashes, documents_out: Numbers) -> int:
    put = i = 0
    while i < len(keys):
        begin = put
        j = i
        while j < len(keys) and keys[j] == keys[i]:
            if j == i or documents[j] != documents[j - 1]:
                keys_out[put], documents_out[put] = keys[j], documents[j]
                put += 1
            j += 1
        if put - begin == 1:
            put = begin
        i = j
    return put


def shared(keys: Hashes, documents: Numbers) -> Records:
    """Of sorted records those of buckets with two documents or more: the memberships, each once."""
    keys_out, documents_out = np.empty_like(keys), np.empty_like(documents)
    count = _shared(keys, documents, keys_out, documents_out)
    return keys_out[:count].copy(), documents_out[:count].copy()


@numba.njit(nogil=True, cache=True)
def _stars(keys: Hashes, documents: Numbers, hubs: Numbers, others: Numbers) -> int:
    put, hub = 0, np.uint64(0)
    for i in range(len(keys)):
        if i == 0 or keys[i] != keys[i - 1]:
            hub = documents[i]
        else:
            hubs[put], others[put] = hub, documents[i]
            put += 1
    return put


def stars(keys: Hashes, documents: Numbers) -> tuple[Numbers, Numbers]:
    """The edges from each bucket's lowest document to its others, each once: enough to find the components.

    They are not enough to find the duplicates: two members may be alike and the lowest one not.
    """
    hubs, others = np.empty_like(documents), np.empty_like(documents)
    count = _stars(keys, documents, hubs, others)
    hubs, others = sort_records(hubs[:count], others[:count])
    first = np.ones(count, np.bool_)
    first[1:] = (hubs[1:] != hubs[:-1]) | (others[1:] != others[:-1])
    return hubs[first], others[first]


@numba.njit(nogil=True, cache=True, inline="always")
def _root(parents: Rows, x: int) -> int:
    while parents[x] != x:
        parents[x] = parents[parents[x]]
        x = parents[x]
    return x


@numba.njit(nogil=True, cache=True)
def _unite(parents: Rows, left: Rows, right: Rows) -> None:
    for i in range(len(left)):
        a, b = _root(parents, left[i]), _root(parents, right[i])
        parents[max(a, b)] = min(a, b)
    for x in range(len(parents)):
        parents[x] = _root(parents, x)


def components(left: Numbers, right: Numbers) -> tuple[Numbers, Numbers]:
    """The documents that have an edge, ascending, and for each the lowest document of its component.

    Edges may repeat and come in any order. Memory is some 50 bytes an edge and 24 a document.
    """
    documents = np.unique(np.concatenate([left, right]))
    parents = np.arange(len(documents))
    _unite(parents, np.searchsorted(documents, left), np.searchsorted(documents, right))
    return documents, documents[parents]


class Meetings(NamedTuple):
    """Who meets whom: documents numbered from 0 in the order of their own numbers, and the buckets each is in."""

    documents: Numbers
    """(n,) the documents' own numbers, ascending: what the number `i` stands for."""
    starts: Offsets
    """(n + 1,) the buckets of document `i` are `buckets[starts[i]:starts[i + 1]]`, ascending."""
    buckets: Rows
    """(m,) numbers of buckets, one for each membership."""
    sizes: Rows
    """(buckets,) how many documents are in each."""


def meetings(keys: Hashes, documents: Numbers) -> Meetings:
    """The memberships, sorted by key, turned about: by document. Memory is some 60 bytes a membership."""
    edges = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if len(keys) else np.zeros(0, np.int64)
    sizes = np.diff(np.r_[edges, len(keys)])
    by_document, buckets = _sorted_by(documents, np.repeat(np.arange(len(edges), dtype=np.uint64), sizes))
    first = np.flatnonzero(np.r_[True, by_document[1:] != by_document[:-1]]) if len(keys) else edges
    return Meetings(by_document[first], np.r_[first, len(keys)], buckets.view(np.int64), sizes)
