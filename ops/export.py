"""The corpus as others load it: laid out as The Stack is, with a card made of the report."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
from pydantic import PositiveInt

from engine import storage
from engine.columns import one_array
from engine.op import Job, Workers
from engine.schema import DOCUMENT, MARKUP, TEXT
from ops.data_card import card

pc: Any = pyarrow.compute

ROW_GROUP_BYTES = 32 << 20
"""Text of a row group of what is exported."""
NO_LANGUAGE = "no-language"
_MARKS = "[" + "".join(MARKUP.values()) + "]"


class Export(Job):
    """Lay the documents out as a data set: `data/<language>/*.parquet` and a card.

    The stream `code`, or the only one, goes by language, any other into a folder of its own name. All files have the
    same columns: those of every document, and of the others those that hold anything. Special tokens in texts are
    spelled out. `datasets.load_dataset(folder)` reads all of it, with `data_dir="data/python"` one language.

    The card (`README.md`) says what is in the data set, what each filter removed, under which licences the files are,
    how personal data and opting out were handled, and how to look oneself up.

    Example:
        - export: {title: My corpus, contact: "https://example.org/opt-out"}

    Reference:
        Kocetkov et al. 2022, The Stack, https://arxiv.org/abs/2211.15533
    """

    title: str = ""
    """What the data set is called; the run's name unless given."""
    contact: str = ""
    """Where people ask to be left out: an address that the card gives."""
    file_bytes: PositiveInt = 256_000_000
    """Bytes of text that a file is to have."""

    def run(self, run: str, out: str, pool: Workers) -> dict[str, Any]:
        manifest = storage.read_json(storage.join(run, "manifest.json"))
        report = storage.read_json(storage.join(run, "report.json"))
        alone = next(iter(report["streams"])) if len(report["streams"]) == 1 else "code"
        storage.remove(out)
        scratch = storage.join(out, "_sorted")
        files = [storage.join(run, f["place"]) for f in manifest["documents"]]
        parts = [(url, storage.join(scratch, f"{n}.parquet")) for n, url in enumerate(files)]
        sort = functools.partial(_sort, alone)
        found: list[Any] = [None] * len(parts)
        for n, answer in pool.map(sort, parts, threads=True):
            found[n] = answer
        folders: dict[str, list[_Piece]] = {}
        extra: dict[str, pa.DataType] = {}
        for groups, columns in found:
            extra = columns | extra
            for folder, piece in groups:
                folders.setdefault(folder, []).append(piece)
        schema = pa.schema([*DOCUMENT, *(pa.field(name, kind) for name, kind in extra.items())])
        written = [
            (storage.join(out, "data", folder, f"train-{n:05}-of-{len(shares):05}.parquet"), share, schema)
            for folder, pieces in sorted(folders.items())
            for shares in [list(_shares(pieces, self.file_bytes))]
            for n, share in enumerate(shares)
        ]
        licenses: dict[str, int] = {}
        redacted = 0
        for _, (counts, kinds) in pool.map(_write, written, threads=True):
            redacted += kinds
            for name, count in counts.items():
                licenses[name] = licenses.get(name, 0) + count
        storage.remove(scratch)
        composition = {f: (sum(p.rows for p in ps), sum(p.bytes for p in ps)) for f, ps in sorted(folders.items())}
        text = card(report, composition, licenses, redacted, self.title, self.contact)
        storage.write_bytes(storage.join(out, "README.md"), text.encode())
        rows, volume = (sum(c[k] for c in composition.values()) for k in (0, 1))
        return {"documents": rows, "bytes": volume, "files": len(written), "folders": len(composition)}


@dataclass(frozen=True)
class _Piece:
    """A row group of documents of one folder, in a file sorted by folder."""

    url: str
    group: int
    rows: int
    bytes: int


def _folder(alone: str, table: pa.Table) -> pa.Array:
    """For each document the folder that it goes into."""
    language = pc.fill_null(one_array(table.column("language")).cast(TEXT), NO_LANGUAGE)
    stream = one_array(table.column("stream")).cast(TEXT)
    return pc.if_else(pc.equal(stream, alone), language, stream)


