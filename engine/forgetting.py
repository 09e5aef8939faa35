"""Documents removed from a finished run, and kept from coming back.

What authors ask to be left out after a run is done leaves every file of the run but for the ids and the reason. The
list becomes part of the run, with names as digests: later runs on the folder read the shards that held something of
it again, without it, and a document that was dropped as a copy of what is gone takes its place.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
import xxhash

from engine import catalogue, storage
from engine.errors import EngineError, Refused
from engine.html_report import FILE, write_html
from engine.lock import locked
from engine.op import Filter, Losses, Source, Workers
from engine.plan import make_plan
from engine.publish import link
from engine.recipe import load
from engine.report import Report, StepReport
from engine.run import Run
from engine.schema import LEDGER, TEXT
from engine.stage import FORGOTTEN, parquet_writer

pc: Any = pyarrow.compute

LIST, AFFECTED = "forgotten.txt", "forgotten.json"
STEP = "forget"
"""The step under which the ledger has documents that were kept until they were forgotten."""
_TABLES = ("roll", "ledger", "quarantine", "samples", "duplicates", "documents")
"""What a stage leaves for people to read: it stays, without what is forgotten. The rest is made anew."""
_KEPT = ("receipts", "ids", "verdicts")
"""Folders of stages that tell of documents by id and place at most."""


@dataclass(frozen=True)
class Forgotten:
    """What was forgotten in a run: the filter that knows it, and by shard the list that last touched it."""

    filter: Filter | None = None
    shards: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, run: str) -> Forgotten:
        """What was forgotten in the run of a folder; nothing, where there is none."""
        url = storage.join(run, LIST)
        if not storage.exists(url):
            return cls()
        affected = storage.join(run, AFFECTED)
        return cls(_filter(url), storage.read_json(affected) if storage.exists(affected) else {})

    def marks(self, stream: str, shard: str) -> list[str]:
        """What makes a shard of the source another one since something of it was forgotten."""
        mark = self.shards.get(f"{stream}/{shard}")
        return [mark] if mark else []


@dataclass
class Forgetting:
    """What `forget` did to a run."""

    found: int = 0
    """Documents on the list that the run knew of, whatever became of them."""
    removed: int = 0
    """Documents among them that were kept, and are no more."""
    orphans: list[dict[str, Any]] = field(default_factory=list)
    """Documents that were dropped because of one that is gone."""
    deleted: list[str] = field(default_factory=list)
    """What jobs had made of the documents, and held their text: it was deleted, to be made anew."""
    made: list[str] = field(default_factory=list)
    """What jobs had made of the documents without holding their text, such as checkpoints: it is as it was."""
    unread: list[str] = field(default_factory=list)
    """Shards whose input could not be read again to look for hashes: of these only what was kept was looked at."""

    def as_json(self) -> dict[str, Any]:
        """The outcome as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class _File:
    """A file of a stage's folder that may tell of documents."""

    stream: str
    kind: str
    shard: str
    url: str


def forget(path: str, run: str, pool: Workers) -> Forgetting:
    """Removes from the run in a folder what the list in a file matches, and says what else was made from it.

    Called again it goes on where it was stopped. Raises Refused where the folder holds no finished run or the file no
    list, and RunError while the folder is in use.
    """
    run = Run(run).path
    asked: Any = _filter(path)
    with locked(run):
        url, affected = storage.join(run, LIST), storage.join(run, AFFECTED)
        before = storage.read_bytes(url).decode().splitlines() if storage.exists(url) else []
        lines = sorted({*before, *asked.sealed()})
        if not lines:
            raise Refused(f"{path} names nothing: no account, no repository and no hash")
        text = "".join(line + "\n" for line in lines)
        storage.write_bytes(url, text.encode())
        wanted: Any = _filter(url)
        outcome = Forgetting()
        ids, touched = _find(run, wanted, pool, outcome)
        mark = xxhash.xxh3_128_hexdigest(text.encode())
        known = Forgotten.of(run).shards
        # Before anything is removed: whoever is stopped from here on leaves shards that count as not done.
        storage.write_json(affected, dict(sorted((known | dict.fromkeys(touched, mark)).items())))
        outcome.found = len(ids)
        outcome.orphans = _orphans(run, ids)
        # The page shows texts and paths: it is made anew of what is left.
        storage.remove(storage.join(run, FILE))
        # The page shows texts; it is made anew from what stays.
        storage.remove(storage.join(run, "report.html"))
        gone = _remove(run, ids, {*known, *touched}, pool)
        _publish(run, gone)
        here = pl.col("id").str.split("#").list.first().is_in(list(ids))
        outcome.removed = Run(run).ledger.filter((pl.col("step") == STEP) & here).collect().height
        if outcome.removed:
            _jobs(run, outcome)
        write_html(run)
    return outcome


