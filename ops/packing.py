"""Samples of equal length made of documents: kernels over the tokens of a bucket.

Best fit: a document too long for a sample is cut into full ones and a rest; documents and rests, the longest first, go
each into the sample whose free room they fill best (Ding et al. 2024, but that nothing is truncated). Plain: documents
are one stream, cut every `length` tokens, as Megatron does.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pyarrow as pa

from engine.columns import Offsets, text_buffers
from engine.schema import SPECIAL_TOKENS
from engine.token_shards import Samples
from ops.shuffle import Documents

EOD = SPECIAL_TOKENS.index("<|endoftext|>")
_TORN = 4
"""Bytes that a character has at most: a cut looks for a character's edge no farther back."""


@numba.njit(nogil=True, cache=True)
def _cut(tokens: Any, edges: Offsets, most: int, inside: Any, out: Any) -> int:
    # `inside`: whether a token begins within a character. `out`: row, start and length of each fragment.
    found = 0
    for n in range(len(edges) - 1):
        at, end = edges[n], edges[n + 1]
        while end - at > most:
            cut = at + most
            while cut > at + 1 and at + most - cut < _TORN and inside[tokens[cut]]:
                cut -= 1
            out[found, 0], out[found, 1], out[found, 2] = n, at - edges[n], cut - at
            found += 1
            at = cut
        out[found, 0], out[found, 1], out[found, 2] = n, at - edges[n], end - at
        found += 1
    return found


