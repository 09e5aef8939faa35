"""From tokenized documents to samples that training reads: a global shuffle, then packing."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
from pydantic import Field, NonNegativeInt, model_validator

from engine import as_run, storage, token_shards, tokenizer
from engine.columns import one_array
from engine.op import Contract, Job, Workers, fail
from engine.schema import DOCUMENT, TEXT, TOKENS
from engine.token_shards import TRAIN, VALIDATION, TokenManifest, TokenShard
from ops.held_out import HeldOut, hold_out
from ops.packing import concatenated, packed
from ops.shuffle import BINS, Documents, Runs, buckets, draws, list_buffers, read_bucket, repeated

pc: Any = pyarrow.compute

BUCKET_TOKENS = 1 << 25
"""Tokens that are packed together, and stand in a shard, at most."""
_READS = ("id", "stream", "language", "repo_name", "path", "length_bytes", "tokens")

Share = Annotated[float, Field(gt=0, lt=1)]
Group = tuple[str, str]
"""A split and a stream: what is shuffled and packed by itself."""


class Pack(Job):
    """Shuffle the documents' tokens and pack them into samples of equal length, as training reads them.

    The shuffle is of all documents of a stream, by chance made of their ids; a document that `mix` repeats comes so
    many times. Streams are packed apart, so that a reader can weigh them.

    Documents too long for a sample are cut into full ones, where a character begins; documents and rests go, the
    longest first, each into the sample that it fills best. Nothing is truncated or left out. Each fragment leaves
    `fim_room` tokens free, and a sample as many once more, so that the reader can permute it for fill-in-the-middle.

    The folder `tokens/` has the shards (`train/*.arrow`, and `validation/*.arrow` if asked for), the tokenizer and
    `manifest.json`, which counts documents, tokens and bytes by stream and language.

    Example:
        - pack: {length: 8192, validation: 0.005}

    Reference:
        Ding et al. 2024, Fewer Truncations Improve Language Modeling, https://arxiv.org/abs/2404.10830
    """

    length: int = Field(default=8192, ge=16)
    """Tokens of a training sequence; a sample has one more, so that the last has a next one to learn."""
    fim_room: NonNegativeInt = 4
    """Tokens that a sample leaves free for each fragment, and once more, for fill-in-the-middle."""
    validation: Share | tuple[str, ...] | None = None
    """What is kept out of training: a share of the bytes, in whole repositories by hash, or these repositories."""
    reproduce: bool = False
    """Whether documents are plainly concatenated and cut every `length` tokens, as StarCoder's were."""
    seed: NonNegativeInt | None = None
    """What chance is made of beside a document's id; the recipe's seed unless given."""

    folder: ClassVar[str] = "tokens"
    contract: ClassVar[Contract] = Contract(
        reads={name: TOKENS.field("tokens").type if name == "tokens" else DOCUMENT.field(name).type for name in _READS}
    )

    @model_validator(mode="after")
    def _room_for_tokens(self) -> Pack:
        if self.fim_room * 4 > self.length:
            raise ValueError(f"`fim_room` leaves no room for tokens in samples of {self.length}")
        return self

    def run(self, run: str, out: str, pool: Workers) -> dict[str, Any]:
        files = [
            storage.join(run, f["place"]) for f in storage.read_json(storage.join(run, "manifest.json"))["documents"]
        ]
        made_by = self._tokenizer(run)
        if made_by.size > 1 << 16:
            raise fail(self, f"token shards hold ids of 16 bits, and the tokenizer has {made_by.size:,}")
        storage.remove(out)
        scratch = storage.join(out, "_shuffle")
        held = HeldOut()
        if self.validation is not None:
            try:
                held = hold_out(self.validation, files, storage.join(scratch, "repositories"), pool)
            except ValueError as error:
                raise fail(self, str(error)) from None
        scatter = functools.partial(_scatter, self.seed or 0, held, scratch)
        scattered = [made for _, made in sorted(pool.map(scatter, list(enumerate(files)), threads=True))]
        packing = _Packing(out, self.length, self.fim_room, self.reproduce, _inside(made_by))
        jobs = [job for group in _groups(scattered) for job in self._jobs(group, scattered)]
        found = [made for _, made in sorted(pool.map(packing.pack, jobs, threads=True))]
        storage.remove(scratch)
        made_by.write(storage.join(out, token_shards.TOKENIZER))
        manifest = TokenManifest(
            length=self.length,
            fim_room=0 if self.reproduce else self.fim_room,
            reproduce=self.reproduce,
            seed=self.seed or 0,
            tokenizer=made_by.digest,
            vocabulary=made_by.size,
            shards=tuple(shard for shard, _ in found if shard),
            counts=_counts(scattered, dict(zip((j.name for j in jobs), found, strict=True)), self.length),
        )
        if not manifest.of(TRAIN):
            raise fail(self, "the run kept no documents to train on")
        manifest.write(out)
        return _told(manifest) | ({"repositories_held_out": held.repositories} if self.validation else {})

    def _tokenizer(self, run: str) -> tokenizer.Tokenizer:
        """The tokenizer that the run's documents went through."""
        steps = as_run.parameters(run, "tokenize")
        folders = {step.get("tokenizer") for step in steps}
        if len(folders) != 1:
            told = "put `tokenize` before it" if not steps else "its streams went through different tokenizers"
            raise fail(self, f"documents need one column `tokens`: {told}")
        return tokenizer.read(folders.pop())

    def _jobs(self, group: Group, scattered: Sequence[_Scattered]) -> list[_Bucket]:
        """The buckets of a split and stream."""
        files = [made.files[group] for made in scattered if group in made.files]
        tokens = np.sum([made.tokens[group] for made in scattered if group in made.files], axis=0)
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(tokens)])
        ranges = buckets(tokens, BUCKET_TOKENS)
        jobs = []
        for n, (first, stop) in enumerate(ranges):
            name = f"{group[0]}/{group[1]}-{n:05}-of-{len(ranges):05}.arrow"
            reach = stop
            if self.reproduce:
                # The last sample goes on into what follows.
                wanted = before[stop] + self.length + 1
                reach = min(BINS, max(stop, int(np.searchsorted(before, wanted, side="left"))))
            job = _Bucket(
                name, tuple(files), first, stop, reach, int(before[first]), int(before[stop]), int(before[-1])
            )
            jobs.append(job)
        return jobs