def _filter(path: str) -> Filter:
    op = catalogue.op("opt_out").model_validate({"list": path})
    assert isinstance(op, Filter)
    return op


# --- what is to go ------------------------------------------------------------------------------------------------


def _files(run: str, kinds: Iterable[str]) -> list[_File]:
    """The files of these folders of all stages, those of other recipes among them."""
    found = []
    for folder in storage.names(storage.join(run, "stages")):
        stream, base = folder.rsplit("-", 2)[0], storage.join(run, "stages", folder)
        for kind in kinds:
            for name in storage.names(storage.join(base, kind)):
                url = storage.join(base, kind, name)
                if kind == "duplicates":
                    found += [_File(stream, kind, _stem(n), storage.join(url, n)) for n in storage.names(url)]
                else:
                    found.append(_File(stream, kind, _stem(name), url))
    return [f for f in found if f.url.endswith(".parquet")]


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def _find(run: str, wanted: Any, pool: Workers, outcome: Forgetting) -> tuple[set[str], set[str]]:
    """The ids of what the filter fails, and the shards (`stream/shard`) that know of it."""
    ids: set[str] = set()
    touched: set[str] = set()
    files = _files(run, ("roll", "ledger", "quarantine"))
    for n, found in pool.map(_named, [(f.url, wanted) for f in files], threads=True):
        if found:
            ids.update(found)
            touched.add(f"{files[n].stream}/{files[n].shard}")
    if wanted.entries.sha1 or wanted.entries.sha256:
        for stream, shard, found in _hashed(run, wanted, pool, outcome):
            ids.update(found)
            touched.add(f"{stream}/{shard}")
        # Documents made of others, and texts of ids that are known by now, may lie in other shards than theirs.
        for n, found in pool.map(_with_ids, [(f.url, frozenset(ids)) for f in files], threads=True):
            if found:
                touched.add(f"{files[n].stream}/{files[n].shard}")
    return ids, touched


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
    return bool(pc.any(_among(storage.read_parquet(url, ["id"]).column("id"), ids)).as_py())


def _among(column: Any, ids: Iterable[str]) -> Any:
    """Which ids of a column, or the documents that they were made of, are among these."""
    parents = pc.replace_substring_regex(column, "#.*", "")
    return pc.is_in(parents, value_set=pa.array(sorted(ids), TEXT))


def _hashed(run: str, wanted: Any, pool: Workers, outcome: Forgetting) -> Iterator[tuple[str, str, list[str]]]:
    """For each shard that holds a text on the list its stream, its name and the ids: the input is read again."""
    jobs, owners = [], []
    unread: set[tuple[str, str]] = set()
    for chain in make_plan(load(storage.join(run, "recipe.yaml"))).chains:
        stage = chain.stages[0]
        folder = storage.join(run, "stages", stage.folder)
        known = {_stem(name) for name in storage.names(storage.join(folder, "ids"))}
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
    outcome.unread = sorted("/".join(owner) for owner in unread)
    files = [f for f in _files(run, ("documents",)) if unread]
    for n, found in pool.map(_hashed_file, [(f.url, wanted) for f in files], threads=True):
        if found:
            yield files[n].stream, files[n].shard, found


def _hashed_shard(job: tuple[Source, Any, str, Filter]) -> list[str] | None:
    """The ids of a shard's texts that the filter fails; None where the shard cannot be read as it was."""
    source, shard, url, wanted = job
    lanes, found, at = np.load(io.BytesIO(storage.read_bytes(url))), [], 0
    try:
        for batch in source.read(shard, Losses()):
            failed = np.flatnonzero(wanted.judge(batch)[1].codes() >= 0) + at
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


