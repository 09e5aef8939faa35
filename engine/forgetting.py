"""Documents removed from a finished run, and kept from coming back.

What authors ask to be left out after a run is done leaves every file of the run but for the ids and the reason. The
list becomes part of the run, with names as digests: later runs on the folder read the shards that held something of
it again, without it, and a document that was dropped as a copy of what is gone takes its place.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import polars as pl
import xxhash

from engine import catalogue, storage
from engine.erasing import STEP, erase
from engine.errors import Refused
from engine.html_report import FILE, write_html
from engine.lock import locked
from engine.losses import FORGOTTEN
from engine.op import Filter, Workers
from engine.publish import link
from engine.report import Report, StepReport
from engine.run import Run
from engine.sought import orphans, seek

LIST, AFFECTED = "forgotten.txt", "forgotten.json"
UNDER_WAY = "forgetting.json"
"""The ids of what is being erased: of what is half erased, names tell no more."""


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
        found, under_way = seek(run, wanted, pool), storage.join(run, UNDER_WAY)
        ids, touched = found.ids, found.shards
        if storage.exists(under_way):
            ids |= set(storage.read_json(under_way))
        storage.write_json(under_way, sorted(ids))
        mark = xxhash.xxh3_128_hexdigest(text.encode())
        known = Forgotten.of(run).shards
        # Before anything is removed: whoever is stopped from here on leaves shards that count as not done.
        storage.write_json(affected, dict(sorted((known | dict.fromkeys(touched, mark)).items())))
        outcome = Forgetting(len(ids), orphans=orphans(run, ids), unread=found.unread)
        # The page shows texts and paths: it is made anew of what is left.
        storage.remove(storage.join(run, FILE))
        erase(run, ids, {*known, *touched}, pool)
        _publish(run)
        here = pl.col("id").str.split("#").list.first().is_in(list(ids))
        outcome.removed = Run(run).ledger.filter((pl.col("step") == STEP) & here).collect().height
        if outcome.removed:
            _jobs(run, outcome)
        write_html(run)
        storage.remove(under_way)
    return outcome


def _filter(path: str) -> Filter:
    op = catalogue.op("opt_out").model_validate({"list": path})
    assert isinstance(op, Filter)
    return op


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


def _publish(run: str) -> None:
    """Brings manifest, links and report up to what the stages hold now."""
    manifest = storage.read_json(storage.join(run, "manifest.json"))
    told = {f["place"] for f in manifest["ledger"]}
    for file in manifest["documents"]:
        place = file["place"].replace("/documents/", "/ledger/")
        if place not in told and storage.exists(storage.join(run, place)):
            number = int(place.split("/")[1].rsplit("-", 2)[1])
            shown = f"{file['name'].removesuffix('.parquet')}-{number}.parquet"
            manifest["ledger"].append({"name": shown, "place": place, "bytes": 0})
    for file in [f for files in manifest.values() for f in files]:
        file["bytes"] = storage.file_info(storage.join(run, file["place"])).bytes
    link(run, manifest)
    report = Report.load(run)
    _recount(report, Run(run))
    report.write(run, manifest)


def _recount(report: Report, run: Run) -> None:
    """Enters in a report what is left, and what is gone as dropped by a step of its own."""
    volumes = run.documents.group_by("stream", pl.col("language").fill_null(""))
    left = volumes.agg(pl.len().alias("kept"), pl.col("length_bytes").sum().alias("bytes_kept")).collect().to_dicts()
    for stream, totals in report.streams.items():
        gone = totals["kept"] - sum(row["kept"] for row in left if row["stream"] == stream)
        if not gone:
            continue
        steps = [s for s in report.steps if s.stream == stream]
        if steps[-1].step != STEP:
            steps.append(StepReport(stream, STEP, STEP, steps[-1].kept, steps[-1].kept))
            report.steps.insert(report.steps.index(steps[-2]) + 1, steps[-1])
        steps[-1].kept -= gone
        steps[-1].dropped[FORGOTTEN] = steps[-1].dropped.get(FORGOTTEN, 0) + gone
        for totals_of in (totals, vars(report)):
            totals_of["kept"] -= gone
            totals_of["dropped"] += gone
    for name, row in report.languages.items():
        mine = [found for found in left if found["language"] == name]
        row |= {key: sum(found[key] for found in mine) for key in ("kept", "bytes_kept")}
    report.text_bytes_kept = sum(row["bytes_kept"] for row in left)
