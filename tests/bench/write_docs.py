"""Writes docs/benchmarks.md from the results of the benchmarks.

python tests/bench/write_docs.py
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from results import QUIET, RESULTS, ROOT, Cell, Goal, Results, Table

ORDER = (
    "filters",
    "filters_slow",
    "html_text",
    "exact_dedup",
    "near_dedup",
    "near_dedup_slow",
    "near_dedup_quality",
    "near_dedup_scale",
    "issues",
    "notebooks",
    "commits",
    "pii",
    "decontaminate",
    "tokens",
    "tokenizer_fertility",
    "pack",
    "model_speed",
    "learns",
    "gpu",
    "kernels",
    "memory",
    "start",
    "plan",
)
"""The results that have a place on the page; others come after them."""

HEAD = """# Benchmarks

How fast the engine is and how much memory it takes, beside other tools on the same machine in the same session, on real
source code. The scripts are in [tests/bench](../tests/bench/README.md), each other tool in an environment of its own
with the version named below; this page is written by them. Ratios carry over to other machines, absolute figures do
not. MB are 10⁶ bytes of text.
"""

GOALS = """## What was promised

Goals were set before the figures were taken. What is not reached is here, too.
"""


def main() -> None:
    """Writes the page."""
    found = {path.stem: Results.load(path) for path in sorted(RESULTS.glob("*.json"))}
    names = [name for name in ORDER if name in found] + [name for name in found if name not in ORDER]
    if not names:
        raise SystemExit(f"{RESULTS} has no results; run a benchmark first")
    page = "\n".join(_page([found[name] for name in names])).rstrip() + "\n"
    place = ROOT / "docs" / "benchmarks.md"
    place.write_text(page, encoding="utf-8")
    print(place.relative_to(Path.cwd()) if place.is_relative_to(Path.cwd()) else place)


def _page(results: list[Results]) -> Iterable[str]:
    yield HEAD
    yield from _machine(results)
    yield from _corpora(results)
    yield GOALS
    goals = [goal for each in results for goal in each.goals]
    missed = sum(goal.met is False for goal in goals)
    yield f"{sum(goal.met is True for goal in goals)} of {len(goals)} goals are reached, {missed} missed.\n"
    yield from _rows(["figure", "goal", "measured", "reached"], map(_goal, goals))
    for each in results:
        yield ""
        yield f"## {each.title}{' beside slower tools' if each.name.endswith('_slow') else ''}"
        yield ""
        yield each.about.strip()
        yield ""
        yield _circumstances(each)
        for table in each.tables:
            yield ""
            yield from _table(table)


def _machine(results: list[Results]) -> Iterable[str]:
    machines = {tuple(sorted((k, str(v)) for k, v in each.machine.items() if k != "cores")) for each in results}
    one = results[0].machine
    yield "## The machine"
    yield ""
    vectors = ", ".join(v.upper().replace("AVX512", "AVX-512 ") for v in one["vectors"]) or "no AVX2"
    yield (
        f"{one['cpu']} ({vectors}), {one['memory_bytes'] / 2**30:.0f} GiB of memory, {one['system']}, "
        f"Python {one['python']}."
        + (" Some results were taken on another machine; see there." if len(machines) > 1 else "")
    )
    yield ""
    versions: dict[str, set[str]] = {}
    for each in results:
        for name, version in each.versions.items():
            if name != "commit":
                versions.setdefault(name, set()).add(version)
    yield ", ".join(f"{name} {' and '.join(sorted(of))}" for name, of in versions.items()) + "."
    yield ""


def _corpora(results: list[Results]) -> Iterable[str]:
    seen: dict[tuple[int, int], dict[str, int]] = {}
    for each in results:
        for known in each.corpora.values():
            seen.setdefault((known["files"], known["text_bytes"]), known)
    yield "## The corpora"
    yield ""
    yield (
        "`tests/bench/corpus.py` builds them from pinned packages of several registries: two versions of some packages "
        "stand for the near-duplicates that real corpora have."
    )
    yield ""
    rows = [
        [k["files"], k["text_bytes"] / 1e6, k["parquet_bytes"] / 1e6, k["shards"], k["row_groups"]]
        for k in sorted(seen.values(), key=lambda k: k["text_bytes"])
    ]
    yield from _table(Table("", ["files", "MB of text", "MB of Parquet", "shards", "row groups"], rows))
    yield ""


def _circumstances(each: Results) -> str:
    sizes = ", ".join(f"{k['text_bytes'] / 1e6:,.0f} MB in {k['files']:,} files" for k in each.corpora.values())
    commit = f", commit {each.versions['commit']}" if "commit" in each.versions else ""
    told = f"Taken {each.taken} on {each.machine['cores']} cores of {each.machine['cpu']}{commit}; {sizes}."
    if each.foreign_cores > QUIET:
        told += (
            f" **The machine was not quiet**: other work kept up to {each.foreign_cores:.1f} cores busy, "
            "so take these figures as provisional."
        )
    return told


def _goal(goal: Goal) -> list[str]:
    measured = "not measured" if goal.measured is None else f"{_short(goal.measured)} {goal.unit}"
    reached = {True: "yes", False: "**no**", None: "?"}[goal.met]
    sign = "≥" if goal.sense == "at least" else "≤"
    return [goal.what, f"{sign} {_short(goal.goal)} {goal.unit}", measured, reached]


def _short(value: float) -> str:
    if value == int(value):
        return f"{int(value):,}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}"


def _table(table: Table) -> Iterable[str]:
    if table.title:
        yield f"**{table.title}**"
        yield ""
    rows = [[_cell(value, head) for value, head in zip(row, table.columns, strict=True)] for row in table.rows]
    numeric = [all(isinstance(row[n], int | float | None) for row in table.rows) for n in range(len(table.columns))]
    yield from _rows(table.columns, rows, numeric)
    if table.note:
        yield ""
        yield table.note


def _rows(columns: list[str], rows: Iterable[list[str]], numeric: list[bool] | None = None) -> Iterable[str]:
    right = numeric or [False] * len(columns)
    yield f"| {' | '.join(columns)} |"
    yield f"|{'|'.join('---:' if r else '---' for r in right)}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _cell(value: Cell, head: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    if head in ("recall", "precision", "recall of pairs"):
        return f"{value:.4f}".rstrip("0").rstrip(".")
    if head.endswith(" MB") or head.startswith("MB of") or head == "MB" or abs(value) >= 1000:
        return f"{value:,.0f}"
    if "MB/s" in head and abs(value) >= 10:
        return f"{value:,.0f}"
    return f"{value:,.2f}"


if __name__ == "__main__":
    main()
