"""A shuffle of all documents in bounded memory: an external sort by a draw that each document has.

A file of documents leaves one file a group: its documents in sorted runs of bounded size, cut into small pieces, with
the draws of each piece beside it. A bucket is a range of draws; whoever works on it reads of every file the pieces that
touch it. So the order depends on the documents alone, not on the files in which they came.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute
import xxhash

from engine import storage
from engine.columns import Bytes, Offsets, one_array, text_buffers
from engine.digest import xxh64
from engine.schema import TEXT

pc: Any = pyarrow.compute

RUN_TOKENS = 1 << 25
"""Tokens that are sorted at a time while a file is written."""
PIECE_TOKENS = 1 << 18
"""Tokens of a piece, the least that is read of a file."""
BINS = 1 << 14
"""Parts of the draws in which tokens are counted; a bucket is made of whole ones."""

ROWS = pa.schema([("draw", pa.uint64()), ("id", TEXT), ("copy", pa.int32()), ("tokens", pa.large_list(pa.uint16()))])


@dataclass(frozen=True)
class Documents:
    """Tokenized documents as plain arrays; document `n` has the tokens `tokens[edges[n]:edges[n + 1]]`."""

    draws: np.ndarray[Any, np.dtype[np.uint64]]
    ids: Any
    copies: np.ndarray[Any, np.dtype[np.int32]]
    tokens: np.ndarray[Any, np.dtype[np.uint16]]
    edges: Offsets

    def __len__(self) -> int:
        return len(self.draws)

    def take(self, rows: Any) -> Documents:
        """These documents, in this order."""
        lengths = np.diff(self.edges)[rows]
        edges = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        tokens = np.empty(edges[-1], np.uint16)
        _gather(self.tokens, self.edges, np.ascontiguousarray(rows, np.int64), edges, tokens)
        return Documents(self.draws[rows], self.ids.take(pa.array(rows)), self.copies[rows], tokens, edges)

    def batch(self) -> pa.RecordBatch:
        """The documents as Arrow, over the same buffers."""
        edges: Any = self.edges
        tokens = pa.LargeListArray.from_arrays(edges, pa.array(self.tokens))
        columns: list[Any] = [pa.array(self.draws), self.ids, pa.array(self.copies), tokens]
        return pa.RecordBatch.from_arrays(columns, schema=ROWS)

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> Documents:
        """The documents of such a batch."""
        columns: list[Any] = batch.columns
        draws, ids, copies, tokens = columns
        values, edges = list_buffers(tokens)
        return cls(draws.to_numpy(), ids, copies.to_numpy(), values, edges)


def list_buffers(column: Any) -> tuple[Any, Offsets]:
    """The values of a column of token lists and where each row's begin and end in them, from 0 on; a null is empty."""
    if column.null_count:
        column = column.fill_null(pa.scalar([], column.type))
    edges = column.offsets.to_numpy().astype(np.int64, copy=False)
    values = column.values.to_numpy()[edges[0] : edges[-1]] if len(column) else np.zeros(0, np.uint16)
    return values, edges - edges[0]


@numba.njit(nogil=True, cache=True)
def _gather(values: Any, edges: Offsets, rows: Any, ends: Offsets, out: Any) -> None:
    for k in range(len(rows)):
        n, at = rows[k], ends[k]
        out[at : ends[k + 1]] = values[edges[n] : edges[n + 1]]


@numba.njit(nogil=True, cache=True)
def _draw(data: Bytes, offsets: Offsets, copies: Any, seed: Any, out: Any) -> None:
    for n in range(len(out)):
        out[n] = xxh64(data, offsets[n], offsets[n + 1], seed + np.uint64(copies[n]))


def draws(ids: pa.Array, copies: Any, seed: int) -> Any:
    """For each copy of a document 64 random bits that depend on nothing but its id, which copy it is, and the seed."""
    data, offsets = text_buffers(ids)
    out = np.empty(len(ids), np.uint64)
    salted = xxhash.xxh64_intdigest(b"shuffle", seed=seed & (2**64 - 1))
    _draw(data, offsets, copies, np.uint64(salted), out)
    return out


