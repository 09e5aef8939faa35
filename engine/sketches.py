"""The sketches that shards leave for global ops, and the exchange that brings together those that meet.

A shard leaves two files: its sketches in the order of its documents (Arrow IPC), and its keys, sorted, each with the
place of its document. A partition is a range of keys; whoever works on it reads that slice of every shard's keys and
fetches the sketches of only those documents that meet another: files are as many as shards, never shards times
partitions, and memory is the partition's.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from engine import storage
from engine.columns import one_array
from engine.op import Batch, Texts
from engine.schema import TEXT

PARTITION_KEYS = 8 << 20
"""Keys of a partition at most: with their sketches of some 100 bytes they stay under 1 GB."""
_FEW_KEYS, _FEW_PARTITIONS = 1 << 18, 32
"""Fewer keys are cut into up to so many partitions of no fewer than this, so that all workers have some."""
_KEY = np.dtype([("key", "<u8"), ("index", "<u4")])


def write_sketch(folder: str, shard: str, batches: list[Batch], writes: Mapping[str, pa.DataType]) -> str:
    """The URL of a shard's sketches, written in the order of documents, with its sorted keys beside them."""
    fields = [*(pa.field(n, t) for n, t in writes.items()), pa.field("id", TEXT), pa.field("row", pa.int64())]
    # A shard may have no document left and still has the columns.
    table = pa.Table.from_batches(batches).combine_chunks() if batches else pa.schema(fields).empty_table()
    keys = np.zeros(0, _KEY)
    if "key" in table.schema.names:
        column: Any = one_array(table.column("key"))
        if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            ends = np.asarray(column.offsets)
            values, index = np.asarray(column.flatten()), np.repeat(np.arange(len(column)), np.diff(ends))
        elif pa.types.is_fixed_size_list(column.type):
            width = column.type.list_size
            values, index = np.asarray(column.flatten()), np.repeat(np.arange(len(column)), width)
        else:
            valid = np.asarray(column.is_valid())
            values, index = np.asarray(column.drop_null()), np.flatnonzero(valid)
        order, _ = _by_key(values)
        keys = np.empty(len(values), _KEY)
        keys["key"], keys["index"] = values[order], index[order]
        table = table.drop_columns(["key"])
    url = storage.join(folder, f"{shard}.arrow")
    with storage.open_whole(storage.join(folder, f"{shard}.keys")) as file:
        file.write(keys.tobytes())
    # The stubs know no file but a path and Arrow's own.
    sink: Any
    with storage.open_whole(url) as sink, pa.ipc.new_file(sink, table.schema) as writer:
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
class StoredSketches:
    """The sketches of all shards, as files."""

    shards: tuple[SketchFile, ...]

    def read(self, shard: int, columns: Sequence[str]) -> pa.Table:
        """The sketches of one shard, in the order of its documents."""
        return open_sketch(self.shards[shard].folder, self.shards[shard].shard).select(list(columns))

    def kept(self, shard: int, columns: Sequence[str]) -> pa.Table:
        """The sketches of those documents of one shard that no earlier global op dropped."""
        file = self.shards[shard]
        if not file.verdicts:
            return self.read(shard, columns)
        lost = storage.read_parquet(file.verdicts, ["row"]).column("row").to_numpy()
        held = open_sketch(file.folder, file.shard)
        return held.filter(pa.array(~np.isin(held.column("row").to_numpy(), lost))).select(list(columns))

    def fetch(self, shard: Any, place: Any, columns: Sequence[str]) -> pa.Table:
        """The sketches of documents named by shard and place, in the order given."""
        if not len(shard):
            return self.read(0, columns).slice(0, 0)
        order = np.argsort(shard, kind="stable")
        ends = np.flatnonzero(np.diff(shard[order])) + 1
        parts = []
        for rows in np.split(order, ends):
            parts.append(self.read(int(shard[rows[0]]), columns).take(pa.array(place[rows], pa.int64())))
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return pa.concat_tables(parts).combine_chunks().take(pa.array(back, pa.int64()))


@dataclass(frozen=True)
class Slice:
    """One partition of an exchange: the keys from `low` up to, but without, `high`."""

    sketches: StoredSketches
    low: int
    high: int


