"""How near-deduplication grows: memory, time, comparisons and what it finds, as the corpus does.

    python tests/bench/near_dedup_scale.py SMALL_CORPUS --times 1 4 16 --distinct FULL_CORPUS

Copies of many sizes take long to make: `--scratch` keeps them for the next time.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jaccard
import measure
import mutated
import numba
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from results import Goal, Results, Table, arguments, engine_run, facts, files

from ops.buckets import meetings, shared, sort_records
from ops.minhash import MinHash, band_hashes, signatures

ABOUT = """
*Mutated copies*: the corpus becomes several times as large by copies of its files of which it is known how alike they
are (`mutated.py`): of a family of files some are near-duplicates of its original, some are not, and none is alike to a
file of another family. The truth is every pair of a family compared exactly, over a sample of families. *Distinct
files*: the small corpus beside the full one, which has no mutated copies; every drop of a sample is compared exactly
with the file that it was dropped for.

Estimates are comparisons of two signatures: a file with each kept file that shares a bucket with it. Memory is the PSS
of the whole process with two workers; for the driver alone, runs on Ray, where it is a process of its own.
"""
SAMPLE = 1500
"""Families, or drops, that are compared exactly."""
BANDS, ROWS = 42, 6
RECIPE = "near_quality"


Key = tuple[str | None, str]
"""A file by its repository and path."""


@dataclass
class Outcome:
    """What a run did: the id of each file, the ids dropped in rank order or kept, and the witnesses."""

    ids: dict[Key, str]
    sizes: dict[str, int]
    dropped: dict[str, str]

    @classmethod
    def of(cls, run: Path) -> Outcome:
        """The outcome of a finished run."""
        measures = [
            pq.read_table(p, columns=["id", "path", "repo_name", "length_bytes"]) for p in _files(run, "measures")
        ]
        rows = pa.concat_tables(measures).to_pylist()
        ledger = [
            row for p in _files(run, "ledger") for row in pq.read_table(p, columns=["id", "of", "step"]).to_pylist()
        ]
        return cls(
            {(r["repo_name"], r["path"]): r["id"] for r in rows},
            {r["id"]: r["length_bytes"] for r in rows},
            {row["id"]: row["of"] for row in ledger if row["step"] == "near_dedup"},
        )

    def rank(self, key: Key) -> tuple[int, str, str]:
        """What a file is ranked by: longer first, then path, then id."""
        return (-self.sizes[self.ids[key]], key[1], self.ids[key])


def _files(run: Path, kind: str) -> list[Path]:
    return sorted(run.glob(f"{kind}/*.parquet"))


def main() -> None:
    """Makes the corpora, runs near-deduplication on each, and writes the results."""
    parser = arguments(__doc__, runs=1)
    parser.add_argument("--times", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--distinct", type=Path, help="a larger corpus of distinct files")
    parser.add_argument("--no-ray", action="store_true", help="leaves out the runs that measure the driver alone")
    given = parser.parse_args()
    measure.pin(given.cores)
    results = Results(given.name or "near_dedup_scale", "As the corpus grows", ABOUT, given.runs)
    copies = []
    for times in given.times:
        corpus = _mutated(given, times)
        row = _measured(f"{times} ×", corpus, given, results, families=True)
        if not given.no_ray:
            with measure.fresh(given.scratch) as out:
                row["driver"] = measure.run(engine_run(RECIPE, given.cores, on="ray")(corpus, out)).own
        copies.append(row)
    results.tables = [_table("Mutated copies", copies)]
    results.goals = _goals(copies, "mutated copies")
    if given.distinct:
        corpora = (("small", given.corpus), ("full", given.distinct))
        distinct = [_measured(name, corpus, given, results, families=False) for name, corpus in corpora]
        results.tables.append(_table("Distinct files", distinct))
        results.goals += _goals(distinct, "distinct files")
    results.save()


def _mutated(given: argparse.Namespace, times: int) -> Path:
    """The folder of the corpus so many times as large; made unless it is there from an earlier time."""
    corpus = given.scratch / f"mutated-{given.corpus.resolve().name}-{times}"
    if not corpus.exists():
        print(f"  making {times} times the corpus ...", file=sys.stderr, flush=True)
        unfinished = corpus.with_name(f"{corpus.name}-unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        mutated.make(given.corpus, unfinished, times)
        unfinished.rename(corpus)
    return corpus


def _measured(name: str, corpus: Path, given: argparse.Namespace, results: Results, families: bool) -> dict[str, Any]:
    """What runs on a corpus take, and what they drop."""
    known = results.corpora[corpus.name] = facts(corpus)
    record = measure.Taken(name)
    seconds = []
    for round_ in range(given.runs):
        with measure.fresh(given.scratch) as out:
            record.runs.append(measure.run(engine_run(RECIPE, given.cores)(corpus, out)))
            seconds.append(json.loads((out / "report.json").read_text())["seconds"])
            if round_ == given.runs - 1:
                outcome = Outcome.of(out)
    results.timed([record])
    print(f"  {name}: {record.median('seconds'):.1f} s", file=sys.stderr, flush=True)
    truth = _by_family(corpus, outcome) if families else _by_witness(corpus, outcome)
    return {
        "name": name,
        "files": known["files"],
        "megabytes": known["text_bytes"] / 1e6,
        "seconds": statistics.median(seconds),
        "cpu": record.median("cpu"),
        "pss": max(run.pss for run in record.runs),
        "estimates": _estimates(corpus, outcome) / known["files"],
        "dropped": len(outcome.dropped),
        **truth,
    }


# --- truth ------------------------------------------------------------------------------------------------------------


def _texts(corpus: Path, wanted: Callable[[Key], bool]) -> Iterator[tuple[Key, str]]:
    """The texts of those files of a corpus that are wanted."""
    for path in files(corpus):
        names = [
            n for n in ("max_stars_repo_name", "max_stars_repo_path", "content") if n in pq.read_schema(path).names
        ]
        for batch in pq.ParquetFile(path).iter_batches(columns=names):
            columns = {name: batch.column(name) for name in names}
            paths = columns["max_stars_repo_path"].to_pylist()
            repositories = columns["max_stars_repo_name"].to_pylist() if len(names) > 2 else [None] * len(paths)
            for n, key in enumerate(zip(repositories, paths, strict=True)):
                if wanted(key):
                    # A byte order mark is no text to the engine either.
                    yield key, columns["content"][n].as_py().removeprefix("\ufeff")


def _by_family(corpus: Path, outcome: Outcome) -> dict[str, Any]:
    """Of a sample of families: the drops that are right by comparing all of a family, those found, those wrong."""
    names = sorted({key[1].split("/")[1] for key in outcome.ids})
    chosen = {names[n] for n in np.random.default_rng(1).permutation(len(names))[:SAMPLE]}
    families: dict[str, list[tuple[Key, Any]]] = defaultdict(list)
    for key, text in _texts(corpus, lambda key: key[1].split("/")[1] in chosen):
        families[key[1].split("/")[1]].append((key, jaccard.shingles(text, jaccard.WORDS["ours"])))
    right = found = wrong = 0
    for family in families.values():
        family.sort(key=lambda item: outcome.rank(item[0]))
        pairs = jaccard.near_pairs([own for _, own in family])
        truth = jaccard.greedy_drops(range(len(family)), jaccard.neighbours(pairs))
        dropped = {n for n, (key, _) in enumerate(family) if outcome.ids[key] in outcome.dropped}
        right, found, wrong = right + len(truth), found + len(truth & dropped), wrong + len(dropped - truth)
    return {"compared": f"{len(families):,} families", "recall": found / right if right else None, "wrong": wrong}


def _by_witness(corpus: Path, outcome: Outcome) -> dict[str, Any]:
    """Of a sample of drops: those that are less alike to the file they were dropped for than the threshold."""
    order = np.random.default_rng(1).permutation(len(outcome.dropped))[:SAMPLE]
    every = list(outcome.dropped.items())
    pairs = [every[n] for n in order]
    wanted = {name for pair in pairs for name in pair}
    sets = {
        outcome.ids[key]: jaccard.shingles(text, jaccard.WORDS["ours"])
        for key, text in _texts(corpus, lambda key: outcome.ids[key] in wanted)
    }
    wrong = sum(jaccard.similarity(sets[one], sets[other]) < jaccard.THRESHOLD for one, other in pairs)
    return {"compared": f"{len(pairs):,} drops", "recall": None, "wrong": wrong}


# --- comparisons ------------------------------------------------------------------------------------------------------


@numba.njit
def _looks(starts: Any, buckets: Any, sizes: Any, kept: Any) -> int:
    """How often a document, in order, meets a kept one before it in a bucket, each only once."""
    begins = np.zeros(len(sizes) + 1, np.int64)
    begins[1:] = np.cumsum(sizes)
    filled, members = begins[:-1].copy(), np.empty(begins[-1], np.int64)
    seen = np.full(len(kept), -1, np.int64)
    looks = 0
    for d in range(len(kept)):
        for k in range(starts[d], starts[d + 1]):
            bucket = buckets[k]
            for m in range(begins[bucket], filled[bucket]):
                if seen[members[m]] != d:
                    seen[members[m]] = d
                    looks += 1
            if kept[d]:
                members[filled[bucket]] = d
                filled[bucket] += 1
    return looks


def _estimates(corpus: Path, outcome: Outcome) -> int:
    """Comparisons of signatures that a walk in rank order makes: each file with the kept ones that it meets."""
    keys, bands, present = [], [], []
    for path in files(corpus):
        names = [
            n for n in ("max_stars_repo_name", "max_stars_repo_path", "content") if n in pq.read_schema(path).names
        ]
        for batch in pq.ParquetFile(path).iter_batches(1000, columns=names):
            paths = batch.column("max_stars_repo_path").to_pylist()
            with_name = len(names) > 2
            repositories = batch.column("max_stars_repo_name").to_pylist() if with_name else [None] * len(paths)
            keys += list(zip(repositories, paths, strict=True))
            signed, shingles = signatures(batch.column("content"), MinHash(256, 5, 1))
            bands.append(band_hashes(signed, BANDS, ROWS))
            present.append(shingles > 0)
    place = np.empty(len(keys), np.uint64)
    ranked = sorted(range(len(keys)), key=lambda n: outcome.rank(keys[n]))
    place[ranked] = np.arange(len(keys))
    rows = np.flatnonzero(np.concatenate(present))
    hashes = np.concatenate(bands)[rows]
    met = meetings(*shared(*sort_records(hashes.reshape(-1), np.repeat(place[rows], BANDS))))
    kept = np.array([outcome.ids[keys[ranked[int(n)]]] not in outcome.dropped for n in met.documents])
    return int(_looks(met.starts, met.buckets, met.sizes, kept))


# --- what is told -----------------------------------------------------------------------------------------------------


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    columns = ["corpus", "files", "MB", "s", "CPU s", "MB/s", "peak MB", "driver on Ray MB", "estimates a file"]
    columns += ["dropped", "compared exactly", "recall", "wrong drops"]
    told = []
    for row in rows:
        driver = row["driver"] / 1e6 if "driver" in row else None
        speed = row["megabytes"] / row["seconds"]
        head = [
            row["name"],
            row["files"],
            row["megabytes"],
            row["seconds"],
            row["cpu"],
            speed,
            row["pss"] / 1e6,
            driver,
        ]
        told.append([*head, row["estimates"], row["dropped"], row["compared"], row["recall"], row["wrong"]])
    return Table(title, columns, told, "Seconds are the report's, without the start of the process.")


def _goals(rows: list[dict[str, Any]], of: str) -> list[Goal]:
    first, last = rows[0], rows[-1]
    slower = (last["seconds"] / last["megabytes"]) / (first["seconds"] / first["megabytes"])
    goals = [
        Goal(f"near-dedup, {of}: time a MB, largest beside smallest", 1.25, slower, "×", "at most"),
        Goal(f"near-dedup, {of}: memory at the largest", 1000, last["pss"] / 1e6, "MB", "at most"),
        Goal(f"near-dedup, {of}: wrong drops", 0, sum(row["wrong"] for row in rows), "files", "at most"),
    ]
    recalls = [row["recall"] for row in rows if row["recall"] is not None]
    if recalls:
        goals.append(Goal(f"near-dedup, {of}: recall", 0.995, min(recalls), "of the drops"))
    if "driver" in first and len(rows) > 1:
        grown = (last["driver"] - first["driver"]) / (last["files"] - first["files"])
        goals.append(Goal("near-dedup: the driver grows by", 64, grown, "bytes a document", "at most"))
    return goals


if __name__ == "__main__":
    main()
