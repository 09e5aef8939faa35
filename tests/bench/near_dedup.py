"""How fast near-deduplication is beside other tools, and what each of its guarantees costs.

python tests/bench/near_dedup.py CORPUS                                the engine, Daft, rensa
python tests/bench/near_dedup.py CORPUS --contenders engine datatrove data-juicer text-dedup --name near_dedup_slow
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import environments
import measure
from results import (
    RIVALS,
    START_ROWS,
    Goal,
    Results,
    Table,
    arguments,
    engine_run,
    facts,
    rival_versions,
    start_input,
)

ABOUT = """
The same Parquet files with word 5-grams, 256 permutations and a threshold of 0.7, all languages together. The engine
verifies every drop by its exact Jaccard similarity, chooses who stays by rank, writes sketches, a ledger, a table of
duplicates and the documents, and can go on after a stop; the others do what the table says. Each contender is a whole
process on the same {cores} cores; contenders take turns, figures are medians of {runs} rounds. *Start* is the same
command on the first {start} documents of each file; *net* is without it.
"""


@dataclass(frozen=True)
class Kind:
    """A contender: what the page calls it, whose Python runs it, its script and arguments."""

    title: str
    does: str
    rival: str = "here"
    script: str = ""
    more: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()


CONTENDERS = {
    "engine": Kind("engine, --on here", "42 × 6, verified, ranked, ledger, duplicates, documents"),
    "unverified": Kind(
        "engine, `verify: false`",
        "42 × 6, whole components, ledger, duplicates, documents",
        settings=("streams.code.steps.near_dedup.verify=false",),
    ),
    "kernels": Kind("our kernels alone", "25 × 10, clusters; writes numbers of rows", script="../near_bare"),
    "kernels-write": Kind(
        "our kernels alone, writing", "the same, and documents", script="../near_bare", more=("write",)
    ),
    "daft": Kind("Daft", "25 × 10, clusters; writes numbers of rows", "daft", "near_daft"),
    "daft-write": Kind("Daft, writing", "the same, and documents", "daft", "near_daft", ("write",)),
    "rensa": Kind("rensa", "32 × 8, checked by estimate; writes numbers of rows", "rensa", "near_rensa"),
    "rensa-write": Kind("rensa, writing", "the same, and documents", "rensa", "near_rensa", ("write",)),
    "datatrove": Kind("datatrove", "25 × 10, clusters, documents", "datatrove", "near_datatrove"),
    "data-juicer": Kind("data-juicer", "its bands, clusters, documents", "data-juicer", "near_data_juicer"),
    "text-dedup": Kind("text-dedup", "its bands, clusters, documents as Arrow", "text-dedup", "near_text_dedup"),
}
DEFAULT = ["engine", "daft", "rensa", "unverified", "kernels", "kernels-write", "daft-write"]


def contender(name: str, cores: int, folder: Path) -> measure.Contender:
    """How a contender is started."""
    kind = CONTENDERS[name]
    if not kind.script:
        return measure.Contender(name, engine_run("near", cores, *kind.settings))
    command = [environments.python(kind.rival, folder), RIVALS / f"{kind.script}.py"]
    environment = {} if kind.rival == "here" else environments.OFFLINE
    return measure.Contender(name, lambda corpus, out: [*command, corpus, out, str(cores), *kind.more], environment)


def main() -> None:
    """Runs the contenders and writes the results."""
    parser = arguments(__doc__)
    parser.add_argument("--contenders", nargs="+", choices=list(CONTENDERS), default=DEFAULT)
    given = parser.parse_args()
    measure.pin(given.cores)
    known = facts(given.corpus)
    start = start_input(given.corpus, given.scratch)
    contenders = [contender(name, given.cores, given.environments) for name in given.contenders]
    results = Results(given.name or "near_dedup", "Near-deduplication", "", given.runs, {"corpus": known})
    results.about = ABOUT.format(cores=given.cores, runs=given.runs, start=START_ROWS)
    records: dict[str, measure.Taken] = {}
    reports: dict[str, dict] = {}
    for who, record, out in measure.in_turns(contenders, given.corpus, start, given.runs, given.scratch):
        records[who.name] = record
        if not record.error and (out / "report.json").exists():
            reports[who.name] = json.loads((out / "report.json").read_text())
    results.timed(list(records.values()))
    results.tables = [_table(records, known["text_bytes"])]
    if "daft" in records and "unverified" in records:
        results.tables.append(_costs(records))
    results.goals = _goals(records)
    for rival in {CONTENDERS[name].rival for name in given.contenders} - {"here"}:
        results.versions |= rival_versions(rival, given.environments)
    results.raw.append({"reports": reports})
    results.save()


def _table(records: dict[str, measure.Taken], size: int) -> Table:
    columns = ["contender", "what it does", "s", "start s", "net CPU s", "net MB/s", "peak MB"]
    rows = []
    for name, r in records.items():
        kind = CONTENDERS[name]
        if r.error:
            rows.append([kind.title, kind.does, "failed", *[None] * 4])
            continue
        speed = size / 1e6 / r.net
        peak = max(run.pss for run in r.runs) / 1e6
        rows.append([kind.title, kind.does, r.median("seconds"), r.median("seconds", "starts"), r.net_cpu, speed, peak])
    return Table("Near-deduplication, net of start-up", columns, rows)


def _costs(records: dict[str, measure.Taken]) -> Table:
    """From what Daft's script does to what the engine does, one guarantee after the other."""
    steps = {
        "daft": "Daft's script: sketch, bands, clusters",
        "kernels": "the same with our kernels",
        "kernels-write": "+ the documents that stay are written",
        "unverified": "+ ids, ledger, duplicates, measures, sketches kept, survivors by rank, goes on after a stop",
        "engine": "+ every drop verified against a document that stays (and 42 × 6 bands, which find more)",
    }
    rows, before = [], None
    for name, title in steps.items():
        r = records.get(name)
        if r is None or r.error:
            continue
        rows.append([title, r.net, None if before is None else r.net - before, records["daft"].net / r.net])
        before = r.net
    return Table("What each guarantee costs", ["what is done", "net s", "more s", "times as fast as Daft"], rows)


def _goals(records: dict[str, measure.Taken]) -> list[Goal]:
    good = {name: r for name, r in records.items() if not r.error}
    if "engine" not in good:
        return []
    ours = good["engine"]
    wanted = {"daft": 3.5, "rensa": 8, "datatrove": 25, "data-juicer": 50, "text-dedup": 50}
    goals = [
        Goal(f"near-dedup beside {CONTENDERS[name].title}, start-up aside", goal, good[name].net / ours.net)
        for name, goal in wanted.items()
        if name in good
    ]
    if "daft" in good:
        whole = good["daft"].median("seconds") / ours.median("seconds")
        goals.append(Goal("near-dedup beside Daft, whole processes", 2, whole))
        peak = max(run.pss for run in ours.runs) / 1e6
        goals.append(Goal("near-dedup: memory of the whole process", 1000, peak, "MB", "at most"))
    return goals


if __name__ == "__main__":
    main()
