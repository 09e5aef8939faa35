"""The roll of a shard: all columns but the text, of all documents that a stage read.

It is what `measures/`, `why` and `whatif` show and what the next pass starts from.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from engine.op import Batch, Measure
from engine.schema import DOCUMENT, ROLL, TEXT_ROW
from engine.stage import Stage


class Roll:
    """The documents entered so far, with their places among those read."""

    def __init__(self, stage: Stage) -> None:
        measured = [n for w in stage.steps if isinstance(w.op, Measure) for n in w.op.contract.writes]
        names = [*ROLL, *(n for n in measured if n not in ROLL)]
        self._names = [
            *names,
            *(f.name for f in stage.extra if f.name not in names and not pa.types.is_nested(f.type)),
        ]
        self._parts: list[tuple[Any, Batch]] = []

    def enter(self, positions: Any, batch: Batch, alive: Any, rows: Any) -> None:
        """Enters documents; `rows` are the places of the text of those alive, None where none is."""
        # A measure taken twice, before and after a change of the text, counts as it was first.
        columns = {
            n: batch.column(f"~{n}" if f"~{n}" in batch.schema.names else n)
            for n in self._names
            if n in batch.schema.names
        }
        where = np.full(batch.num_rows, -1, np.int64)
        if rows is not None:
            where[alive] = rows
        columns[TEXT_ROW] = pa.array(where, mask=where < 0)
        self._parts.append((positions, pa.RecordBatch.from_pydict(columns)))

    def table(self) -> pa.Table:
        """The whole roll in the order of the documents' places."""
        if not self._parts:
            fields = [f for f in DOCUMENT if f.name in ROLL]
            return pa.schema([*fields, pa.field(TEXT_ROW, pa.int64())]).empty_table()
        names = list(dict.fromkeys(n for _, b in self._parts for n in b.schema.names if n != TEXT_ROW))
        table = pa.concat_tables([pa.Table.from_batches([b]) for _, b in self._parts], promote_options="default")
        positions = np.concatenate([p for p, _ in self._parts])
        order = np.argsort(positions, kind="stable")
        table = table.select([*names, TEXT_ROW])
        return table if (np.diff(positions) >= 0).all() else table.take(pa.array(order, pa.int64()))


def volumes(roll: pa.Table) -> dict[str, list[int]]:
    """For each language the documents and their bytes; documents without one are under an empty name."""
    sums = roll.select(["language", "length_bytes"]).group_by("language")
    table = sums.aggregate([("length_bytes", "count"), ("length_bytes", "sum")])
    rows = zip(
        *(table.column(c).to_pylist() for c in ("language", "length_bytes_count", "length_bytes_sum")), strict=True
    )
    return {name or "": [count, total or 0] for name, count, total in sorted(rows, key=lambda r: r[0] or "")}
