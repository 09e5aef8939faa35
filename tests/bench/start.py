"""How long the engine takes to begin, and what Ray costs on one machine.

python tests/bench/start.py CORPUS
"""

from __future__ import annotations

import measure
from results import START_ROWS, Goal, Results, Table, arguments, engine, engine_run, facts, start_input

ABOUT = """
`engine --help`, a run on {start} files, and the same filter pass over the corpus with `--on here` and `--on ray`, which
starts a Ray of its own; in turns, {runs} rounds, medians. *First shard* is the time from the start of the command until
the first receipt lies on the disk. Processor seconds and memory are those of the whole tree, Ray's daemons included.
"""


def main() -> None:
    """Measures and writes the results."""
    given = arguments(__doc__).parse_args()
    measure.pin(given.cores)
    known = facts(given.corpus)
    start = start_input(given.corpus, given.scratch)
    results = Results(given.name or "start", "Start, and Ray beside no Ray", "", given.runs, {"corpus": known})
    results.about = ABOUT.format(start=START_ROWS, runs=given.runs)
    measure.run(engine("--help"))
    helped = measure.Taken("engine --help", [measure.run(engine("--help")) for _ in range(max(5, given.runs))])
    taken = {"help": helped}
    kinds = {
        "start here": ("here", start),
        "start ray": ("ray", start),
        "here": ("here", given.corpus),
        "ray": ("ray", given.corpus),
    }
    for name in kinds:
        taken[name] = measure.Taken(name)
    for round_ in range(given.runs + 1):
        for name, (on, corpus) in kinds.items():
            if round_ == 0 and corpus is given.corpus:
                continue
            with measure.fresh(given.scratch) as out:
                command = engine_run("filters", given.cores, on=on)(corpus, out)
                run = measure.run(command, watch=(out, "stages/*/receipts/*.json"))
            if round_:
                taken[name].runs.append(run)
                print(f"  {name:<12} {run.seconds:7.2f} s  first shard {run.first or 0:6.2f} s", flush=True)
    results.timed(list(taken.values()))
    rows = [["`engine --help`", helped.median("seconds"), helped.median("cpu"), None, None, _peak(helped)]]
    titles = {
        "start here": f"{START_ROWS} files, `--on here`",
        "start ray": f"{START_ROWS} files, `--on ray`",
        "here": "filter pass, `--on here`",
        "ray": "filter pass, `--on ray`",
    }
    for name, title in titles.items():
        one = taken[name]
        speed = known["text_bytes"] / 1e6 / one.median("seconds") if name in ("here", "ray") else None
        rows.append([title, one.median("seconds"), one.median("cpu"), one.median("first"), speed, _peak(one)])
    columns = ["command", "s", "CPU s", "first shard s", "MB/s", "peak MB"]
    results.tables = [Table("Whole processes, start-up included", columns, rows)]
    net = {on: taken[on].median("seconds") - taken[f"start {on}"].median("seconds") for on in ("here", "ray")}
    results.tables.append(
        Table(
            "The work alone, without starting",
            ["pool", "s", "MB/s"],
            [[f"`--on {on}`", seconds, known["text_bytes"] / 1e6 / seconds] for on, seconds in net.items()],
            f"Ray takes {net['ray'] / net['here']:.2f} times as long for the work, and "
            f"{taken['start ray'].median('seconds') - taken['start here'].median('seconds'):.1f} s more to start.",
        )
    )
    results.goals = [Goal("`engine --help`: processor time", 0.5, helped.median("cpu"), "s", "at most")]
    results.save()


def _peak(taken: measure.Taken) -> float:
    return max(run.pss for run in taken.runs) / 1e6


if __name__ == "__main__":
    main()
