"""Near-deduplication: MinHash finds documents that may be alike, exact Jaccard says which are, and ranks who stays.

The work goes in rounds, each over pieces that fit into memory, and hands on files:
records of bands that meet (by range of band hash), components of the documents that hang together through them, parts
of whole components; then for each part the documents that must be verified, their shingles (by shard, reading the text
once more), and the verdicts.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, PositiveInt, model_validator

from engine import storage
from engine.columns import one_array
from engine.digest import digests
from engine.errors import OpError
from engine.op import Exchange, Global, Meeting, Sketches, Texts
from engine.schema import DUPLICATE_DETAILS, TEXT, VERDICT, Flags, Integers, Strings
from ops.buckets import components, meetings, sort_records, stars
from ops.clusters import LIMIT, collapse, decide, gather_sets, take_sets, to_verify
from ops.minhash import THE_STACK, MinHash, band_hashes, best_bands, signatures
from ops.rank import RANK, RANK_COLUMNS, Preference, order, rank_columns
from ops.shingles import shingle_sets

PART_DOCUMENTS = 40_000
"""Documents decided together at most: with signatures and shingles some 10 KB each, so a part stays under half a
gigabyte."""
_FEW_DOCUMENTS, _FEW_PARTS = 2_000, 8
"""Fewer documents are cut into up to so many parts of no fewer than this, so that all workers have some."""
_PLACE = np.uint64(32)
_SMALL = 1_000
"""Languages of fewer documents raise no alarm (decision 22)."""


class NearSketch(TypedDict):
    """The bands of a document, its signature, and what ranks it."""

    key: Annotated[pa.Array, pa.large_list(pa.uint64())]
    signature: Annotated[pa.Array, pa.large_binary()]
    group: Strings
    permissive: Flags
    stars: Integers
    length: Integers
    path: Strings


class NearDedup(Global):
    """Keep one of each group of near-duplicates, and drop a document only for a kept one that it is verified to be
    like.

    Documents whose sets of word 5-grams are alike meet when all hashes of one of their bands agree. They are walked in
    rank order: each is compared with the kept documents that it met, and dropped if the exact Jaccard similarity to
    one of them reaches the threshold. So every drop has a witness that stays, there are no chains, and the answer
    depends neither on the order nor on the shards of the input. Documents without a word never meet.

    Example:
        - near_dedup: {threshold: 0.7, by: language}

    Reference:
        Broder 1997, On the resemblance and containment of documents; Li et al. 2023, https://arxiv.org/abs/2305.06161
    """

    threshold: float = Field(0.7, gt=0, le=1)
    """Jaccard similarity from which a document is a near-duplicate."""
    by: Literal["language", "all"] = "language"
    """Compares documents of one language only, or all."""
    n: PositiveInt = 5
    """Words in a shingle."""
    permutations: PositiveInt = 256
    """Numbers in a signature."""
    bands: PositiveInt = 42
    """Bands that a signature is cut into: more find more."""
    rows: PositiveInt = 6
    """Numbers that must agree within a band: more find less."""
    seed: int = Field(1, ge=0, lt=2**32)
    """Seed of the permutations."""
    verify: bool = True
    """Whether each drop is verified; otherwise whole components are dropped but for one document."""
    rank: tuple[Preference, ...] = RANK
    """What ranks documents, most important first; the id settles what is left."""
    prefer: str | None = None
    """A finished run: documents that it kept rank before all others, so that additions do not displace them."""
    alarm: float = Field(0.95, gt=0, le=1)
    """Share of a stream, or of a language of 1,000 documents or more, whose loss stops the run; 1 never does."""
    reproduce: bool = False
    """Does it as The Stack v1.2 was done: its words, SHA-1, 25 bands of 10, no verification, the first row survives."""

    reasons: ClassVar[tuple[str, ...]] = ("near_duplicate",)

    @model_validator(mode="after")
    def _bands_fit(self) -> NearDedup:
        if self.bands * self.rows > self.permutations:
            raise ValueError(
                f"{self.bands} bands of {self.rows} rows need {self.bands * self.rows} permutations; "
                f"there are {self.permutations}"
            )
        return self

    @cached_property
    def minhash(self) -> MinHash:
        """How documents become signatures."""
        return THE_STACK if self.reproduce else MinHash(self.permutations, self.n, self.seed)

    @cached_property
    def cut(self) -> tuple[int, int]:
        """Bands and rows of a signature."""
        return best_bands(self.threshold, self.minhash.permutations) if self.reproduce else (self.bands, self.rows)

    def sketch(
        self,
        content: Strings,
        language: Strings,
        license: Strings,
        star_events_count: Integers,
        length_bytes: Integers,
        path: Strings,
    ) -> NearSketch:
        signed, shingles = signatures(content, self.minhash)
        group = language.fill_null("") if self.by == "language" else pa.repeat(pa.scalar("", TEXT), len(content))
        bands = band_hashes(signed, *self.cut, digests(group)[:, 0].copy())
        # The Stack let documents without shingles meet, and so lost all of them but one (spec §6.4).
        met = np.full(len(content), True) if self.reproduce else shingles > 0
        ends = np.r_[0, np.cumsum(np.where(met, bands.shape[1], 0))]
        width = signed.shape[1] * 4
        signature = pa.LargeBinaryArray.from_buffers(
            pa.large_binary(),
            len(content),
            [None, pa.py_buffer(np.arange(len(content) + 1, dtype=np.int64) * width), pa.py_buffer(signed.data)],
        )
        rank = rank_columns(license, star_events_count, length_bytes, path)
        key = pa.LargeListArray.from_arrays(pa.array(ends, pa.int64()), pa.array(bands[met].reshape(-1)))
        return {"key": key, "signature": signature, "group": group, **rank}

    def verdicts(self, exchange: Exchange) -> pa.Table:
        files = exchange.match(_Records(exchange.scratch))
        edges = [_load(f"{name}.edges") for name in files]
        left = np.concatenate([np.zeros(0, np.uint64), *(e[0] for e in edges)])
        documents, roots = components(left, np.concatenate([np.zeros(0, np.uint64), *(e[1] for e in edges)]))
        del edges, left
        if not len(documents):
            return VERDICT.empty_table()
        parts, count = _parts(roots)
        _save(storage.join(exchange.scratch, "documents"), documents, parts, *_within(parts, count))
        exchange.map(_Split(exchange.scratch, count), files)
        numbers = list(range(count))
        sets: Sequence[str] = ()
        if self.verify and not self.reproduce:
            wanted = exchange.map(_Wanted(self, exchange.sketches, exchange.scratch, tuple(files)), numbers)
            sets = self._shingles(exchange, wanted)
        decided = exchange.map(
            _Decide(self, exchange.sketches, exchange.scratch, tuple(files), tuple(sets), self._preferred()), numbers
        )
        table = pa.concat_tables(decided)
        self._check_alarm(exchange, table)
        return table

    def _shingles(self, exchange: Exchange, wanted: list[Any]) -> list[str]:
        """The files of the shingles of documents to be verified, one a shard."""
        numbers = np.sort(np.concatenate(wanted))
        shard, place = (numbers >> _PLACE).astype(np.int64), (numbers & np.uint64(0xFFFFFFFF)).astype(np.int64)
        asked = []
        for n in np.unique(shard):
            rows = exchange.sketches.read(int(n), ["row"]).column("row").to_numpy()
            asked.append((int(n), rows[place[shard == n]]))
        places = {int(n): place[shard == n] for n in np.unique(shard)}
        return exchange.texts(_Shingles(self.n, exchange.scratch, places), asked)

    def _preferred(self) -> str | None:
        if self.prefer is None:
            return None
        if not storage.exists(storage.join(self.prefer, "manifest.json")):
            raise OpError(f"near_dedup: prefer: {self.prefer} holds no finished run")
        return self.prefer

    def _check_alarm(self, exchange: Exchange, lost: pa.Table) -> None:
        if self.alarm >= 1:
            return
        came: dict[str, int] = {}
        gone: dict[str, int] = {}
        shard, row = lost.column("shard").to_numpy(), lost.column("row").to_numpy()
        for n in range(len(exchange.sketches.shards)):
            table = exchange.sketches.read(n, ["group", "row"])
            dropped = np.isin(table.column("row").to_numpy(), row[shard == n])
            group = one_array(table.column("group"))
            for counts, some in ((came, group), (gone, group.filter(pa.array(dropped)))):
                found: Any = pc.value_counts(some)
                for item in found.to_pylist():
                    counts[item["values"]] = counts.get(item["values"], 0) + item["counts"]
        groups = {g: n for g, n in came.items() if n >= _SMALL}
        told = [g or "the stream" for g, n in groups.items() if gone.get(g, 0) > self.alarm * n]
        total = sum(came.values())
        if total >= _SMALL and sum(gone.values()) > self.alarm * total and "the stream" not in told:
            told.append("the stream")
        if told:
            raise OpError(
                f"near_dedup would drop more than {self.alarm:.0%} of {', '.join(told)}; look at the input, and if it "
                f"is right, allow it with near_dedup: {{alarm: 1}}"
            )


# --- rounds: what workers do, and the files that they hand on ---------------------------------------------------------


def _save(name: str, *arrays: Any) -> None:
    for n, array in enumerate(arrays):
        with storage.open_whole(f"{name}.{n}.npy", lasting=False) as file:
            np.save(file, array)


def _load(name: str, count: int = 2) -> list[Any]:
    if storage.is_local(name):
        return [np.load(f"{name}.{n}.npy", mmap_mode="r") for n in range(count)]
    return [np.load(io.BytesIO(storage.read_bytes(f"{name}.{n}.npy"))) for n in range(count)]


def _parts(roots: Any) -> tuple[Any, int]:
    """The part of each document, and how many there are: whole components, some 40,000 documents together."""
    _, component, sizes = np.unique(roots, return_inverse=True, return_counts=True)
    ends = np.cumsum(sizes)
    part = (ends - 1) // min(PART_DOCUMENTS, max(_FEW_DOCUMENTS, -(-len(roots) // _FEW_PARTS)))
    # Components larger than a part leave numbers without documents.
    _, part = np.unique(part, return_inverse=True)
    return part[component].astype(np.int32), int(part[-1]) + 1


def _within(parts: Any, count: int) -> tuple[Any, Any, Any]:
    """The place of each document in its part, the documents in the order of the parts, and where each part begins."""
    order = np.argsort(parts, kind="stable")
    begins = np.r_[0, np.cumsum(np.bincount(parts, minlength=count))]
    places = np.empty(len(parts), np.int64)
    places[order] = np.arange(len(parts)) - np.repeat(begins[:-1], np.diff(begins))
    return places, order, begins


@dataclass(frozen=True)
class _Records:
    """Writes the records of a partition that meet, and the edges that show what hangs together; answers the name."""

    scratch: str

    def __call__(self, meeting: Meeting) -> str:
        documents = (meeting.shard.astype(np.uint64) << _PLACE) | meeting.place.astype(np.uint64)
        first = int(meeting.keys[0]) if len(meeting.keys) else 0
        name = storage.join(self.scratch, f"records-{first:016x}")
        _save(name, meeting.keys, documents)
        _save(f"{name}.edges", *stars(meeting.keys, documents))
        return name


@dataclass(frozen=True)
class _Split:
    """Writes the records of a partition anew in the order of the parts that their documents are in."""

    scratch: str
    parts: int

    def __call__(self, name: str) -> None:
        keys, documents = _load(name)
        known, parts, places = _load(storage.join(self.scratch, "documents"), 3)
        at = np.searchsorted(known, documents)
        part = parts[at]
        order = np.argsort(part, kind="stable")
        ends = np.searchsorted(part[order], np.arange(self.parts + 1))
        _save(f"{name}.split", keys[order], places[at[order]].astype(np.uint64), ends)


@dataclass(frozen=True)
class _Part:
    """What is known of a part: its documents, ascending, and the records of their bands, by key and document."""

    documents: Any
    keys: Any
    places: Any
    """Of each record's document among those of the part."""

    @classmethod
    def read(cls, scratch: str, files: tuple[str, ...], part: int) -> _Part:
        known, _, _, order, begins = _load(storage.join(scratch, "documents"), 5)
        keys, places = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]
        for name in files:
            key, place, ends = _load(f"{name}.split", 3)
            keys.append(key[ends[part] : ends[part + 1]])
            places.append(place[ends[part] : ends[part + 1]])
        return cls(known[order[begins[part] : begins[part + 1]]], np.concatenate(keys), np.concatenate(places))