def _orphans(run: str, ids: set[str]) -> list[dict[str, Any]]:
    """The documents that the ledger says were dropped because of one of these."""
    columns = ["id", "path", "repo_name", "stream", "step", "of"]
    named = lambda column: pl.col(column).str.split("#").list.first().is_in(list(ids))  # noqa: E731
    rows = Run(run).ledger.filter(named("of") & ~named("id")).select(columns)
    return rows.sort("stream", "repo_name", "path", "id").collect().to_dicts()


# --- removing it --------------------------------------------------------------------------------------------------


def _remove(run: str, ids: set[str], touched: set[str], pool: Workers) -> list[dict[str, Any]]:
    """For each file of documents that lost some: its place, how many, and their languages with counts and bytes."""
    for folder in storage.names(storage.join(run, "stages")):
        stream, base = folder.rsplit("-", 2)[0], storage.join(run, "stages", folder)
        shards = {t.partition("/")[2] for t in touched if t.partition("/")[0] == stream}
        for kind in storage.names(base):
            place = storage.join(base, kind)
            if kind == "receipts":
                for shard in shards:
                    storage.remove(storage.join(place, f"{shard}.json"))
            elif kind == "scratch":
                storage.remove(place)
            elif kind not in (*_TABLES, *_KEPT) and "." not in kind:
                _unmake(place, shards)
    if storage.is_local(run):
        for stray in storage.local_path(run).rglob(f"*{storage.ASIDE}"):
            stray.unlink()
    files = [f for f in _files(run, _TABLES) if f.kind == "duplicates" or f"{f.stream}/{f.shard}" in touched]
    for folder in storage.names(storage.join(run, "stages")):
        url = storage.join(run, "stages", folder, "chosen_samples.parquet")
        if storage.exists(url):
            files.append(_File(folder.rsplit("-", 2)[0], "samples", "", url))
    gone = []
    for n, answer in pool.map(_rewrite, [(f, frozenset(ids)) for f in files], threads=True):
        if answer:
            gone.append(answer | {"stream": files[n].stream, "shard": files[n].shard, "url": files[n].url})
    return gone


def _unmake(place: str, shards: set[str]) -> None:
    """Removes what the next run will make anew for these shards: texts, sketches, rows to be gathered."""
    for name in storage.names(place):
        if _stem(name) in shards:
            storage.remove(storage.join(place, name))
        elif "." not in name:
            _unmake(storage.join(place, name), shards)


def _rewrite(job: tuple[_File, frozenset[str]]) -> dict[str, Any] | None:
    """A file without these documents; what is gone, where it held documents and some of them are."""
    file, ids = job
    if file.kind == "documents":
        return _rewrite_documents(file, ids)
    table = storage.read_parquet(file.url)
    column = "dropped" if file.kind == "duplicates" else "id"
    mine = _among(table.column(column), ids)
    kept = table
    if file.kind in ("ledger", "quarantine"):
        kept = _nulled(kept, mine, ("path", "repo_name", "score"))
        if file.kind == "quarantine":
            at = kept.schema.get_field_index("error")
            told = pc.if_else(mine, pa.scalar(FORGOTTEN, TEXT), kept.column("error"))
            kept = kept.set_column(at, kept.schema.field("error"), told)
    else:
        kept = kept.filter(pc.invert(mine))
        if file.kind == "duplicates":
            kept = _nulled(kept, _among(kept.column("kept"), ids), ("kept_path",))
    if not kept.equals(table):
        storage.write_parquet(file.url, kept)
    return None


def _nulled(table: pa.Table, rows: Any, columns: Iterable[str]) -> pa.Table:
    for name in columns:
        if name in table.schema.names:
            at = table.schema.get_field_index(name)
            nothing = pa.scalar(None, table.schema.field(name).type)
            table = table.set_column(at, table.schema.field(name), pc.if_else(rows, nothing, table.column(name)))
    return table


