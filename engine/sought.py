"""What a run knows of documents that a filter fails: their ids, and the shards that hold something of them.

A name is found in the tables that every stage leaves. Of a hash the input is read again; what was gathered from rows
that have it is made once more, to know under which id it went.
"""

from __future__ import annotations

import contextlib
import io
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from engine import gathering, storage
from engine.columns import one_array
from engine.digest import document_lanes, hexes, without_markup
from engine.errors import EngineError, Refused
from engine.op import Batch, Filter, Gather, Losses, Source, Workers
from engine.plan import Chain, make_plan
from engine.recipe import load
from engine.run import Run
from engine.schema import TEXT

pc: Any = pyarrow.compute


Rows = dict[str, dict[str, set[str]]]
"""Ids by stream and shard."""


@dataclass
class Sought:
    """What was found of the documents that a filter fails."""

    ids: set[str] = field(default_factory=set)
    """Their ids as they were read or gathered: what was made of a document shares its id."""
    shards: set[str] = field(default_factory=set)
    """The shards (`stream/shard`) that know of them."""
    unread: list[str] = field(default_factory=list)
    """Shards whose input could not be read again: of their texts only those that were kept were looked at."""


@dataclass(frozen=True)
class File:
    """A file of a stage's folder that may tell of documents."""

    stream: str
    kind: str
    shard: str
    url: str


def seek(run: str, wanted: Any, pool: Workers) -> Sought:
    """What the run in a folder knows of the documents that `wanted`, an `opt_out`, fails."""
    sought, chains = Sought(), make_plan(load(storage.join(run, "recipe.yaml"))).chains
    named: Rows = defaultdict(lambda: defaultdict(set))
    hashed: Rows = defaultdict(lambda: defaultdict(set))
    tables = files(run, ("roll", "ledger", "quarantine"))
    for n, found in pool.map(_named, [(f.url, wanted) for f in tables], threads=True):
        named[tables[n].stream][tables[n].shard].update(found)
    if wanted.entries.sha1 or wanted.entries.sha256:
        for stream, shard, found in _hashed(run, chains, wanted, pool, sought):
            hashed[stream][shard].update(found)
    for stream, shard, found in _all(named, hashed):
        sought.ids.update(found)
        sought.shards.add(f"{stream}/{shard}")
    for chain in chains:
        sought.ids.update(_gathered(run, chain, named[chain.stream], hashed[chain.stream]))
    # Documents made of others, and texts of ids that are known by now, may lie in other shards than theirs.
    for n, found in pool.map(_with_ids, [(f.url, frozenset(sought.ids)) for f in tables], threads=True):
        if found:
            sought.shards.add(f"{tables[n].stream}/{tables[n].shard}")
    return sought


def _all(*found: Rows) -> Iterator[tuple[str, str, set[str]]]:
    for rows in found:
        yield from ((stream, shard, ids) for stream, shards in rows.items() for shard, ids in shards.items() if ids)


def files(run: str, kinds: Iterable[str]) -> list[File]:
    """The files of these folders of all stages, those of other recipes among them."""
    found = []
    for folder in storage.names(storage.join(run, "stages")):
        stream, base = folder.rsplit("-", 2)[0], storage.join(run, "stages", folder)
        for kind in kinds:
            for name in storage.names(storage.join(base, kind)):
                url = storage.join(base, kind, name)
                if kind == "duplicates":
                    found += [File(stream, kind, stem(n), storage.join(url, n)) for n in storage.names(url)]
                else:
                    found.append(File(stream, kind, stem(name), url))
    return [f for f in found if f.url.endswith(".parquet")]


def stem(name: str) -> str:
    """The name of a file without its ending: the shard's."""
    return name.rpartition(".")[0]


def _named(job: tuple[str, Filter]) -> list[str]:
    """The ids of the rows of a table whose repository the filter fails."""
    url, wanted = job
    table = storage.read_parquet(url)
    if "repo_name" not in table.schema.names:
        return []
    found = []
    for batch in table.select(["id", "repo_name"]).to_batches():
        found += batch.column("id").filter(pa.array(wanted.judge(batch)[1].codes() >= 0)).to_pylist()
    return [_parent(i) for i in found]


def _parent(name: str) -> str:
    """The id of the document that was read, of one that was made of it."""
    return name.partition("#")[0]


def _with_ids(job: tuple[str, frozenset[str]]) -> bool:
    url, ids = job
    return bool(pc.any(among(storage.read_parquet(url, ["id"]).column("id"), ids)).as_py())


def among(column: Any, ids: Iterable[str]) -> Any:
    """Which ids of a column, or the documents that they were made of, are among these."""
    parents = pc.replace_substring_regex(column, "#.*", "")
    return pc.is_in(parents, value_set=pa.array(sorted(ids), TEXT))


