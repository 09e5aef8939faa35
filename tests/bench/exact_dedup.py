"""What `exact_dedup` adds to a run: its sketches, the meeting of digests, and the second pass that drops.

python tests/bench/exact_dedup.py CORPUS
"""

from __future__ import annotations

import json
from pathlib import Path

import measure
from results import Goal, Results, Table, arguments, engine_run, facts

ABOUT = """
Two runs of the engine in turns, equal but for `exact_dedup`: one reads and writes, the other also digests each text,
brings equal digests together, reads the text a second time and leaves out the copies. The cost of exact deduplication
is the difference, in processor seconds of the whole process, so that it is a figure a core. Medians of {runs} rounds.
"""


def main() -> None:
    """Measures both runs and writes the results."""
    given = arguments(__doc__).parse_args()
    measure.pin(given.cores)
    known = facts(given.corpus)
    contenders = [measure.Contender(name, engine_run(name, given.cores)) for name in ("everything", "exact")]
    taken: dict[str, measure.Taken] = {}
    reports: dict[str, dict] = {}
    for who, record, out in measure.in_turns(contenders, given.corpus, None, given.runs, given.scratch):
        taken[who.name] = record
        if not record.error:
            reports[who.name] = _report(out)
    if any(r.error for r in taken.values()):
        raise SystemExit(1)
    without, with_it = taken["everything"], taken["exact"]
    cpu = with_it.median("cpu") - without.median("cpu")
    wall = with_it.median("seconds") - without.median("seconds")
    megabytes = known["text_bytes"] / 1e6
    results = Results(given.name or "exact_dedup", "Exact deduplication", "", given.runs, {"corpus": known})
    results.about = ABOUT.format(runs=given.runs)
    results.timed(list(taken.values()))
    rows = [
        [name, r.median("seconds"), r.median("cpu"), max(x.pss for x in r.runs) / 1e6, reports[r.name]["kept"]]
        for name, r in (("without", without), ("with `exact_dedup`", with_it))
    ]
    rows.append(["difference", wall, cpu, None, reports["exact"]["kept"] - reports["everything"]["kept"]])
    results.tables = [Table("Exact deduplication", ["run", "s", "CPU s", "peak MB", "kept"], rows)]
    peak = max(run.pss for run in with_it.runs) / 1e6
    results.goals = [
        Goal("`exact_dedup`: text over the time it adds", 200, megabytes / max(cpu, 1e-3), "MB/s a core"),
        Goal("`exact_dedup`: memory of the whole process", 1000, peak, "MB", "at most"),
    ]
    results.save()


def _report(out: Path) -> dict:
    return json.loads((out / "report.json").read_text())


if __name__ == "__main__":
    main()