def _rewrite_documents(file: _File, ids: frozenset[str]) -> dict[str, Any] | None:
    lost: list[pa.Table] = []
    with storage.open_read(file.url) as read:
        parquet = pq.ParquetFile(read)
        for group in range(parquet.num_row_groups):
            told = parquet.read_row_group(group, columns=["id", "language", "length_bytes"])
            lost.append(told.filter(_among(told.column("id"), ids)))
        gone = pa.concat_tables(lost) if lost else None
        if gone is None or not gone.num_rows:
            return None
        # The ledger first, so that a document is at no time in neither.
        _enter("/ledger/".join(file.url.rsplit("/documents/", 1)), file.stream, gone.column("id"))
        with storage.open_whole(file.url) as out, parquet_writer(out, parquet.schema_arrow) as writer:
            for group in range(parquet.num_row_groups):
                table = parquet.read_row_group(group)
                kept = table.filter(pc.invert(_among(table.column("id"), ids)))
                if kept.num_rows:
                    writer.write_table(kept, row_group_size=1 << 30)
    sums = gone.group_by("language").aggregate([("length_bytes", "count"), ("length_bytes", "sum")])
    languages = [(r["language"] or "", r["length_bytes_count"], r["length_bytes_sum"] or 0) for r in sums.to_pylist()]
    return {"documents": gone.num_rows, "languages": languages}


def _enter(url: str, stream: str, ids: Any) -> None:
    """Enters documents that were kept in a ledger, unless they are there."""
    known = storage.read_parquet(url) if storage.exists(url) else LEDGER.empty_table()
    ids = ids.filter(pc.invert(pc.is_in(ids, value_set=known.column("id"))))
    told = {"stream": stream, "step": STEP, "reason": FORGOTTEN}
    columns = [ids if f.name == "id" else pa.repeat(pa.scalar(told.get(f.name), f.type), len(ids)) for f in LEDGER]
    storage.write_parquet(url, pa.concat_tables([known, pa.Table.from_arrays(columns, schema=LEDGER)]))


# --- what users read ----------------------------------------------------------------------------------------------


def _jobs(run: str, outcome: Forgetting) -> None:
    """Deletes what jobs made that holds text, and names what they made besides."""
    for name in storage.names(storage.join(run, "jobs")):
        url = storage.join(run, "jobs", name)
        job = storage.read_json(url)
        if job["holds_text"]:
            storage.remove(job["out"])
            storage.remove(url)
            outcome.deleted.append(job["out"])
        else:
            outcome.made.append(job["out"])
    report = Report.load(run)
    report.jobs = {k: v for k, v in report.jobs.items() if storage.exists(storage.join(run, "jobs", f"{k}.json"))}
    report.write(run, Run(run).manifest)


def _publish(run: str, gone: list[dict[str, Any]]) -> None:
    """Brings manifest, links and report up to what the stages hold now."""
    manifest = storage.read_json(storage.join(run, "manifest.json"))
    for row in gone:
        folder, name = row["url"].rsplit("/", 3)[1], row["url"].rsplit("/", 1)[1]
        place = "/".join(["stages", folder, "ledger", name])
        if all(f["place"] != place for f in manifest["ledger"]):
            number = int(folder.rsplit("-", 2)[1])
            shown = f"{row['stream']}-{row['shard']}-{number}.parquet"
            manifest["ledger"].append({"name": shown, "place": place, "bytes": 0})
    for file in [f for files in manifest.values() for f in files]:
        file["bytes"] = storage.file_info(storage.join(run, file["place"])).bytes
    link(run, manifest)
    report = Report.load(run)
    for row in gone:
        count, stream = row["documents"], row["stream"]
        steps = [s for s in report.steps if s.stream == stream]
        if steps[-1].step != STEP:
            steps.append(StepReport(stream, STEP, STEP, steps[-1].kept, steps[-1].kept))
            report.steps.insert(report.steps.index(steps[-2]) + 1, steps[-1])
        steps[-1].kept -= count
        steps[-1].dropped[FORGOTTEN] = steps[-1].dropped.get(FORGOTTEN, 0) + count
        report.kept, report.dropped = report.kept - count, report.dropped + count
        report.streams[stream]["kept"] -= count
        report.streams[stream]["dropped"] += count
        for language, documents, volume in row["languages"]:
            report.languages[language]["kept"] -= documents
            report.languages[language]["bytes_kept"] -= volume
            report.text_bytes_kept -= volume
    report.write(run, manifest)
