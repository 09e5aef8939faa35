"""Rows that belong together brought together, wherever they lie: the external sort behind `engine.op.Gather`.

A shard leaves one file: its rows in sorted runs of bounded size, by the hash of their key, cut into small pieces, and
beside it which hashes each piece holds. A partition is a range of hashes; whoever works on it reads of every shard
the pieces that touch it. So files are as many as shards, what a shard leaves does not depend on how many partitions
there will be, and memory is the partition's.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine import storage
from engine.columns import one_array, text_buffers
from engine.digest import document_lanes
from engine.op import Batch, Gather, Groups, Shard
from engine.schema import TEXT

PARTITION_BYTES = 128 << 20
"""Text that a partition is to have at most, where keys are spread evenly."""
RUN_BYTES = 128 << 20
"""Text that is sorted at a time while a shard is written."""
PIECE_BYTES = 256 << 10
"""Text of a piece, the least that is read of a file."""
BATCH_BYTES = 32 << 20
"""Text that is handed to an op at a time, unless one group has more."""
_HASH = "~hash"


def key_hashes(op: Gather, batch: Batch) -> Any:
    """A 64-bit hash of each row's key."""
    return document_lanes("", [batch.column(name).cast(TEXT) for name in op.key])[:, 0]


def _text_bytes(rows: Batch | pa.Table) -> Any:
    """For each row the bytes of its text columns."""
    total = np.zeros(rows.num_rows, np.int64)
    for field, column in zip(rows.schema, rows.columns, strict=True):
        if pa.types.is_large_string(field.type):
            values: Any = one_array(column)
            total += np.diff(text_buffers(values)[1])
    return total


class Runs:
    """Writes a shard's rows as sorted runs; `index` is what `write_index` leaves beside them."""

    def __init__(self, file: Any, op: Gather, schema: pa.Schema) -> None:
        self.op, self.schema = op, schema
        self.writer = pa.ipc.new_file(
            file, schema.append(pa.field(_HASH, pa.uint64())), options=pa.ipc.IpcWriteOptions(compression="zstd")
        )
        self.waiting: list[Batch] = []
        self.held = 0
        self.index: list[tuple[int, int]] = []

    def add(self, batch: Batch) -> None:
        """Takes rows in."""
        self.waiting.append(batch.select(self.schema.names))
        self.held += batch.nbytes
        if self.held >= RUN_BYTES:
            self._sort()

    def close(self) -> None:
        """Writes what is left."""
        self._sort()
        self.writer.close()

    def _sort(self) -> None:
        rows = sum(batch.num_rows for batch in self.waiting)
        if rows:
            whole = pa.Table.from_batches(self.waiting).combine_chunks().to_batches()[0]
            hashes = key_hashes(self.op, whole)
            order: Any = np.argsort(hashes, kind="stable")
            whole, hashes = whole.take(order), hashes[order]
            whole = whole.append_column(_HASH, pa.array(hashes, pa.uint64()))
            for lo, hi in _cut(_text_bytes(whole), PIECE_BYTES):
                self.index.append((int(hashes[lo]), int(hashes[hi - 1])))
                # A slice's buffers are written whole where they are shared.
                self.writer.write_batch(whole.slice(lo, hi - lo))
        self.waiting, self.held = [], 0


def _cut(sizes: Any, most: int) -> Iterator[tuple[int, int]]:
    """Runs of rows of at most so many bytes, or of one row."""
    ends, at = np.cumsum(sizes), 0
    while at < len(ends):
        before = int(ends[at - 1]) if at else 0
        stop = max(at + 1, int(np.searchsorted(ends, before + most, side="right")))
        yield at, stop
        at = stop


def write_index(url: str, runs: Runs) -> None:
    """Writes the lowest and the highest hash of each piece."""
    buffer = io.BytesIO()
    np.save(buffer, np.array(runs.index, np.uint64).reshape(-1, 2))
    storage.write_bytes(url, buffer.getvalue())


def partitions(total: int, version: str) -> list[Shard]:
    """The partitions of so many bytes of rows: a power of two, so that growth splits them rather than shifts them."""
    count = 1
    while count * PARTITION_BYTES < total:
        count *= 2
    edges = [(n << 64) // count for n in range(count + 1)]
    return [
        Shard(f"{n:05d}-of-{count:05d}", version, total // count, {"low": edges[n], "last": edges[n + 1] - 1})
        for n in range(count)
    ]


def read_partition(folder: str, shards: Sequence[str], op: Gather, at: Any) -> pa.Table:
    """The rows of a partition, those of a key side by side and in the op's order, whatever shards they come from."""
    low, last = np.uint64(at["low"]), np.uint64(at["last"])
    parts: list[Batch] = []
    for shard in shards:
        index = np.load(io.BytesIO(storage.read_bytes(storage.join(folder, "rows", f"{shard}.npy"))))
        wanted = np.flatnonzero((index[:, 0] <= last) & (index[:, 1] >= low))
        if not len(wanted):
            continue
        with _opened(storage.join(folder, "rows", f"{shard}.arrow")) as file:
            reader = pa.ipc.open_file(file)
            for n in wanted.tolist():
                piece = reader.get_batch(n)
                hashes = np.asarray(piece.column(_HASH))
                lo = int(np.searchsorted(hashes, low, "left"))
                hi = int(np.searchsorted(hashes, last, "right"))
                parts.append(piece.slice(lo, hi - lo))
    if not parts:
        return pa.table({name: pa.array([], kind) for name, kind in op.contract.reads.items()})
    table = pa.Table.from_batches(parts).combine_chunks()
    keys = [_HASH, *dict.fromkeys((*op.key, *op.order, "id"))]
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in keys])
    return table.take(order).combine_chunks()


@contextlib.contextmanager
def _opened(url: str) -> Iterator[Any]:
    if storage.is_local(url):
        with pa.memory_map(str(storage.local_path(url))) as file:
            yield file
    else:
        with storage.open_read(url, ahead=False) as file:
            remote: Any = file
            yield pa.PythonFile(remote, "r")


def groups(table: pa.Table, key: Sequence[str]) -> Groups:
    """Where the groups of rows of one key begin, and where the last ends."""
    if not table.num_rows:
        return np.zeros(1, np.int64)
    new = np.zeros(table.num_rows, bool)
    new[0] = True
    for name in key:
        codes = np.asarray(one_array(table.column(name)).dictionary_encode("encode").indices)
        new[1:] |= codes[1:] != codes[:-1]
    return np.append(np.flatnonzero(new), table.num_rows)


def grouped(table: pa.Table, op: Gather) -> Iterator[tuple[Groups, Batch]]:
    """The rows with their groups, in batches of whole groups."""
    edges = groups(table, op.key)
    ends = np.append(0, np.cumsum(_text_bytes(table)))
    for lo, hi in _cut(np.diff(ends[edges]), BATCH_BYTES):
        first, stop = int(edges[lo]), int(edges[hi])
        rows = table.slice(first, stop - first).combine_chunks().to_batches()[0]
        yield edges[lo : hi + 1] - first, rows