class Runs:
    """Writes the documents of one file and group as sorted runs; `tokens` counts them by bin of the draw."""

    def __init__(self, url: str, held: contextlib.ExitStack) -> None:
        self.url = url
        file: Any = held.enter_context(storage.open_whole(url))
        self.writer = held.enter_context(pa.ipc.new_file(file, ROWS))
        self.waiting: list[pa.RecordBatch] = []
        self.held = 0
        self.index: list[tuple[int, int]] = []
        self.tokens = np.zeros(BINS, np.int64)

    def add(self, documents: Documents) -> None:
        """Takes documents in."""
        bins = (documents.draws // np.uint64((1 << 64) // BINS)).astype(np.int64)
        np.add.at(self.tokens, bins, np.diff(documents.edges))
        self.waiting.append(documents.batch())
        self.held += len(documents.tokens)
        if self.held >= RUN_TOKENS:
            self.sort()

    def sort(self) -> None:
        """Writes what is held as one run."""
        if self.waiting:
            run = _sorted(self.waiting)
            batch = run.batch()
            for lo, hi in _pieces(run.edges):
                self.index.append((int(run.draws[lo]), int(run.draws[hi - 1])))
                self.writer.write_batch(batch.slice(lo, hi - lo))
        self.waiting, self.held = [], 0

    def close(self) -> None:
        """Writes what is left, and beside it the first and the last draw of each piece."""
        self.sort()
        buffer = io.BytesIO()
        np.save(buffer, np.array(self.index, np.uint64).reshape(-1, 2))
        storage.write_bytes(f"{self.url}.npy", buffer.getvalue())


def _sorted(batches: Sequence[pa.RecordBatch]) -> Documents:
    """The documents of all batches in the order of their draws; those of one draw in that of id and copy."""
    table = pa.Table.from_batches(batches, ROWS).combine_chunks()
    documents = Documents.of(table.to_batches()[0])
    order = np.argsort(documents.draws, kind="stable")
    drawn = documents.draws[order]
    if bool((drawn[1:] == drawn[:-1]).any()):
        keys = [(name, "ascending") for name in ("draw", "id", "copy")]
        order = pc.sort_indices(table.select(["draw", "id", "copy"]), sort_keys=keys).to_numpy()
    return documents.take(order)


def _pieces(edges: Offsets) -> Iterator[tuple[int, int]]:
    at, rows = 0, len(edges) - 1
    while at < rows:
        stop = max(at + 1, int(np.searchsorted(edges, edges[at] + PIECE_TOKENS, side="right")) - 1)
        yield at, stop
        at = stop


def read_bucket(files: Sequence[str], first: int, stop: int) -> Documents | None:
    """The documents whose draws lie in the bins from `first` to before `stop`, in the order of their draws."""
    width = (1 << 64) // BINS
    low, last = np.uint64(first * width), np.uint64(stop * width - 1)
    parts = []
    for url in files:
        index = np.load(io.BytesIO(storage.read_bytes(f"{url}.npy")))
        wanted = np.flatnonzero((index[:, 0] <= last) & (index[:, 1] >= low))
        if not len(wanted):
            continue
        with storage.open_mapped(url) as file:
            reader = pa.ipc.open_file(file)
            for n in wanted.tolist():
                piece = reader.get_batch(n)
                drawn = piece.column("draw").to_numpy()
                lo, hi = int(np.searchsorted(drawn, low, "left")), int(np.searchsorted(drawn, last, "right"))
                if lo < hi:
                    parts.append(piece.slice(lo, hi - lo))
    return _sorted(parts) if parts else None


def buckets(tokens: Any, most: int) -> list[tuple[int, int]]:
    """The bins, from and to, of as many buckets as bring them to `most` tokens: a power of two, so that they split
    rather than shift as a corpus grows."""
    count = 1
    while count * most < int(tokens.sum()) and count < BINS:
        count *= 2
    width = BINS // count
    return [(n * width, (n + 1) * width) for n in range(count)]


def repeated(documents: Documents, times: Any, seed: int) -> Documents:
    """Each document as many times as said, every copy with a draw of its own."""
    if bool((times == 1).all()):
        return documents
    rows = np.repeat(np.arange(len(documents)), times)
    copies = (np.arange(len(rows)) - np.repeat(np.cumsum(times) - times, times)).astype(np.int32)
    ids = one_array(documents.ids.take(pa.array(rows)))
    taken = documents.take(rows)
    return Documents(draws(ids, copies, seed), ids, copies, taken.tokens, taken.edges)
