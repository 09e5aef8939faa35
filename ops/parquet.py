"""Documents from Parquet files: The Stack and whatever else comes as tables."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field, PositiveInt, field_validator

from engine import storage
from engine.errors import OpError
from engine.op import Batch, Losses, Shard, Source
from ops import dataset_rows, input_files, stack_columns
from ops.input_files import InputFile
from ops.parquet_footer import Footer
from ops.stack_columns import NESTED

ENDINGS = (".parquet", ".parq", ".pq")
SHARD_BYTES = 256 << 20
"""Bytes of columns, decompressed, that a shard has at most; it has at least one row group."""
READ_BYTES = 32 << 20
"""Bytes that are decoded at a time: each piece costs the reader and every op a fixed time."""
READ_ROWS = 512
"""Rows that are decoded at a time of a larger row group: a few rows may be far longer than the others."""
YIELD_BYTES = 8 << 20
"""Bytes of text below which pieces are joined before they go on: each batch costs every op a fixed time."""
_BUFFER = 1 << 20
_BUFFER_AFAR = 8 << 20
_DICTIONARY = 4 << 20


class Parquet(Source):
    """Reads documents from Parquet files: a file, a folder with all below it, a glob, or a list of these.

    Paths are local or any URL that fsspec opens. The columns of The Stack v1 and v2, of StarCoderData and of this
    engine's own documents are known; `columns` names others. Lists of licences become one SPDX expression. Text may be
    of a binary type and is decoded then. Dropped are rows without text (`no_content`, `empty`), with too much
    (`too_large`), and with bytes that are no text (`binary`, `undecodable`). A file or row group that is damaged goes
    to quarantine, and what else there is is read.

    Example:
        - parquet: {path: "the-stack/data/python/*.parquet"}

    Reference:
        Kocetkov et al. 2022, The Stack, https://arxiv.org/abs/2211.15533
    """

    rereads: ClassVar[bool] = True
    threads: ClassVar[bool] = True
    reasons: ClassVar[tuple[str, ...]] = dataset_rows.REASONS

    path: str | list[str]
    """File, folder, glob, or a list of them; local or a URL such as `s3://bucket/folder`."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Names of columns in the files, by ours (`{content: body, path: meta.file}`); a dot leads into a struct."""
    max_bytes: PositiveInt = 1 << 20
    """Bytes that a text may have; longer ones are dropped unread."""

    @field_validator("columns")
    @classmethod
    def _known(cls, columns: dict[str, str]) -> dict[str, str]:
        stack_columns.check_names(columns)
        return columns

    def shards(self) -> Iterator[Shard]:
        """Runs of row groups of one file; OpError where a file lacks a column that is needed."""
        return self.cut(input_files.find(self.path, ENDINGS))

    def cut(self, files: Iterable[InputFile]) -> Iterator[Shard]:
        """The shards of these files, whose footers are read."""
        with ThreadPoolExecutor(16) as threads:
            for shards in threads.map(self._cut, files):
                yield from shards

    def read(self, shard: Shard, losses: Losses, columns: frozenset[str] | None = None) -> Iterator[Batch]:
        """Batches of the shard's documents, of their text and the columns asked for."""
        url, place = shard.at["url"], shard.at["place"]
        try:
            footer = Footer.of(storage.file_info(url))
        except FileNotFoundError:
            raise input_files.changed(shard) from None
        except Exception as error:
            if not input_files.is_damage(error):
                raise
            if shard.at["groups"] is not None:
                raise input_files.changed(shard) from None
            losses.quarantine(place, f"no Parquet file that can be read: {error}")
            return
        if footer.version != shard.version:
            raise input_files.changed(shard)
        chosen = self.chosen(footer, place)
        wanted = {
            ours: name for ours, name in chosen.items() if columns is None or ours in columns or ours == "content"
        }
        with _opened(url) as file:
            reader = _Reader(file, footer, place, wanted, self.max_bytes, losses)
            groups = (batch for group in range(*shard.at["groups"]) for batch in reader.group(group))
            yield from dataset_rows.joined(groups, YIELD_BYTES)

    def _cut(self, file: InputFile) -> list[Shard]:
        try:
            footer = Footer.of(storage.FileInfo(file.url, file.bytes, file.version))
        except Exception as error:
            if not input_files.is_damage(error):
                raise
            return [file.shard(0, file.bytes, file.version, groups=None)]
        self.chosen(footer, file.place)
        return [
            file.shard(part, size, footer.version, groups=(first, stop))
            for part, (first, stop, size) in enumerate(footer.runs(SHARD_BYTES))
        ]

    def chosen(self, footer: Footer, place: str) -> dict[str, str]:
        """Our columns and the names of theirs; OpError where one that is needed is missing or cannot be text."""
        chosen = stack_columns.chosen(footer.names(), self.columns, place)
        kind = footer.kind(chosen["content"])
        if not dataset_rows.is_text(kind):
            raise OpError(
                f"{place}: column `{chosen['content']}` is {kind}, not text; name another: `columns: {{content: …}}`"
            )
        return chosen


@contextlib.contextmanager
def _opened(url: str) -> Iterator[Any]:
    """What `pq.ParquetFile` reads from: a local file by Arrow's own means, so that Python's lock is left alone."""
    if storage.is_local(url):
        with pa.OSFile(str(storage.local_path(url)), "r") as file:
            yield file
    else:
        with storage.open_read(url, ahead=False) as file:
            yield file