@dataclass(frozen=True)
class _Scattered:
    """What came of a file of documents: its sorted runs, tokens by bin, and counts by stream and language."""

    files: dict[Group, str] = field(default_factory=dict)
    tokens: dict[Group, Any] = field(default_factory=dict)
    counts: dict[tuple[str, str, str], Any] = field(default_factory=dict)
    """For each split, stream and language the documents, how often they come, and their tokens and bytes so often."""


def _scatter(seed: int, held: HeldOut, scratch: str, job: tuple[int, str]) -> _Scattered:
    """Writes the documents of a file as sorted runs, one file a split and stream."""
    number, url = job
    made, runs = _Scattered(), {}
    with contextlib.ExitStack() as files, storage.open_read(url) as file:
        parquet = pq.ParquetFile(file, pre_buffer=False)
        columns = [name for name in (*_READS, "repeats") if name in parquet.schema_arrow.names]
        for row_group in range(parquet.num_row_groups):
            table = parquet.read_row_group(row_group, columns=columns, use_threads=False)
            for group, documents in _split(table, held, seed, made):
                if group not in runs:
                    made.files[group] = storage.join(scratch, *group, f"{number}.arrow")
                    runs[group] = Runs(made.files[group], files)
                runs[group].add(documents)
        for group, run in runs.items():
            run.close()
            made.tokens[group] = run.tokens
    return made


def _split(table: pa.Table, held: HeldOut, seed: int, made: _Scattered) -> Iterator[tuple[Group, Documents]]:
    """The documents of each split and stream, every one as often as it is to come; and counts them."""
    column = {name: one_array(table.column(name)) for name in table.schema.names}
    tokens, edges = list_buffers(column["tokens"])
    split = held.holds(column["repo_name"], column["path"])
    times = np.ones(table.num_rows, np.int64)
    if "repeats" in column:
        # What is validated on is looked at once.
        times = np.where(split, 1, column["repeats"].fill_null(1).to_numpy())
    streams, languages = (pc.dictionary_encode(pc.fill_null(column[c].cast(TEXT), "")) for c in ("stream", "language"))
    kinds = np.stack([split, streams.indices.to_numpy(), languages.indices.to_numpy()], axis=1).astype(np.int64)
    sizes = column["length_bytes"].fill_null(0).to_numpy()
    facts = np.stack([np.ones_like(times), times, times * np.diff(edges), times * sizes], axis=1)
    found, which = np.unique(kinds, axis=0, return_inverse=True)
    sums = np.zeros((len(found), facts.shape[1]), np.int64)
    np.add.at(sums, which.reshape(-1), facts)
    for (kept_out, stream, language), total in zip(found.tolist(), sums, strict=True):
        key = (_SPLITS[kept_out], streams.dictionary[stream].as_py(), languages.dictionary[language].as_py())
        made.counts[key] = made.counts.get(key, 0) + total
    copies = np.zeros(table.num_rows, np.int32)
    whole = Documents(draws(column["id"], copies, seed), column["id"].cast(TEXT), copies, tokens, edges)
    for kept_out, stream in np.unique(kinds[:, :2], axis=0).tolist():
        mine = np.flatnonzero((kinds[:, 0] == kept_out) & (kinds[:, 1] == stream))
        documents = whole if len(mine) == len(whole) else whole.take(mine)
        yield (_SPLITS[kept_out], streams.dictionary[stream].as_py()), repeated(documents, times[mine], seed)