def _fetched(sketches: Sketches, numbers: Any, columns: Sequence[str]) -> pa.Table:
    shard, place = (numbers >> _PLACE).astype(np.int32), (numbers & np.uint64(0xFFFFFFFF)).astype(np.int64)
    return sketches.fetch(shard, place, columns)


def _signatures_of(table: pa.Table) -> Any:
    column = one_array(table.column("signature"))
    _, edges, signed = column.buffers()
    assert edges is not None and signed is not None
    data = np.frombuffer(memoryview(signed), np.uint8)
    ends = np.frombuffer(memoryview(edges), np.int64)[column.offset : column.offset + len(column) + 1]
    return data[ends[0] : ends[-1]].view(np.uint32).reshape(len(column), -1)


@dataclass(frozen=True)
class _Wanted:
    """Answers the documents of a part whose shingles are needed to verify."""

    op: NearDedup
    sketches: Sketches
    scratch: str
    files: tuple[str, ...]

    def __call__(self, part: int) -> Any:
        own = _Part.read(self.scratch, self.files, part)
        met = meetings(*sort_records(own.keys, own.places))
        signed = _signatures_of(_fetched(self.sketches, own.documents, ["signature"]))
        return own.documents[to_verify(met, signed, self.op.threshold, LIMIT)]