def _hashed(
    run: str, chains: Iterable[Chain], wanted: Any, pool: Workers, sought: Sought
) -> Iterator[tuple[str, str, list[str]]]:
    """For each shard that holds a text on the list its stream, its name and the ids: the input is read again."""
    jobs, owners = [], []
    unread: set[tuple[str, str]] = set()
    for chain in chains:
        stage = chain.stages[0]
        folder = storage.join(run, "stages", stage.folder)
        known = {stem(name) for name in storage.names(storage.join(folder, "ids"))}
        shards = {}
        with contextlib.suppress(EngineError, OSError):
            shards = {s.name: s for s in stage.source.shards()}
        for name in sorted(known):
            if name in shards:
                jobs.append((stage.source, shards[name], storage.join(folder, "ids", f"{name}.npy"), wanted))
                owners.append((chain.stream, name))
            else:
                unread.add((chain.stream, name))
    for n, found in pool.map(_hashed_shard, jobs):
        if found is None:
            unread.add(owners[n])
        elif found:
            yield (*owners[n], found)
    sought.unread = sorted("/".join(owner) for owner in unread)
    documents = files(run, ("documents",)) if unread else []
    for n, found in pool.map(_hashed_file, [(f.url, wanted) for f in documents], threads=True):
        if found:
            yield documents[n].stream, documents[n].shard, found


def _hashed_shard(job: tuple[Source, Any, str, Filter]) -> list[str] | None:
    """The ids of a shard's texts that the filter fails; None where the shard cannot be read as it was."""
    source, shard, url, wanted = job
    lanes, found, at = np.load(io.BytesIO(storage.read_bytes(url))), [], 0
    try:
        for batch in source.read(shard, Losses()):
            failed = np.flatnonzero(wanted.judge(batch)[1].checks["opted_out_content"].failed) + at
            found += [f"{a:016x}{b:016x}" for a, b in lanes[failed[failed < len(lanes)]].tolist()]
            at += batch.num_rows
    except (EngineError, OSError):
        return None
    return found


def _hashed_file(job: tuple[str, Filter]) -> list[str]:
    """The ids of documents of a file that the filter fails."""
    url, wanted = job
    found: list[Any] = []
    with storage.open_read(url) as file:
        for batch in pq.ParquetFile(file).iter_batches(1024, columns=["id", "repo_name", "content"]):
            found += batch.column("id").filter(pa.array(wanted.judge(batch)[1].codes() >= 0)).to_pylist()
    return [_parent(i) for i in found]


# --- what was gathered --------------------------------------------------------------------------------------------


def _gathered(run: str, chain: Chain, named: dict[str, set[str]], hashed: dict[str, set[str]]) -> Iterator[str]:
    """The ids of documents that were gathered from any of these rows, which are given by shard.

    What was gathered by repository has been found by its name. Raises Refused where a shard's rows are not there to
    tell.
    """
    for before, stage in pairwise(chain.stages):
        if stage.gathers is None:
            continue
        op, folder = stage.gathers.op, storage.join(run, "stages", before.folder)
        assert isinstance(op, Gather)
        # What is no longer in the roll was forgotten before.
        given = [hashed] if "repo_name" in op.key else [named, hashed]
        shards = [stem(name) for name in storage.names(storage.join(folder, "roll"))]
        rows = {
            shard: set().union(*(ids.get(shard, ()) for ids in given))
            & _known(storage.join(folder, "roll", f"{shard}.parquet"))
            for shard in shards
            if any(shard in ids for ids in given)
        }
        wanted = frozenset[str]().union(*rows.values())
        if not wanted:
            return
        lost = [shard for shard in shards if not storage.exists(storage.join(folder, "rows", f"{shard}.npy"))]
        if lost:
            raise Refused(
                f"{chain.stream}: something of {lost[0]} was forgotten before, and what was gathered from it is to be "
                f"made anew first: engine run {run}/recipe.yaml --out {run}"
            )
        for key in sorted({key for shard, ids in rows.items() for key in gathering.hashes_of(folder, shard, ids)}):
            table = gathering.read_partition(folder, shards, op, {"low": key, "last": key})
            for edges, batch in gathering.grouped(table, op):
                mine = np.append(0, np.cumsum(np.asarray(among(batch.column("id"), wanted))))
                yield from np.array(_ids(chain.stream, op.run(edges, batch)))[np.diff(mine[edges]) > 0].tolist()


def _known(url: str) -> set[str]:
    """The ids in a roll; none where it is not there."""
    return (
        {str(i) for i in storage.read_parquet(url, ["id"]).column("id").to_pylist()} if storage.exists(url) else set()
    )


def _ids(stream: str, made: Batch) -> list[str]:
    """The ids that documents get whose columns these are."""
    names = ("repo_name", "revision_id", "path")
    known = [made.column(n) if n in made.schema.names else pa.nulls(made.num_rows, TEXT) for n in names]
    content, _ = without_markup(one_array(made.column("content")))
    return [str(i) for i in hexes(document_lanes(stream, [*known, content])).to_pylist()]


# --- what hung on it ----------------------------------------------------------------------------------------------


def orphans(run: str, ids: set[str]) -> list[dict[str, Any]]:
    """The documents that the ledger says were dropped because of one of these."""
    columns = ["id", "path", "repo_name", "stream", "step", "of"]
    named = lambda column: pl.col(column).str.split("#").list.first().is_in(list(ids))  # noqa: E731
    rows = Run(run).ledger.filter(named("of") & ~named("id")).select(columns)
    return rows.sort("stream", "repo_name", "path", "id").collect().to_dicts()