class _Reader:
    """Reads the row groups of a file as documents."""

    def __init__(
        self, file: Any, footer: Footer, place: str, chosen: dict[str, str], max_bytes: int, losses: Losses
    ) -> None:
        self.footer, self.place, self.chosen = footer, place, chosen
        self.max_bytes, self.losses = max_bytes, losses
        content = chosen["content"]
        self.edges, self.leaf = footer.edges(), footer.leaf(content)
        self.nested = content not in footer.schema.names and content.startswith(f"{NESTED}.")
        self.columns = {o: NESTED if self.nested and n.startswith(f"{NESTED}.") else n for o, n in chosen.items()}
        options: dict[str, Any] = {"metadata": footer.metadata, "pre_buffer": False}
        options["buffer_size"] = _BUFFER if isinstance(file, pa.NativeFile) else _BUFFER_AFAR
        self.plain = pq.ParquetFile(file, page_checksum_verification=True, **options)
        # Repeated texts are few bytes in the file and many as text: these stay encoded until they are cut into pieces.
        self.encoded = None
        kind = footer.kind(content)
        if not self.nested and (pa.types.is_string(kind) or pa.types.is_binary(kind)):
            self.encoded = pq.ParquetFile(file, read_dictionary=[content], page_checksum_verification=True, **options)

    def group(self, group: int) -> Iterator[Batch]:
        """The documents of one row group; what is damaged in it is entered in the losses."""
        at, rows = self.edges[group], self.edges[group + 1] - self.edges[group]
        columns, done, damage, most = self.columns, 0, "", READ_BYTES
        batches = self._batches(group, columns, most)
        while done < rows:
            where = f"row group {group}, the {rows - done} rows from row {at + done} on"
            try:
                batch = next(batches, None)
            except Exception as error:
                if not input_files.is_damage(error):
                    raise
                if most:
                    # The rows before the damage can be read: by few at a time.
                    most = 0
                    batches = _skip(self._batches(group, columns, most), done)
                    continue
                if len(columns) == 1:
                    self.losses.quarantine(self.place, f"{where}: {error}")
                    return
                # Whether a row is a document hangs on its text alone, whichever columns are asked for.
                columns, damage = {"content": self.columns["content"]}, f"{where}, all columns but the text: {error}"
                batches = _skip(self._batches(group, columns, most), done)
                continue
            if batch is None:
                self.losses.quarantine(self.place, f"{where}: the file holds fewer rows than it says")
                return
            if damage:
                self.losses.quarantine(self.place, damage)
                damage = ""
            yield from self._documents(batch, columns, at + done)
            done += batch.num_rows

    def _batches(self, group: int, columns: dict[str, str], most: int) -> Iterator[Batch]:
        """Batches of a row group, which is read at once where it has no more than `most` bytes."""
        chunk, rows = self.footer.metadata.row_group(group).column(self.leaf), self.edges[group + 1] - self.edges[group]
        whole, file = chunk.total_uncompressed_size, self.plain
        count = rows if whole <= most else min(READ_ROWS, max(1, READ_BYTES * rows // whole))
        few = whole <= _DICTIONARY + 4 * rows
        if self.encoded is not None and chunk.has_dictionary_page and few:
            file, count = self.encoded, 1 << 16
        names = list(dict.fromkeys(columns.values()))
        return iter(file.iter_batches(count, row_groups=[group], columns=names, use_threads=False))

    def _documents(self, batch: Batch, columns: dict[str, str], at: int) -> Iterator[Batch]:
        arrays, parents = dict(zip(batch.schema.names, batch.columns, strict=True)), None
        if self.nested:
            files = arrays[NESTED]
            parents = pc.list_parent_indices(files)
            arrays = {name: column.take(parents) for name, column in arrays.items() if name != NESTED}
            arrays[NESTED] = pc.list_flatten(files)
        rows = {ours: self._column(arrays, self.chosen[ours]) for ours in columns}
        for piece in dataset_rows.pieces(rows["content"]):
            part = {ours: column[piece] for ours, column in rows.items()}
            yield dataset_rows.documents(part, self.max_bytes, self.losses, self._namer(parents, at, piece.start))

    def _column(self, arrays: dict[str, pa.Array], name: str) -> pa.Array:
        first, *rest = [name] if name in arrays else name.split(".")
        return pc.struct_field(arrays[first], rest) if rest else arrays[first]

    def _namer(self, parents: pa.Array | None, at: int, start: int) -> Any:
        """Names rows that have no path: by their number in the file, and in the list of a row of files."""

        def name(row: int) -> str:
            if parents is None:
                return f"{self.place}#{at + start + row}"
            parent = parents[start + row].as_py()
            item = start + row - int(np.searchsorted(np.asarray(parents), parent))
            return f"{self.place}#{at + parent}.{item}"

        return name


def _skip(batches: Iterator[Batch], rows: int) -> Iterator[Batch]:
    """The batches behind the first rows."""
    for batch in batches:
        if rows < batch.num_rows:
            yield batch.slice(rows)
        rows = max(0, rows - batch.num_rows)