def fragments(documents: Documents, most: int, inside: Any) -> Any:
    """A row for each fragment, in the order of the documents: the document, the tokens of it before, and its tokens.

    None has more than `most`; cuts are where a character begins.
    """
    lengths = np.diff(documents.edges)
    least = max(1, most - _TORN)
    out = np.empty((int((lengths // least).sum()) + len(lengths), 3), np.int64)
    return out[: _cut(documents.tokens, documents.edges, most, inside, out)]


@numba.njit(nogil=True, cache=True)
def _best_fit(lengths: Any, size: int, extra: int, bins: Any) -> int:
    # Bins of one free room are a list, `words` a bitmap of the rooms that have a list.
    head = np.full(size + 1, -1, np.int64)
    after = np.full(len(lengths), -1, np.int64)
    words = np.zeros(size // 64 + 1, np.uint64)
    count = np.zeros(size + 2, np.int64)
    for length in lengths:
        count[size - length + 1] += 1
    for k in range(size + 1):
        count[k + 1] += count[k]
    order = np.empty(len(lengths), np.int64)
    for k in range(len(lengths)):
        place = size - lengths[k]
        order[count[place]] = k
        count[place] += 1
    made = 0
    for k in order:
        need = lengths[k] + extra
        room = _at_least(words, need)
        if room < 0:
            bin, room = made, size
            made += 1
        else:
            bin = head[room]
            head[room] = after[bin]
            if head[room] < 0:
                words[room // 64] &= ~(np.uint64(1) << np.uint64(room % 64))
        bins[k] = bin
        left = max(0, room - need)
        after[bin] = head[left]
        head[left] = bin
        words[left // 64] |= np.uint64(1) << np.uint64(left % 64)
    return made


@numba.njit(nogil=True, cache=True, inline="always")
def _at_least(words: Any, room: int) -> int:
    """The smallest number in the bitmap that is not below `room`, or -1."""
    if room // 64 >= len(words):
        return -1
    word = words[room // 64] >> np.uint64(room % 64) << np.uint64(room % 64)
    at = room // 64
    while word == np.uint64(0):
        at += 1
        if at == len(words):
            return -1
        word = words[at]
    bit = 0
    while not (word >> np.uint64(bit)) & np.uint64(1):
        bit += 1
    return at * 64 + bit


def best_fit(lengths: Any, size: int, extra: int) -> Any:
    """For each fragment its sample: samples hold `size` tokens, of which each fragment takes its own and `extra`.

    Samples are numbered in the order of their longest fragments.
    """
    bins = np.empty(len(lengths), np.int64)
    made = _best_fit(np.ascontiguousarray(lengths, np.int64), size, extra, bins)
    # The founder of a bin is its longest, and of equals the first.
    founder = np.full(made, -1, np.int64)
    longest = np.lexsort((-np.arange(len(lengths)), lengths))
    founder[bins[longest]] = longest
    rank = np.empty(made, np.int64)
    rank[np.argsort(founder)] = np.arange(made)
    return rank[bins]


def packed(documents: Documents, length: int, room: int, inside: Any) -> Samples:
    """The documents of a bucket as samples of at most `length + 1` tokens, less `room` for each fragment and once more.

    Half of the fragments are permuted, as a rule, and take twice the room: they share it. One that is alone has nobody
    to share with.
    """
    size = length + 1 - room
    found = fragments(documents, size - room, inside)
    sample = best_fit(found[:, 2], size, room)
    order = np.argsort(sample, kind="stable")
    return _samples(documents, found[order], np.bincount(sample))


def concatenated(documents: Documents, begin: int, own: int, length: int, last: bool) -> Samples:
    """The documents as one stream cut into samples of `length + 1` tokens that begin at every `length`-th.

    `begin` is the place of the first token in the stream of all buckets. Samples are made that begin among the first
    `own` tokens; the tokens behind these fill the last of them. At the end of the stream one may be shorter.
    """
    total = len(documents.tokens)
    first = -(-begin // length) * length - begin
    # A single token left over has no next one to learn: it is the end of the sample before.
    starts = np.arange(first, min(own, total - 1) if last and begin + total > 1 else own, length)
    stops = np.minimum(starts + length + 1, total)
    low = np.searchsorted(documents.edges, starts, side="right") - 1
    high = np.searchsorted(documents.edges, stops, side="left")
    counts = high - low
    rows = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(low, counts)
    lo = np.maximum(documents.edges[rows], np.repeat(starts, counts))
    hi = np.minimum(documents.edges[rows + 1], np.repeat(stops, counts))
    kept = hi > lo
    found = np.stack([rows, lo - documents.edges[rows], hi - lo], axis=1)[kept]
    owner = np.repeat(np.arange(len(starts)), counts)[kept]
    return _samples(documents, found, np.bincount(owner, minlength=len(starts)))


@numba.njit(nogil=True, cache=True)
def _fill(tokens: Any, edges: Offsets, found: Any, fragment_edges: Offsets, out: Any, ends: Any, sums: Offsets) -> None:
    at = 0
    for n in range(len(fragment_edges) - 1):
        begin = at
        for k in range(fragment_edges[n], fragment_edges[n + 1]):
            source = edges[found[k, 0]] + found[k, 1]
            out[at : at + found[k, 2]] = tokens[source : source + found[k, 2]]
            at += found[k, 2]
            ends[k] = at - begin
        sums[n + 1] = at


def _samples(documents: Documents, found: Any, counts: Any) -> Samples:
    """Samples of these fragments in their order, so many in each."""
    fragment_edges = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    tokens, ends = np.empty(int(found[:, 2].sum()), np.uint16), np.empty(len(found), np.int32)
    token_edges = np.zeros(len(counts) + 1, np.int64)
    _fill(documents.tokens, documents.edges, found, fragment_edges, tokens, ends, token_edges)
    rows = found[:, 0]
    ids, id_edges = text_buffers(documents.ids.take(pa.array(rows)))
    return Samples(
        tokens=tokens,
        token_edges=token_edges,
        fragment_edges=fragment_edges,
        ends=ends,
        ids=ids[id_edges[0] : id_edges[-1]],
        id_edges=id_edges - id_edges[0],
        starts=np.ascontiguousarray(found[:, 1]),
        copies=documents.copies[rows],
    )