@dataclass(frozen=True)
class _Shingles:
    """Writes the sets of shingles of the rows wanted of a shard; answers the name."""

    n: int
    scratch: str
    places: dict[int, Any]

    def __call__(self, shard: int, texts: Texts) -> str:
        values, counts, which = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for column, rows, wanted in texts:
            own, ends = shingle_sets(column, rows, self.n)
            values.append(own)
            counts.append(np.diff(ends))
            which.append(wanted)
        numbers = np.uint64(shard << 32) | self.places[shard][np.concatenate(which)].astype(np.uint64)
        name = storage.join(self.scratch, f"shingles-{shard}")
        _save(name, numbers, np.r_[0, np.cumsum(np.concatenate(counts))], np.concatenate(values))
        return name


@dataclass(frozen=True)
class _Decide:
    """Answers the verdicts on a part."""

    op: NearDedup
    sketches: Sketches
    scratch: str
    files: tuple[str, ...]
    sets: tuple[str, ...]
    preferred: str | None

    def __call__(self, part: int) -> pa.Table:
        known = _Part.read(self.scratch, self.files, part)
        own = known.documents
        table = _fetched(self.sketches, own, ["id", "row", "signature", *RANK_COLUMNS])
        ranked = self._ranked(table)
        position = np.empty(len(own), np.uint64)
        position[ranked] = np.arange(len(own))
        met = meetings(*sort_records(known.keys, position[known.places]))
        signed = np.ascontiguousarray(_signatures_of(table)[ranked])
        if self.op.verify and not self.op.reproduce:
            parts = (self._sets_of(name, own, position) for name in self.sets)
            verdicts = decide(met, signed, gather_sets(len(own), parts), self.op.threshold, LIMIT)
        else:
            verdicts = collapse(met, signed)
        lost = np.flatnonzero(verdicts.kept >= 0)
        gone, stays = pa.array(ranked[lost]), pa.array(ranked[verdicts.kept[lost]])
        ids, paths = table.column("id"), table.column("path")
        columns = {
            "shard": pa.array((own[ranked[lost]] >> _PLACE).astype(np.int32)),
            "row": table.column("row").take(gone),
            "reason": pa.repeat(pa.scalar("near_duplicate", TEXT), len(lost)),
            "of": ids.take(stays),
            "score": pa.array(verdicts.similarity[lost]),
            "exact": pa.repeat(pa.scalar(verdicts.exact), len(lost)),
            "bands_shared": pa.array(verdicts.bands_shared[lost].astype(np.int32)),
            "cluster_size": pa.array(verdicts.cluster_size[lost]),
            "dropped": ids.take(gone),
            "dropped_path": paths.take(gone),
            "kept_path": paths.take(stays),
        }
        return pa.table(columns, schema=pa.schema([*VERDICT, *DUPLICATE_DETAILS]))

    def _ranked(self, table: pa.Table) -> Any:
        if self.op.reproduce:
            # Numbers ascend by shard and row, which is what the papers' survivor goes by.
            return np.arange(table.num_rows)
        ranked = np.asarray(order(table, self.op.rank))
        if self.preferred is None:
            return ranked
        ids = table.column("id")
        known = np.zeros(table.num_rows, bool)
        for file in storage.read_json(storage.join(self.preferred, "manifest.json"))["documents"]:
            kept = storage.read_parquet(storage.join(self.preferred, file["place"]), ["id"]).column("id")
            known |= np.asarray(pc.is_in(ids, kept))
        return ranked[np.argsort(~known[ranked], kind="stable")]

    @staticmethod
    def _sets_of(name: str, own: Any, position: Any) -> tuple[Any, Any, Any]:
        numbers, ends, values = _load(name, 3)
        at = np.searchsorted(numbers, own)
        at[at == len(numbers)] = 0
        mine = np.flatnonzero(numbers[at] == own) if len(numbers) else np.zeros(0, np.int64)
        return position[mine].astype(np.int64), *take_sets(values, ends, at[mine])
