"""Documents from JSON lines, plain or compressed."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import json
import lzma
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, PositiveInt, field_validator

from engine import storage
from engine.op import Batch, Losses, Shard, Source
from ops import dataset_rows, input_files, stack_columns
from ops.input_files import InputFile
from ops.json_lines import ERRORS, OTHER, STRING, Lines, Names, read_lines
from ops.line_blocks import Block, blocks

PACKED: dict[str, Callable[[Any], Any]] = {
    ".gz": lambda file: gzip.GzipFile(fileobj=file),
    # Arrow's reader tells of a file that was cut off; the others hand out what there is and say nothing.
    ".zst": lambda file: pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd"),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}
"""How files with these endings are unpacked."""
_PLAIN = (".jsonl", ".ndjson", ".jsonlines")
ENDINGS = (*_PLAIN, *(plain + packed for plain in (*_PLAIN, ".json") for packed in PACKED))
"""Endings of the files that are read in a folder; `.json` alone may be a document of many lines."""

SHARD_BYTES = 256 << 20
"""Bytes of a plain file that make a shard."""
LONGEST_LINE = 64 << 20
"""Bytes that a line may have, unless `max_bytes` asks for more; longer ones are dropped unread."""
_YIELD_BYTES = 2 << 20


class Jsonl(Source):
    """Reads documents from JSON lines: a file, a folder with all below it, a glob, or a list of these.

    Files are plain or end in `.gz`, `.zst`, `.bz2` or `.xz`; paths are local or any URL that fsspec opens. Each line is
    an object. The names of The Stack v1 and v2, of StarCoderData, of this engine's own documents and `text` are known;
    `columns` names others. Rows without text are dropped (`no_content`, `empty`), as are those with too much
    (`too_large`) and with what is no text (`binary`, `undecodable`). A line that is no JSON goes to quarantine by its
    number, or by its first byte in a large file that is read in parts; blank lines are passed over. A packed file that
    is damaged gives the lines before the damage; `.zst` with a window above 128 MB is not unpacked.

    Example:
        - jsonl: {path: "corpus/*.jsonl.zst", columns: {content: text, path: meta.path}}
    """

    rereads: ClassVar[bool] = True
    threads: ClassVar[bool] = True
    reasons: ClassVar[tuple[str, ...]] = dataset_rows.REASONS

    path: str | list[str]
    """File, folder, glob, or a list of them; local or a URL such as `s3://bucket/folder`."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Names of values in the lines, by ours (`{content: body, path: meta.file}`); a dot leads into an object."""
    max_bytes: PositiveInt = 1 << 20
    """Bytes that a text may have; longer ones are dropped."""

    @field_validator("columns")
    @classmethod
    def _known(cls, columns: dict[str, str]) -> dict[str, str]:
        stack_columns.check_names(columns)
        return columns

    def shards(self) -> Iterator[Shard]:
        """A shard for each file; a large plain one is cut where lines begin."""
        return self.cut(input_files.find(self.path, ENDINGS))

    def cut(self, files: Iterable[InputFile]) -> Iterator[Shard]:
        """The shards of these files, which are not opened."""
        for file in files:
            step = SHARD_BYTES if _packing(file.url) is None else max(file.bytes, 1)
            for part, begin in enumerate(range(0, max(file.bytes, 1), step)):
                end = min(begin + step, file.bytes)
                cut = file.bytes > step
                yield file.shard(part, end - begin, file.version, begin=begin, end=end if cut else None, cut=cut)

    def read(self, shard: Shard, losses: Losses, columns: frozenset[str] | None = None) -> Iterator[Batch]:
        """Batches of the shard's documents, of their text and the columns asked for."""
        try:
            same = storage.file_info(shard.at["url"]).version == shard.version
        except FileNotFoundError:
            same = False
        if not same:
            raise input_files.changed(shard)
        yield from dataset_rows.joined(_Reader(self, shard, losses, columns).batches(), _YIELD_BYTES)


def _packing(url: str) -> str | None:
    return next((ending for ending in PACKED if url.lower().endswith(ending)), None)


@contextlib.contextmanager
def opened(url: str) -> Iterator[Any]:
    """The file's bytes, unpacked."""
    packing = _packing(url)
    with storage.open_read(url) as file:
        if packing is None:
            yield file
        else:
            with PACKED[packing](file) as unpacked:
                yield unpacked


# --- documents --------------------------------------------------------------------------------------------------


