"""The files that a shard leaves in a stage's folder: documents or text, rows to be gathered, tables, sketches, ids."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine import gathering, storage
from engine.op import Batch, Gather
from engine.schema import DOCUMENT
from engine.sketches import write_sketch
from engine.stage import Task, Work

ROW_GROUP_BYTES = 16 << 20
"""Text of a row group in what a stage writes: batches smaller than this are joined."""
_PLAIN = ("content", "id", "path")
"""Columns whose values hardly repeat: a dictionary would only cost."""


class ShardFiles:
    """Writes the files of a shard, each whole or not at all; `urls` names those written, by kind."""

    def __init__(self, task: Task) -> None:
        self.task, self.stage = task, task.stage
        self.urls: dict[str, str] = {}

    def write_kept(self, batches: Iterable[Batch]) -> None:
        """Takes all documents that the stage keeps, and writes of them what it leaves."""
        if self.stage.leaves == "rows":
            for _ in batches:
                pass
        elif self.stage.leaves == "runs":
            self._write_runs(batches)
        else:
            url = self.task.url("documents" if self.stage.leaves == "documents" else "text")
            with storage.open_whole(url) as file:
                self._write_documents(file, batches)
            self.urls["text"] = url

    def _write_documents(self, file: Any, batches: Iterable[Batch]) -> None:
        schema = pa.schema([*DOCUMENT, *(f for f in self.stage.extra if f.name not in DOCUMENT.names)])
        with parquet_writer(file, schema) as writer:
            waiting: list[Batch] = []
            held = 0
            for batch in batches:
                columns = [
                    batch.column(f.name) if f.name in batch.schema.names else pa.nulls(batch.num_rows, f.type)
                    for f in schema
                ]
                waiting.append(pa.RecordBatch.from_arrays(columns, schema=schema))
                held += int(pc.sum(batch.column("length_bytes")).as_py() or 0)
                if held >= ROW_GROUP_BYTES:
                    writer.write_table(pa.Table.from_batches(waiting), row_group_size=1 << 30)
                    waiting, held = [], 0
            if sum(b.num_rows for b in waiting):
                writer.write_table(pa.Table.from_batches(waiting), row_group_size=1 << 30)

    def _write_runs(self, batches: Iterable[Batch]) -> None:
        work, url = self.stage.gathered_by, self.task.url("rows", "arrow")
        assert work is not None and isinstance(work.op, Gather)
        known = {f.name: f.type for f in (*DOCUMENT, *self.stage.extra)}
        schema = pa.schema([(n, known[n]) for n in dict.fromkeys(("id", *work.op.contract.reads))])
        with storage.open_whole(url) as file:
            runs = gathering.Runs(file, work.op, schema)
            for batch in batches:
                runs.add(batch)
            runs.close()
        index = self.task.url("rows", "npy")
        gathering.write_index(index, runs)
        self.urls |= {"rows": url, "rows/index": index}

    def write_roll(self, roll: pa.Table) -> None:
        """Writes the roll, which every stage leaves."""
        url = self.urls["roll"] = self.task.url("roll")
        with storage.open_whole(url) as file, parquet_writer(file, roll.schema) as writer:
            writer.write_table(roll)

    def write_tables(self, tables: Mapping[str, pa.Table]) -> None:
        """Writes tables by the kinds of their files, except those that have no row."""
        for kind, table in tables.items():
            if table.num_rows:
                self.urls[kind] = self.task.url(kind)
                storage.write_parquet(self.urls[kind], table)

    def write_sketches(self, work: Work, batches: list[Batch]) -> None:
        """Writes what a global op took down of the documents."""
        folder = storage.join(self.task.out, "sketches", work.step)
        url = write_sketch(folder, self.task.shard.name, batches, work.op.contract.writes)
        self.urls[f"sketches/{work.step}"] = url

    def write_ids(self, lanes: list[Any]) -> None:
        """Writes the ids of all rows of the source, as numbers."""
        buffer = io.BytesIO()
        np.save(buffer, np.concatenate(lanes) if lanes else np.zeros((0, 2), np.uint64))
        self.urls["ids"] = self.task.url("ids", "npy")
        storage.write_bytes(self.urls["ids"], buffer.getvalue())


def parquet_writer(file: Any, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer of documents: zstd level 1, which writes twice as fast as level 3 for 15 % more bytes."""
    repeating = [f.name for f in schema if f.name not in _PLAIN and _is_text(f.type)]
    measured = [f.name for f in schema if f.name != "content" and not pa.types.is_nested(f.type)]
    return pq.ParquetWriter(
        file,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=repeating,  # pyright: ignore[reportArgumentType]  # columns are named, too
        write_statistics=measured,
    )


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)
