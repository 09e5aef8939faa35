"""Whether `engine plan` tells beforehand what runs take: time and bytes, within a factor of two.

python tests/bench/plan.py CORPUS
"""

from __future__ import annotations

import json
import sys

import measure
from results import RECIPES, Goal, Results, Table, arguments, engine, engine_run, facts

ABOUT = """
`engine plan` looks at a few pieces of the input and says what a run will take; then the run is done. A factor is how
far apart the two are, whichever is larger, so 1 is exact. Time is that of the report, without the start of the process.
The recipes: {recipes}. Medians of {runs} rounds.
"""
CASES = ("filters", "exact", "near")


def main() -> None:
    """Plans, runs, compares and writes the results."""
    given = arguments(__doc__).parse_args()
    measure.pin(given.cores)
    known = facts(given.corpus)
    results = Results(given.name or "plan", "What a plan promises", "", given.runs, {"corpus": known})
    results.about = ABOUT.format(recipes=", ".join(f"`{c}`" for c in CASES), runs=given.runs)
    rows = []
    for case in CASES:
        records, told, found = [], [], []
        for _ in range(given.runs):
            setting = f"streams.code.source.parquet.path={given.corpus}"
            planned = measure.run(engine("plan", RECIPES / f"{case}.yaml", "--set", setting, "--json"))
            told.append(json.loads(planned.output))
            with measure.fresh(given.scratch) as out:
                ran = measure.run(engine_run(case, given.cores)(given.corpus, out))
                found.append(json.loads((out / "report.json").read_text()))
            records += [measure.Taken(f"plan {case}", [planned]), measure.Taken(f"run {case}", [ran])]
            print(f"  {case}: planned {told[-1]['seconds']:.1f} s, ran {found[-1]['seconds']:.1f} s", file=sys.stderr)
        results.timed(records)
        middle = sorted(range(given.runs), key=lambda n: _factor(told[n]["seconds"], found[n]["seconds"]))
        one, other = told[middle[given.runs // 2]], found[middle[given.runs // 2]]
        time = _factor(one["seconds"], other["seconds"])
        written = _factor(one["bytes_written"], other["bytes_written"])
        sizes = [one["bytes_written"] / 1e6, other["bytes_written"] / 1e6, written]
        rows.append([f"`{case}`", one["seconds"], other["seconds"], time, *sizes, one["rows_kept"], other["kept"]])
        results.goals.append(Goal(f"plan of `{case}`: time", 2, time, "times", "at most"))
        results.goals.append(Goal(f"plan of `{case}`: bytes of documents", 2, written, "times", "at most"))
    columns = ["recipe", "planned s", "ran s", "factor", "planned MB", "wrote MB", "factor", "planned files", "kept"]
    results.tables = [Table("Planned, and then done", columns, rows)]
    results.save()


def _factor(one: float, other: float) -> float:
    low, high = sorted((max(one, 1e-9), max(other, 1e-9)))
    return high / low


if __name__ == "__main__":
    main()
