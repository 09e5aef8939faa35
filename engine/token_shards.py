"""Packed samples on disk: the format that `pack` writes and the reader of training maps into memory.

A shard is one Arrow IPC file of one record batch of `engine.schema.TOKENS`, uncompressed: the values of the column
`tokens` are the token stream, its offsets the samples, and beside them lie the documents that each sample is made of.
Opened by memory map nothing is read before it is asked for. The manifest lists the shards and counts what is in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from engine import storage
from engine.columns import text_buffers, text_column
from engine.errors import Refused
from engine.schema import TOKENS

FORMAT = 1
"""Raised when the files' form changes."""
MANIFEST = "manifest.json"
TOKENIZER = "tokenizer"
"""The folder beside the shards that holds the tokenizer of their ids."""
TRAIN, VALIDATION = "train", "validation"
_DIGEST = b"digest"

Column = Any
"""A numpy array over a buffer of Arrow's."""


@dataclass(frozen=True)
class TokenShard:
    """A file of packed samples of one split and stream; `digest` is of what is in it, `bytes` of the file."""

    name: str
    split: str
    stream: str
    samples: int
    fragments: int
    tokens: int
    most_fragments: int
    bytes: int
    digest: str


@dataclass(frozen=True)
class Samples:
    """The samples of a shard as plain arrays over its buffers.

    Sample `n` has the tokens `tokens[token_edges[n]:token_edges[n + 1]]` and the fragments `fragment_edges[n]` to
    `fragment_edges[n + 1]`. Fragment `k` ends at place `ends[k]` of its sample, has the document id
    `ids[id_edges[k]:id_edges[k + 1]]`, and `starts[k]` tokens of its document come before it. A document that `mix`
    repeats has `copies` 0, 1, ...
    """

    tokens: Column
    token_edges: Column
    fragment_edges: Column
    ends: Column
    ids: Column
    id_edges: Column
    starts: Column
    copies: Column

    def table(self) -> pa.Table:
        """The samples as Arrow, over the same buffers."""
        lists = pa.LargeListArray.from_arrays
        ids: Any = text_column(self.ids, self.id_edges)
        columns = [lists(self.token_edges, pa.array(self.tokens))]
        columns += [lists(self.fragment_edges, pa.array(c)) for c in (ids, self.ends, self.starts, self.copies)]
        return pa.Table.from_arrays(columns, schema=TOKENS)

    def digest(self) -> str:
        """A hash of all that the samples hold."""
        state = xxhash.xxh3_128()
        for part in (
            *(self.tokens, self.token_edges, self.fragment_edges, self.ends),
            *(self.ids, self.id_edges, self.starts, self.copies),
        ):
            state.update(len(part).to_bytes(8, "little"))
            state.update(np.ascontiguousarray(part).view(np.uint8).data)
        return state.hexdigest()


@dataclass(frozen=True)
class TokenManifest:
    """What a folder of token shards holds."""

    length: int
    """Tokens of a training sequence; a sample has at most one more, so that each has a next one."""
    fim_room: int
    """Tokens for each fragment that samples leave free."""
    reproduce: bool
    """Whether documents were plainly concatenated, as Megatron does, each sample beginning with the last one's end."""
    seed: int
    tokenizer: str
    """The digest of the tokenizer."""
    vocabulary: int
    shards: tuple[TokenShard, ...]
    counts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """For each split documents, tokens and bytes by stream and by language, and what packing came to."""

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all tokens, their order and their documents."""
        mark = [FORMAT, self.length, self.reproduce, self.tokenizer, [(s.name, s.digest) for s in self.shards]]
        return xxhash.xxh3_128_hexdigest(repr(mark).encode())

    def of(self, split: str) -> tuple[TokenShard, ...]:
        """The shards of a split."""
        return tuple(shard for shard in self.shards if shard.split == split)

    def write(self, folder: str) -> None:
        """Writes the manifest, which says that the folder is whole."""
        told = {"format": FORMAT, "fingerprint": self.fingerprint, **asdict(self)}
        storage.write_json(storage.join(folder, MANIFEST), told)


def read_manifest(folder: str) -> TokenManifest:
    """The manifest of a folder of token shards; Refused where there is none, or one of another form."""
    try:
        told = storage.read_json(storage.join(folder, MANIFEST))
        form = told.pop("format")
    except (FileNotFoundError, KeyError, ValueError):
        raise Refused(f"{folder} holds no token shards; a recipe that ends in `pack` makes them") from None
    if form != FORMAT:
        raise Refused(f"the token shards in {folder} have form {form}, not {FORMAT}; run the recipe's `pack` again")
    told.pop("fingerprint")
    return TokenManifest(**told | {"shards": tuple(TokenShard(**s) for s in told["shards"])})


def write_shard(folder: str, name: str, samples: Samples) -> TokenShard:
    """Writes the shard `SPLIT/STREAM-….arrow` whole, and tells what is in it."""
    split, stem = name.split("/")
    digest, table = samples.digest(), samples.table()
    url = storage.join(folder, name)
    schema = TOKENS.with_metadata({_DIGEST: digest.encode()})
    with storage.open_whole(url) as file:
        out: Any = file
        with pa.ipc.new_file(out, schema) as writer:
            writer.write_batch(table.combine_chunks().to_batches()[0].replace_schema_metadata(schema.metadata))
    return TokenShard(
        name=name,
        split=split,
        stream=stem.rsplit("-", 3)[0],
        samples=table.num_rows,
        fragments=len(samples.ends),
        tokens=len(samples.tokens),
        most_fragments=int(np.diff(samples.fragment_edges).max(initial=0)),
        bytes=storage.file_info(url).bytes,
        digest=digest,
    )


def open_shard(folder: str, shard: TokenShard) -> Samples:
    """The samples of a shard, mapped into memory; Refused where the file is not the one that the manifest means."""
    url = storage.join(folder, shard.name)
    if not storage.is_local(url):
        raise Refused(f"{url}: token shards are mapped into memory; copy {folder} to a disk of this machine")
    try:
        with pa.memory_map(str(storage.local_path(url))) as file:
            reader = pa.ipc.open_file(file)
            found = (reader.schema.metadata or {}).get(_DIGEST, b"").decode()
            batch = reader.get_batch(0)
    except (OSError, pa.ArrowInvalid) as error:
        raise Refused(f"{url} cannot be read as a token shard: {error}") from None
    if found != shard.digest:
        raise Refused(f"{url} is not the shard that {MANIFEST} beside it means; run the recipe's `pack` again")
    columns: list[Any] = [batch.column(name) for name in TOKENS.names]
    tokens, ids, *others = columns
    id_bytes, id_edges = text_buffers(ids.values)
    return Samples(
        tokens=plain(tokens.values),
        token_edges=plain(tokens.offsets),
        fragment_edges=plain(ids.offsets),
        ends=plain(others[0].values),
        ids=id_bytes,
        id_edges=id_edges,
        starts=plain(others[1].values),
        copies=plain(others[2].values),
    )


def plain(values: Any) -> Column:
    """A column of numbers without nulls as numpy, over the same buffer; pandas is not loaded for it."""
    kind, data = np.dtype(str(values.type)), values.buffers()[1]
    return np.frombuffer(data, kind)[values.offset : values.offset + len(values)] if len(values) else np.zeros(0, kind)