@dataclass(frozen=True)
class Met:
    """The records of a partition that meet another (`engine.op.Meeting`)."""

    sketches: StoredSketches
    keys: Any
    shard: Any
    place: Any

    def fetch(self, columns: Sequence[str]) -> pa.Table:
        """The sketches of the records' documents."""
        return self.sketches.fetch(self.shard, self.place, columns)


def meet(part: Slice) -> Met:
    """The records of a partition that meet another, in the order of key, shard and place."""
    keys, shards, places = [], [], []
    for number, file in enumerate(part.sketches.shards):
        held = open_keys(file.folder, file.shard)
        lo = np.searchsorted(held["key"], np.uint64(part.low), "left")
        hi = np.searchsorted(held["key"], np.uint64(part.high - 1), "right")
        mine, place = held["key"][lo:hi], held["index"][lo:hi].astype(np.int64)
        if file.verdicts and hi > lo:
            lost = storage.read_parquet(file.verdicts, ["row"]).column("row").to_numpy()
            rows = open_sketch(file.folder, file.shard).column("row").to_numpy()
            alive = ~np.isin(rows, lost)[place]
            mine, place = mine[alive], place[alive]
        keys.append(mine)
        places.append(place)
        shards.append(np.full(len(mine), number, np.int32))
    key = np.concatenate([np.zeros(0, np.uint64), *keys])
    shard = np.concatenate([np.zeros(0, np.int32), *shards])
    place = np.concatenate([np.zeros(0, np.int64), *places])
    order, meets = _by_key(key)
    chosen = order[meets]
    return Met(part.sketches, key[chosen], shard[chosen], place[chosen])


def _by_key(keys: Any) -> tuple[Any, Any]:
    """The order of keys, equal ones in that of their places, and which of them, so ordered, equal a neighbour."""
    order = np.argsort(keys)
    found = keys[order]
    same = found[1:] == found[:-1]
    met = np.zeros(len(keys), bool)
    met[1:] |= same
    met[:-1] |= same
    # The sort is fast and not stable: what it left open is settled here, for the few keys that are there twice.
    at = np.flatnonzero(met)
    runs = np.cumsum(np.r_[False, ~same][at] if len(at) else at)
    packed = np.sort((runs.astype(np.uint64) << np.uint64(32)) | order[at].astype(np.uint64))
    order[at] = (packed & np.uint64(0xFFFFFFFF)).astype(np.int64)
    return order, met


def _match(job: tuple[Callable[[Any], Any], Slice]) -> Any:
    work, part = job
    return work(meet(part))


def _texts(job: tuple[Callable[[int, Texts], Any], int, Any, Any]) -> Any:
    work, shard, rows, text = job
    return work(shard, _wanted(text(), rows))


def _wanted(texts: Iterator[pa.Array], rows: Any) -> Texts:
    at = 0
    for column in texts:
        lo, hi = np.searchsorted(rows, [at, at + len(column)])
        if hi > lo:
            yield column, rows[lo:hi] - at, np.arange(lo, hi)
        at += len(column)


@dataclass(frozen=True)
class StoredExchange:
    """The exchange over these sketches (`engine.op.Exchange`)."""

    sketches: StoredSketches
    scratch: str
    run: Callable[[Callable[[Any], Any], list[Any]], list[Any]]
    """Maps a function over items, in workers."""
    text: tuple[Callable[[], Iterator[pa.Array]], ...]
    """For each shard what reads its text again, as columns in the order of its rows; it travels to workers."""

    def match(self, work: Callable[[Any], Any]) -> list[Any]:
        """The answer of `work` for every partition of the keys."""
        files = self.sketches.shards
        total = sum(storage.file_info(storage.join(f.folder, f"{f.shard}.keys")).bytes for f in files)
        keys = total // _KEY.itemsize
        parts = max(1, -(-keys // PARTITION_KEYS), min(_FEW_PARTITIONS, keys // _FEW_KEYS))
        edges = [(n << 64) // parts for n in range(parts + 1)]
        return self.run(_match, [(work, Slice(self.sketches, edges[n], edges[n + 1])) for n in range(parts)])

    def map(self, work: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        """The answer of `work` for every item."""
        return self.run(work, list(items))

    def texts(self, work: Callable[[int, Texts], Any], wanted: Sequence[tuple[int, Any]]) -> list[Any]:
        """The answer of `work` for each shard and its rows wanted, ascending."""
        return self.run(_texts, [(work, shard, rows, self.text[shard]) for shard, rows in wanted])
