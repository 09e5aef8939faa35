"""What the end of a Parquet file tells: its columns, where it can be cut, and whether it is still the same file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from engine import storage
from ops.input_files import Damage
from ops.stack_columns import NESTED, is_list

_TAIL = 64 << 10


@dataclass(frozen=True)
class Footer:
    """What the end of a Parquet file says."""

    metadata: pq.FileMetaData
    schema: pa.Schema
    version: str

    @classmethod
    def of(cls, file: storage.FileInfo) -> Footer:
        """The footer of a file, read alone; Damage or Arrow's own error where there is none."""
        with storage.open_read(file.url) as opened:
            opened.seek(max(0, file.bytes - _TAIL))
            tail = opened.read()
            if tail[-4:] == b"PARE":
                raise Damage("its footer is encrypted")
            if tail[-4:] != b"PAR1":
                raise Damage("it does not end as Parquet files do; it may be cut off")
            size = int.from_bytes(tail[-8:-4], "little") + 8
            if size > len(tail):
                opened.seek(max(0, file.bytes - size))
                tail = opened.read()
        tail = tail[-size:]
        metadata = pq.read_metadata(pa.BufferReader(tail))
        version = f"{file.bytes}-{file.version}-{xxhash.xxh3_64_hexdigest(tail)}"
        return cls(metadata, metadata.schema.to_arrow_schema(), version)

    def runs(self, most: int) -> Iterator[tuple[int, int, int]]:
        """Runs of row groups of at most so many bytes: the first, the one behind the last, and their bytes."""
        first, size = 0, 0
        for group in range(self.metadata.num_row_groups):
            more = _bytes(self.metadata.row_group(group))
            if size and size + more > most:
                yield first, group, size
                first, size = group, 0
            size += more
        if self.metadata.num_row_groups > first:
            yield first, self.metadata.num_row_groups, size

    def edges(self) -> list[int]:
        """The number of the first row of each row group, and of the row behind the last."""
        counts = (self.metadata.row_group(group).num_rows for group in range(self.metadata.num_row_groups))
        return [0, *accumulate(counts)]

    def names(self) -> list[str]:
        """All columns, and the fields of structs and of the list `files`, with dots."""
        return list(_names(self.schema))

    def kind(self, name: str) -> pa.DataType:
        """The type of a column or field; one that has the dots in its own name goes first."""
        first, *rest = [name] if name in self.schema.names else name.split(".")
        kind = self.schema.field(first).type
        for field in rest:
            kind = (kind.value_type if is_list(kind) else kind).field(field).type
        return kind

    def leaf(self, name: str) -> int:
        """The number of the column that holds a dotted name's values, which may be in a list of structs."""
        paths = [self.metadata.schema.column(n).path for n in range(self.metadata.num_columns)]
        if name in paths:
            return paths.index(name)
        first, last = name.split(".")[0], name.rpartition(".")[2]
        return next(n for n, p in enumerate(paths) if p.startswith(f"{first}.") and p.endswith(f".{last}"))


def _bytes(group: pq.RowGroupMetaData) -> int:
    told = group.total_byte_size
    return told or sum(group.column(c).total_uncompressed_size for c in range(group.num_columns))


def _names(schema: pa.Schema) -> Iterator[str]:
    for item in schema:
        yield item.name
        if pa.types.is_struct(item.type):
            yield from (f"{item.name}.{name}" for name in _names(pa.schema(list(item.type))))
        elif item.name == NESTED and is_list(item.type) and pa.types.is_struct(item.type.value_type):
            yield from (f"{item.name}.{name}" for name in _names(pa.schema(list(item.type.value_type))))