class _Reader:
    """Reads the lines of a shard as documents."""

    def __init__(self, op: Jsonl, shard: Shard, losses: Losses, columns: frozenset[str] | None) -> None:
        self.op, self.shard, self.losses = op, shard, losses
        known = stack_columns.candidates(op.columns)
        self.theirs = {o: n for o, n in known.items() if columns is None or o in columns or o == "content"}
        self.names = Names(list(dict.fromkeys(name for names in self.theirs.values() for name in names)))

    def batches(self) -> Iterator[Batch]:
        """The documents, block by block; what cannot be read is entered in the losses."""
        line, first = 1, self.shard.at["begin"] == 0
        for block in self._blocks():
            if block.left_out:
                self.losses.drop("too_large", self._name(line, block.byte), None, float(block.left_out))
                line += 1
                continue
            lines = read_lines(block.data, block.stop, self.names)
            rows = self._good(lines, line, block.byte)
            if first and len(rows):
                self._check_content(lines, rows)
                first = False
            yield from self._documents(lines, rows, line, block.byte)
            line += len(lines.starts)

    def _blocks(self) -> Iterator[Block]:
        at, byte = self.shard.at, self.shard.at["begin"]
        longest = max(LONGEST_LINE, 6 * self.op.max_bytes + (1 << 20))
        try:
            with opened(at["url"]) as file:
                for block in blocks(file, at["begin"], at["end"], longest):
                    yield block
                    byte = block.byte + block.stop
        except Exception as error:
            if not input_files.is_damage(error):
                raise
            self.losses.quarantine(at["place"], f"behind its first {byte} bytes: {error}" if byte else str(error))

    def _name(self, line: int, byte: int) -> str:
        """What a line is called: its number, or where it begins if nobody counted the lines before it."""
        place = self.shard.at["place"]
        return f"{place}@{byte}" if self.shard.at["cut"] else f"{place}:{line}"

    def _good(self, lines: Lines, line: int, byte: int) -> Any:
        """The lines that are objects and have a text where they have anything; the others go to quarantine."""
        kind = self._kind(lines, "content")
        textless = (lines.errors == 0) & (kind == OTHER)
        for n in np.flatnonzero((lines.errors > 0) | textless):
            error = f"the line {ERRORS[lines.errors[n]]} (at its byte {lines.columns[n]})"
            if textless[n]:
                error = "the line's text is a number, a truth value, a list or an object"
            self.losses.quarantine(self._name(line + int(n), byte + int(lines.starts[n])), error)
        return np.flatnonzero((lines.errors == 0) & (kind != OTHER))

    def _kind(self, lines: Lines, ours: str) -> Any:
        """The kind of value that stands for one of our columns: that of the first name with one that is not null."""
        kinds = [lines.kind(name) for name in self.theirs[ours]]
        return np.select([k >= STRING for k in kinds], kinds, np.max(kinds, axis=0))

    def _check_content(self, lines: Lines, rows: Any) -> None:
        if self._kind(lines, "content")[rows].any():
            return
        begin = lines.starts[rows[0]]
        line = bytes(lines.data[begin : begin + lines.columns[rows[0]] - 1])
        there = list(_keys(json.loads(line.decode("utf-8", "replace"))))
        raise stack_columns.missing("content", self.op.columns, there, self.shard.at["place"])

    def _column(self, lines: Lines, rows: Any, ours: str) -> pa.Array:
        there = [name for name in self.theirs[ours] if (lines.kind(name)[rows] >= STRING).any()]
        if not there:
            return pa.nulls(len(rows), pa.large_binary())
        texts = [lines.text(name, rows) for name in there]
        column: Any = texts[0] if len(texts) == 1 else pc.coalesce(*texts)
        return _joined_lists(column) if ours == "license" else column

    def _documents(self, lines: Lines, rows: Any, line: int, byte: int) -> Iterator[Batch]:
        columns = {ours: self._column(lines, rows, ours) for ours in self.theirs}

        def name(row: int) -> str:
            return self._name(line + int(rows[row]), byte + int(lines.starts[rows[row]]))

        for piece in dataset_rows.pieces(columns["content"]):
            part = {ours: column[piece] for ours, column in columns.items()}
            yield dataset_rows.documents(part, self.op.max_bytes, self.losses, _behind(name, piece.start))


def _behind(name: Callable[[int], str], start: int) -> Callable[[int], str]:
    return lambda row: name(start + row)


def _keys(value: dict[str, Any]) -> Iterator[str]:
    """The names in an object, with dots for those in objects in it."""
    for key, inner in value.items():
        yield key
        if isinstance(inner, dict):
            yield from (f"{key}.{name}" for name in _keys(inner))


def _joined_lists(column: pa.Array) -> pa.Array:
    """Licences that are spelled as a JSON list, one a line."""

    def lines(value: str) -> str:
        if value.startswith("["):
            with contextlib.suppress(ValueError):
                return "\n".join(name for name in json.loads(value) if isinstance(name, str))
        return value

    return stack_columns.by_value(stack_columns.text(column), lines)
