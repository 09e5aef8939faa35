"""Documents erased from the files of a run: tables and documents without them, and away with what is made anew."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from engine import storage
from engine.gathering import MERGED
from engine.losses import FORGOTTEN
from engine.op import Workers
from engine.schema import LEDGER, TEXT
from engine.shard_files import parquet_writer
from engine.sought import File, among, files, stem

pc: Any = pyarrow.compute

STEP = "forget"
"""The step under which the ledger has documents that were kept until they were forgotten."""
_TABLES = ("roll", "ledger", "quarantine", "samples", "duplicates", "documents")
"""What a stage leaves for people to read: it stays, without what is forgotten. The rest is made anew."""
_KEPT = ("receipts", "ids", "verdicts")
"""Folders of stages that tell of documents by id and place at most."""


def erase(run: str, ids: set[str], touched: set[str], pool: Workers) -> None:
    """Takes these documents out of all that the shards that know of them (`stream/shard`) have left in a run."""
    stages = [(f, storage.join(run, "stages", f)) for f in storage.names(storage.join(run, "stages"))]
    for folder, base in stages:
        # From here on whoever is stopped leaves shards that count as not done.
        for shard in _of(folder, touched):
            storage.remove(storage.join(base, "receipts", f"{shard}.json"))
    tables = [f for f in files(run, _TABLES) if f.kind == "duplicates" or f"{f.stream}/{f.shard}" in touched]
    for folder, base in stages:
        url = storage.join(base, "chosen_samples.parquet")
        if storage.exists(url):
            tables.append(File(_stream(folder), "samples", "", url))
    for _ in pool.map(_rewrite, [(f, frozenset(ids)) for f in tables], threads=True):
        pass
    # Rows tell what was gathered from them: they go when nothing of it is left.
    for folder, base in stages:
        for kind in storage.names(base):
            if kind == "scratch":
                storage.remove(storage.join(base, kind))
            elif kind not in (*_TABLES, *_KEPT) and "." not in kind:
                _unmake(storage.join(base, kind), _of(folder, touched))
    if storage.is_local(run):
        for stray in storage.local_path(run).rglob(f"*{storage.ASIDE}"):
            stray.unlink()


def _stream(folder: str) -> str:
    """The stream of a stage's folder."""
    return folder.rsplit("-", 2)[0]


def _of(folder: str, touched: set[str]) -> set[str]:
    """The shards among these that are of the stream of a stage's folder."""
    return {shard for stream, _, shard in (t.partition("/") for t in touched) if stream == _stream(folder)}


def _unmake(place: str, shards: set[str]) -> None:
    """Removes what the next run will make anew for these shards: texts, sketches, rows to be gathered."""
    for name in storage.names(place):
        if stem(name) in shards or name.startswith(MERGED):
            storage.remove(storage.join(place, name))
        elif "." not in name:
            _unmake(storage.join(place, name), shards)


def _rewrite(job: tuple[File, frozenset[str]]) -> None:
    """Writes a file anew without these documents, if it tells of any."""
    file, ids = job
    if file.kind == "documents":
        _rewrite_documents(file, ids)
        return
    table = storage.read_parquet(file.url)
    column = "dropped" if file.kind == "duplicates" else "id"
    mine = among(table.column(column), ids)
    kept = table
    if file.kind in ("ledger", "quarantine"):
        kept = _nulled(kept, mine, ("path", "repo_name", "score"))
        if file.kind == "quarantine":
            at = kept.schema.get_field_index("error")
            told = pc.if_else(mine, pa.scalar(FORGOTTEN, TEXT), kept.column("error"))
            kept = kept.set_column(at, kept.schema.field("error"), told)
    else:
        kept = kept.filter(pc.invert(mine))
        if file.kind == "duplicates":
            kept = _nulled(kept, among(kept.column("kept"), ids), ("kept_path",))
    if not kept.equals(table):
        storage.write_parquet(file.url, kept)


def _nulled(table: pa.Table, rows: Any, columns: Iterable[str]) -> pa.Table:
    for name in columns:
        if name in table.schema.names:
            at = table.schema.get_field_index(name)
            nothing = pa.scalar(None, table.schema.field(name).type)
            table = table.set_column(at, table.schema.field(name), pc.if_else(rows, nothing, table.column(name)))
    return table


def _rewrite_documents(file: File, ids: frozenset[str]) -> None:
    with storage.open_read(file.url) as read:
        parquet = pq.ParquetFile(read)
        known = parquet.read(columns=["id"]).column("id")
        gone = known.filter(among(known, ids))
        if not len(gone):
            return
        # The ledger first, so that a document is at no time in neither.
        _enter("/ledger/".join(file.url.rsplit("/documents/", 1)), file.stream, gone)
        with storage.open_whole(file.url) as out, parquet_writer(out, parquet.schema_arrow) as writer:
            for group in range(parquet.num_row_groups):
                table = parquet.read_row_group(group)
                kept = table.filter(pc.invert(among(table.column("id"), ids)))
                if kept.num_rows:
                    writer.write_table(kept, row_group_size=1 << 30)


def _enter(url: str, stream: str, ids: Any) -> None:
    """Enters documents that were kept in a ledger, unless they are there."""
    known = storage.read_parquet(url) if storage.exists(url) else LEDGER.empty_table()
    ids = ids.filter(pc.invert(pc.is_in(ids, value_set=known.column("id"))))
    told = {"stream": stream, "step": STEP, "reason": FORGOTTEN}
    columns = [ids if f.name == "id" else pa.repeat(pa.scalar(told.get(f.name), f.type), len(ids)) for f in LEDGER]
    storage.write_parquet(url, pa.concat_tables([known, pa.Table.from_arrays(columns, schema=LEDGER)]))