@dataclass(frozen=True)
class _Bucket:
    """A range of bins to pack, and where its tokens lie in the stream of all."""

    name: str
    files: tuple[str, ...]
    first: int
    stop: int
    reach: int
    """The bin before which reading ends."""
    begin: int
    end: int
    total: int


@dataclass(frozen=True)
class _Packing:
    """Packs buckets into shards."""

    out: str
    length: int
    room: int
    reproduce: bool
    inside: Any
    """For each token whether it begins within a character."""

    def pack(self, bucket: _Bucket) -> tuple[TokenShard | None, int]:
        """The shard of a bucket, none where it has no documents, and how many documents were cut."""
        documents = read_bucket(bucket.files, bucket.first, bucket.reach)
        if documents is None:
            return None, 0
        if self.reproduce:
            last = bucket.begin + len(documents.tokens) == bucket.total
            own = bucket.end - bucket.begin
            samples = concatenated(documents, bucket.begin, own, self.length, last)
            begins, ends = bucket.begin + documents.edges[:-1], bucket.begin + documents.edges[1:]
            cut = (ends > begins // self.length * self.length + self.length + 1) & (begins < bucket.end)
        else:
            samples = packed(documents, self.length, self.room, self.inside)
            cut = np.diff(documents.edges) > self.length + 1 - 2 * self.room
        count = int(cut.sum())
        # A bucket may end before the next sample begins.
        return (
            token_shards.write_shard(self.out, bucket.name, samples) if len(samples.fragment_edges) > 1 else None,
            count,
        )


def _inside(made_by: tokenizer.Tokenizer) -> Any:
    """For each token whether it begins within a character: with a byte that continues one in UTF-8."""
    edges, data = made_by.bytes_of_tokens()
    some = np.diff(edges) > 0
    out = np.zeros(len(some), bool)
    out[some] = (np.asarray(data)[edges[:-1][some]] & 0xC0) == 0x80
    return out


def _groups(scattered: Sequence[_Scattered]) -> list[Group]:
    return sorted({group for made in scattered for group in made.files})


_SPLITS = (TRAIN, VALIDATION)
_FACTS = ("documents", "documents_with_repeats", "tokens", "bytes")


def _counts(
    scattered: Sequence[_Scattered], found: Mapping[str, tuple[TokenShard | None, int]], length: int
) -> dict[str, Any]:
    """For each split what came in, by stream and by language, and what packing made of it, shard by shard."""
    totals: dict[tuple[str, str, str], Any] = {}
    for made in scattered:
        for key, facts in made.counts.items():
            totals[key] = totals.get(key, 0) + facts
    counts: dict[str, Any] = {}
    for split in _SPLITS:
        mine = {key[1:]: facts for key, facts in totals.items() if key[0] == split}
        if not mine:
            continue
        packed_here = [made for name, made in found.items() if name.startswith(f"{split}/")]
        shards = [shard for shard, _ in packed_here if shard]
        samples, fragments, held = (sum(getattr(s, n) for s in shards) for n in ("samples", "fragments", "tokens"))
        counts[split] = _facts(np.sum(list(mine.values()), axis=0)) | {
            "samples": samples,
            "fragments": fragments,
            "documents_cut": sum(cut for _, cut in packed_here),
            "padding": round(1 - held / (samples * (length + 1)), 6),
        }
        for at, kind in enumerate(("streams", "languages")):
            sums: dict[str, Any] = {}
            for key, facts in sorted(mine.items()):
                sums[key[at]] = sums.get(key[at], 0) + facts
            counts[split][kind] = {k: _facts(v) for k, v in sums.items()}
    return counts


def _facts(sums: Any) -> dict[str, Any]:
    return dict(zip(_FACTS, map(int, sums), strict=True))


def _told(manifest: TokenManifest) -> dict[str, Any]:
    """What the report says: totals by split, and by stream."""
    splits = {split: {k: v for k, v in c.items() if not isinstance(v, dict)} for split, c in manifest.counts.items()}
    streams = {f"{split} {name}": facts for split, c in manifest.counts.items() for name, facts in c["streams"].items()}
    told = {"shards": len(manifest.shards), "length": manifest.length, "fingerprint": manifest.fingerprint}
    return told | {"splits": splits, "streams": streams}
