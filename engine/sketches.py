"""The sketches that shards leave for global ops, and the exchange that brings together those that meet.

A shard leaves two files: its sketches in the order of its documents (Arrow IPC), and its keys, sorted, each with the
place of its document. A partition is a range of keys; whoever works on it reads that slice of every shard's keys and
fetches the sketches of only those documents that meet another: files are as many as shards, never shards times
partitions, and memory is the partition's.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from engine import storage
from engine.columns import one_array
from engine.op import Batch, Meeting
from engine.schema import TEXT

PARTITION_KEYS = 8 << 20
"""Keys of a partition: with their sketches of some 100 bytes they stay under 1 GB."""
_KEY = np.dtype([("key", "<u8"), ("index", "<u4")])


def write_sketch(folder: str, shard: str, batches: list[Batch]) -> str:
    """The URL of a shard's sketches, written in the order of documents, with its sorted keys beside them."""
    table = pa.Table.from_batches(batches).combine_chunks() if batches else pa.table({"row": pa.array([], pa.int64())})
    keys = np.zeros(0, _KEY)
    if "key" in table.schema.names:
        column = one_array(table.column("key"))
        if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            ends = np.asarray(column.offsets)
            values, index = np.asarray(column.flatten()), np.repeat(np.arange(len(column)), np.diff(ends))
        elif pa.types.is_fixed_size_list(column.type):
            width = column.type.list_size
            values, index = np.asarray(column.flatten()), np.repeat(np.arange(len(column)), width)
        else:
            valid = np.asarray(column.is_valid())
            values, index = np.asarray(column.drop_null()), np.flatnonzero(valid)
        order = np.lexsort((index, values))
        keys = np.empty(len(values), _KEY)
        keys["key"], keys["index"] = values[order], index[order]
        table = table.drop_columns(["key"])
    url = storage.join(folder, f"{shard}.arrow")
    with storage.open_whole(storage.join(folder, f"{shard}.keys")) as file:
        file.write(keys.tobytes())
    with storage.open_whole(url) as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=1 << 30)
    return url


def open_sketch(folder: str, shard: str) -> pa.Table:
    """A shard's sketches in the order of its documents, memory-mapped where they lie on a local disk."""
    url = storage.join(folder, f"{shard}.arrow")
    if storage.is_local(url):
        return pa.ipc.open_file(pa.memory_map(str(storage.local_path(url)))).read_all()
    return pa.ipc.open_file(io.BytesIO(storage.read_bytes(url))).read_all()


def open_keys(folder: str, shard: str) -> Any:
    """A shard's keys with the places of their documents, sorted, memory-mapped where they lie on a local disk."""
    url = storage.join(folder, f"{shard}.keys")
    if not storage.file_info(url).bytes:
        return np.zeros(0, _KEY)
    if storage.is_local(url):
        return np.memmap(storage.local_path(url), _KEY, "r")
    return np.frombuffer(storage.read_bytes(url), _KEY)


@dataclass(frozen=True)
class SketchFile:
    """The sketches of one shard: where they lie, and the file of verdicts that dropped some of its documents before."""

    folder: str
    shard: str
    verdicts: str | None = None


@dataclass(frozen=True)
class Slice:
    """One partition of an exchange: the keys from `low` up to `high`, of these shards."""

    files: tuple[SketchFile, ...]
    low: int
    high: int
    columns: tuple[str, ...]


def meeting(part: Slice) -> Meeting:
    """The records of a partition that meet another."""
    keys, shards, indexes = [], [], []
    for number, file in enumerate(part.files):
        held = open_keys(file.folder, file.shard)
        # The bounds are 64-bit and the last is open, so they are compared as such.
        lo = np.searchsorted(held["key"], np.uint64(part.low), "left")
        hi = np.searchsorted(held["key"], np.uint64(part.high - 1), "right")
        if hi > lo:
            keys.append(held["key"][lo:hi])
            indexes.append(held["index"][lo:hi].astype(np.int64))
            shards.append(np.full(hi - lo, number, np.int32))
    if not keys:
        return _empty(part)
    key, shard, index = np.concatenate(keys), np.concatenate(shards), np.concatenate(indexes)
    if any(f.verdicts for f in part.files):
        alive = _alive(part, shard, index)
        key, shard, index = key[alive], shard[alive], index[alive]
    order = np.argsort(key, kind="stable")
    key, shard, index = key[order], shard[order], index[order]
    same = key[1:] == key[:-1]
    meets = np.zeros(len(key), bool)
    meets[1:] |= same
    meets[:-1] |= same
    key, shard, index = key[meets], shard[meets], index[meets]
    if not len(key):
        return _empty(part)
    documents = fetch(part.files, shard, index, ("id", "row", *part.columns))
    row = documents.column("row").to_numpy()
    return Meeting(key, shard, row, documents.drop_columns(["row"]))


def fetch(files: Sequence[SketchFile], shard: Any, index: Any, columns: Sequence[str]) -> pa.Table:
    """The sketches of documents named by shard and place, in the order given."""
    order = np.argsort(shard, kind="stable")
    parts = []
    for number in np.unique(shard):
        rows = index[order][shard[order] == number]
        table = open_sketch(files[number].folder, files[number].shard).select(list(dict.fromkeys(columns)))
        parts.append(table.take(pa.array(rows)))
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return pa.concat_tables(parts).combine_chunks().take(pa.array(back))


def _alive(part: Slice, shard: Any, index: Any) -> Any:
    alive = np.ones(len(shard), bool)
    for number, file in enumerate(part.files):
        mine = np.flatnonzero(shard == number) if file.verdicts else ()
        if file.verdicts and len(mine):
            lost = storage.read_parquet(file.verdicts, ["row"]).column("row").to_numpy()
            rows = open_sketch(file.folder, file.shard).column("row").to_numpy()[index[mine]]
            alive[mine[np.isin(rows, lost)]] = False
    return alive


def _empty(part: Slice) -> Meeting:
    none = np.zeros(0, np.int64)
    documents = pa.table({"id": pa.array([], TEXT)} | {c: pa.nulls(0) for c in part.columns})
    return Meeting(none.astype(np.uint64), none.astype(np.int32), none, documents)


def _work(job: tuple[Callable[[Meeting], pa.Table], Slice]) -> pa.Table:
    work, part = job
    return work(meeting(part))


@dataclass(frozen=True)
class SketchExchange:
    """The exchange over the sketches of these shards, worked on by `run`, which maps a function over items."""

    files: tuple[SketchFile, ...]
    run: Callable[[Callable[[Any], pa.Table], list[Any]], list[pa.Table]]

    @property
    def shards(self) -> int:
        """How many shards there are."""
        return len(self.files)

    def match(self, work: Callable[[Meeting], pa.Table], columns: Sequence[str]) -> list[pa.Table]:
        """The answers of `work` for every partition, in the order of keys."""
        total = sum(storage.file_info(storage.join(f.folder, f"{f.shard}.keys")).bytes for f in self.files)
        parts = max(1, -(-total // (_KEY.itemsize * PARTITION_KEYS)))
        edges = [(n << 64) // parts for n in range(parts + 1)]
        slices = [Slice(self.files, edges[n], edges[n + 1], tuple(columns)) for n in range(parts)]
        return self.run(partial(_work), [(work, part) for part in slices])
