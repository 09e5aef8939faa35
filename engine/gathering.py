"""Rows that belong together brought together, wherever they lie: the external sort behind `engine.op.Gather`.

A shard leaves one file: its rows in sorted runs of bounded size, by the hash of their key, cut into small pieces, and
beside it which hashes each piece holds. A partition is a range of hashes; whoever works on it reads of every shard
the pieces that touch it. So files are as many as shards, what a shard leaves does not depend on how many partitions
there will be, and memory is the partition's. Where shards and partitions are many, files are merged first, some
hundred to one, so that what is opened grows with the rows and not with shards times partitions.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Collection, Iterator, Sequence
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
_UNPACKED = 6
"""Bytes of rows for one in a file, about: text that zstd has packed."""
MERGE = 256
"""Files that become one, all open at a time."""
MOST_OPENED = 1 << 16
"""Times that files may be opened for all partitions before they are merged."""
MERGED = "~merged-"
"""What begins the names of files that shards were merged into; no shard's name does."""
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
        self.writer = _writer(file, schema.append(pa.field(_HASH, pa.uint64())))
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
            self.index += _write_pieces(self.writer, whole)
        self.waiting, self.held = [], 0


def _writer(file: Any, schema: pa.Schema) -> Any:
    return pa.ipc.new_file(file, schema, options=pa.ipc.IpcWriteOptions(compression="zstd"))


def _write_pieces(writer: Any, rows: Batch) -> Iterator[tuple[int, int]]:
    """Writes rows that are sorted as small pieces; the lowest and the highest hash of each."""
    hashes = np.asarray(rows.column(_HASH))
    for lo, hi in _cut(_text_bytes(rows), PIECE_BYTES):
        writer.write_batch(rows.slice(lo, hi - lo))
        yield int(hashes[lo]), int(hashes[hi - 1])


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
    _write_index(url, runs.index)


def _write_index(url: str, index: Sequence[tuple[int, int]]) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array(index, np.uint64).reshape(-1, 2))
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


def hashes_of(folder: str, shard: str, ids: Collection[str]) -> set[int]:
    """The hashes of the keys of those rows of a shard that have one of these ids."""
    found: set[int] = set()
    with storage.open_mapped(storage.join(folder, "rows", f"{shard}.arrow")) as file:
        reader = pa.ipc.open_file(file)
        for n in range(reader.num_record_batches):
            piece = reader.get_batch(n)
            mine = pc.is_in(piece.column("id"), value_set=pa.array(sorted(ids), TEXT))
            found.update(np.asarray(piece.column(_HASH).filter(mine)).tolist())
    return found


def read_partition(folder: str, shards: Sequence[str], op: Gather, at: Any) -> pa.Table:
    """The rows of a partition, those of a key side by side and in the op's order, whatever shards they come from."""
    low, last = np.uint64(at["low"]), np.uint64(at["last"])
    parts: list[Batch] = []
    for shard in shards:
        index = _index(folder, shard)
        if _touching(index, low, last).size:
            with storage.open_mapped(storage.join(folder, "rows", f"{shard}.arrow")) as file:
                parts += _between(pa.ipc.open_file(file), index, low, last)
    if not parts:
        return pa.table({name: pa.array([], kind) for name, kind in op.contract.reads.items()})
    table = pa.Table.from_batches(parts).combine_chunks()
    keys = [_HASH, *dict.fromkeys((*op.key, *op.order, "id"))]
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in keys])
    return table.take(order).combine_chunks()


def _index(folder: str, shard: str) -> Any:
    return np.load(io.BytesIO(storage.read_bytes(storage.join(folder, "rows", f"{shard}.npy"))))


def _touching(index: Any, low: Any, last: Any) -> Any:
    """The pieces that may hold hashes of a range."""
    return np.flatnonzero((index[:, 0] <= last) & (index[:, 1] >= low))


def _between(reader: Any, index: Any, low: Any, last: Any) -> Iterator[Batch]:
    """The rows of a file whose hashes lie in a range."""
    for n in _touching(index, low, last).tolist():
        piece = reader.get_batch(n)
        hashes = np.asarray(piece.column(_HASH))
        lo, hi = int(np.searchsorted(hashes, low, "left")), int(np.searchsorted(hashes, last, "right"))
        yield piece.slice(lo, hi - lo)


# --- merging ------------------------------------------------------------------------------------------------------


def needs_merging(shards: int, parts: int) -> bool:
    """Whether so many partitions would open the files of so many shards too often."""
    return shards > MERGE and shards * parts > MOST_OPENED


def merged(folder: str, shards: Sequence[str], parts: int, run_all: Callable[..., Any]) -> list[str]:
    """The names of files that hold the rows of all shards, few enough for so many partitions to open each of them."""
    names, level = list(shards), 0
    while needs_merging(len(names), parts):
        groups = [names[n : n + MERGE] for n in range(0, len(names), MERGE)]
        names = [f"{MERGED}{level}-{n:05d}" for n in range(len(groups))]
        run_all(_merge, [(folder, group, name) for group, name in zip(groups, names, strict=True)])
        level += 1
    return names


def _merge(job: tuple[str, Sequence[str], str]) -> None:
    """Writes the rows of some files as one sorted file: a range of hashes after the other is held in memory."""
    folder, names, out = job
    urls = [storage.join(folder, "rows", f"{name}.arrow") for name in names]
    size = sum(storage.file_info(url).bytes for url in urls)
    index: list[tuple[int, int]] = []
    with contextlib.ExitStack() as opened, storage.open_whole(storage.join(folder, "rows", f"{out}.arrow")) as file:
        sources = [
            (pa.ipc.open_file(opened.enter_context(storage.open_mapped(url))), _index(folder, name))
            for url, name in zip(urls, names, strict=True)
        ]
        with _writer(file, sources[0][0].schema) as writer:
            for part in partitions(_UNPACKED * size, ""):
                low, last = np.uint64(part.at["low"]), np.uint64(part.at["last"])
                found = [rows for reader, pieces in sources for rows in _between(reader, pieces, low, last)]
                if found:
                    whole = pa.Table.from_batches(found).combine_chunks()
                    order: Any = np.argsort(np.asarray(one_array(whole.column(_HASH))), kind="stable")
                    for rows in whole.take(order).combine_chunks().to_batches():
                        index += _write_pieces(writer, rows)
    _write_index(storage.join(folder, "rows", f"{out}.npy"), index)


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