def _sort(alone: str, job: tuple[str, str]) -> tuple[list[tuple[str, _Piece]], dict[str, pa.DataType]]:
    """A file of documents rewritten with row groups of one folder each.

    Answers the folders with their row groups, and which columns hold anything beyond those of every document.
    """
    url, out = job
    groups: list[tuple[str, _Piece]] = []
    extra: dict[str, pa.DataType] = {}
    with storage.open_read(url) as read, storage.open_whole(out) as file:
        parquet = pq.ParquetFile(read, pre_buffer=False)
        with pq.ParquetWriter(file, parquet.schema_arrow, compression="zstd", compression_level=1) as writer:
            for group in range(parquet.num_row_groups):
                table = parquet.read_row_group(group, use_threads=False)
                coded = pc.dictionary_encode(_folder(alone, table))
                codes = coded.indices.to_numpy()
                for field, column in zip(table.schema, table.columns, strict=True):
                    if field.name not in DOCUMENT.names and column.null_count < table.num_rows:
                        extra[field.name] = field.type
                order: Any = pa.array(np.argsort(codes, kind="stable"))
                table = table.take(order)
                ends = np.cumsum(np.bincount(codes, minlength=len(coded.dictionary)))
                for n, name in enumerate(coded.dictionary.to_pylist()):
                    begin = int(ends[n - 1]) if n else 0
                    mine = table.slice(begin, int(ends[n]) - begin)
                    size = int(pc.sum(mine.column("length_bytes")).as_py() or 0)
                    groups.append((name, _Piece(out, len(groups), mine.num_rows, size)))
                    writer.write_table(mine, row_group_size=1 << 30)
    return groups, extra


def _shares(pieces: list[_Piece], most: int) -> Iterator[list[_Piece]]:
    """The pieces in runs that each become a file."""
    share: list[_Piece] = []
    for piece in pieces:
        if share and sum(p.bytes for p in share) + piece.bytes > most:
            yield share
            share = []
        share.append(piece)
    if share:
        yield share


def _write(job: tuple[str, list[_Piece], pa.Schema]) -> tuple[dict[str, int], int]:
    """How many documents of a file that was written have which licence, and in how many something was redacted."""
    url, pieces, schema = job
    licenses: dict[str, int] = {}
    redacted = held = 0
    waiting: list[pa.Table] = []
    with storage.open_whole(url) as file:
        writer = None
        for n, piece in enumerate(pieces):
            with storage.open_read(piece.url) as read:
                table = pq.ParquetFile(read, pre_buffer=False).read_row_group(piece.group, use_threads=False)
            for row in pc.value_counts(table.column("license")).to_pylist():
                licenses[row["values"] or ""] = licenses.get(row["values"] or "", 0) + row["counts"]
            if "n_redacted" in table.schema.names:
                redacted += int(pc.sum(pc.greater(table.column("n_redacted"), 0)).as_py() or 0)
            # All files have the same columns, or else they would not load as one data set.
            columns: dict[str, Any] = {n: table.column(n) if n in table.schema.names else None for n in schema.names}
            columns["content"] = spelled_out(table.column("content"))
            nothing = {f.name: pa.nulls(table.num_rows, f.type) for f in schema if columns[f.name] is None}
            waiting.append(pa.Table.from_pydict({**columns, **nothing}, schema=schema))
            held += piece.bytes
            if held >= ROW_GROUP_BYTES or n == len(pieces) - 1:
                whole = pa.concat_tables(waiting)
                writer = writer or pq.ParquetWriter(file, whole.schema, compression="zstd")
                writer.write_table(whole, row_group_size=1 << 30)
                waiting, held = [], 0
        if writer:
            writer.close()
    return licenses, redacted


def spelled_out(content: pa.ChunkedArray) -> Any:
    """Texts with every markup character spelled as the special token that it stands for."""
    if not pc.any(pc.match_substring_regex(content, _MARKS)).as_py():
        return content
    for token, mark in MARKUP.items():
        content = pc.replace_substring(content, mark, token)
    return content
