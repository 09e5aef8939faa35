"""The report of a run as one page to be shown around: no script, nothing to load, light and dark, wide and narrow.

Figures come from `report.json`, what proves them from `engine.evidence`, plots from `engine.figures`. jinja2 puts them
together because documents hold whatever people wrote: every text is escaped by rule and not by care.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from engine import evidence, figures, storage
from engine import recipe as recipes
from engine.evidence import Clusters, Dropped, Judged
from engine.figures import Bar, Change, Reach, share
from engine.plan import Plan, make_plan
from engine.report import Report, StepReport, size
from engine.run import Run
from engine.shown import one_line

FILE = "report.html"
LANGUAGES = 14
"""Languages that are drawn; the others stand in a table that is folded."""
COSTS = 14
"""Steps whose time is drawn."""


def write_html(out: str, plan: Plan | None = None) -> None:
    """Writes `report.html` into the folder of a finished run; its plan is made of its recipe unless given."""
    storage.write_bytes(storage.join(out, FILE), html(Run(out), plan).encode())


def html(run: Run, plan: Plan | None = None) -> str:
    """The page about a finished run."""
    report = Report.load(run.path)
    plan = plan or make_plan(recipes.load(storage.join(run.path, "recipe.yaml")))
    dropped, clusters, judged = evidence.dropped(run), evidence.clusters(run, plan), evidence.judged(run, plan)
    languages = _languages(report)
    # What duplicates look like is shown beside what was kept in their place.
    shown = [row for row in dropped if row.step not in {step for c in clusters for step in c.steps}]
    sections = [
        ("flow", "Flow", True),
        ("languages", "Languages", any(report.languages)),
        ("thresholds", "Thresholds", judged),
        ("dropped", "What was dropped", shown),
        ("duplicates", "Duplicates", clusters),
        ("cost", "Time and memory", True),
        ("recipe", "Recipe", True),
    ]
    return _page().render(
        report=report,
        place=run.path,
        contents=[(anchor, title) for anchor, title, there in sections if there],
        key_figures=list(_key_figures(report)),
        alarms=report.alarms(),
        streams=[
            {
                "name": name,
                "flow": _flow_plot([s for s in report.steps if s.stream == name], name),
                "dropped": [row for row in dropped if row.stream == name],
                "notes": [note for s in report.steps if s.stream == name for note in _notes(s)],
            }
            for name in report.streams
        ],
        languages=languages if any(report.languages) else [],
        drawn=LANGUAGES,
        languages_plot=_languages_plot(languages[:LANGUAGES]),
        spreads=[(j.step, j.reason, _failing(j), _spread_plot(j)) for j in judged],
        question=_question(plan, [j.step for j in judged]),
        dropped=shown,
        opened=_most_telling(shown),
        clusters=[(c, _clusters_plot(c)) for c in clusters],
        pairs=evidence.pairs(run),
        cost_plot=_cost_plot(report),
        facts=list(_facts(report)),
        told=list(_told(report)),
        recipe=storage.read_bytes(storage.join(run.path, "recipe.yaml")).decode(),
        versions=", ".join(f"{name} {version}" for name, version in report.versions.items()),
    )


@cache
def _page() -> Template:
    pages = Environment(
        loader=PackageLoader("engine"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    pages.filters |= {"n": lambda count: f"{count:,}", "size": size, "one_line": one_line}
    return pages.get_template("report.html")


# --- figures ------------------------------------------------------------------------------------------------------


def _key_figures(report: Report) -> Iterator[tuple[str, str, str]]:
    """What stands large at the top: title, figure, and what it is of."""
    yield "Documents kept", f"{report.kept:,}", f"{share(report.kept, report.read + report.born)} of {report.read:,}"
    text = share(report.text_bytes_kept, report.text_bytes_read)
    yield "Text kept", size(report.text_bytes_kept), f"{text} of {size(report.text_bytes_read)}"
    yield "Dropped", f"{report.dropped:,}", f"for {sum(len(s.dropped) for s in report.steps)} reasons"
    if report.quarantined:
        yield "Quarantined", f"{report.quarantined:,}", "could not be read or judged"
    yield "Time", duration(report.seconds), _speed(report)
    yield "Memory", size(report.peak_worker_bytes), "of the largest worker"


def _speed(report: Report) -> str:
    # A run that found shards done has taken less, and has no speed.
    whole = report.shards_run >= report.shards and report.seconds
    return f"{size(report.text_bytes_read / report.seconds)} of text a second" if whole else "some of it done before"


def duration(seconds: float) -> str:
    """A time for people: `42.0 s`, `12 min 5 s`, `3 h 20 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def _notes(step: StepReport) -> Iterator[str]:
    """What a step did beside dropping."""
    told = [f"changed {step.changed:,} documents"] if step.changed else []
    told += [f"made {step.born:,} more documents"] if step.born > 0 else []
    told += [f"gathered {-step.born:,} rows into others"] if step.born < 0 else []
    told += [f"set {step.quarantined:,} aside that it could not work on"] if step.quarantined else []
    told += [f"counted {n:,} {what.replace('_', ' ')}" for what, n in step.noted.items() if n]
    if told:
        yield f"{step.step} {', '.join(told)}."


def _languages(report: Report) -> list[dict[str, Any]]:
    rows = sorted(report.languages.items(), key=lambda item: (-item[1]["bytes_read"], item[0]))
    return [
        {"name": name or "no language", "share": share(row["bytes_kept"], row["bytes_read"]), **row}
        for name, row in rows
    ]


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    yield "Time from start to end", duration(report.seconds)
    yield "Processor time of all workers", duration(report.worker_seconds)
    yield "Memory of the largest worker", size(report.peak_worker_bytes)
    done = report.shards - report.shards_run
    yield "Shards", f"{report.shards_run:,}" + (f", and {done:,} that were done before" if done > 0 else "")
    yield "Input", size(report.bytes_read)
    yield "Documents written", size(report.bytes_written)
    if report.markup_replaced:
        yield "Documents with characters reserved for markup", f"{report.markup_replaced:,}"
    if told := report.against_plan():
        yield "Estimate", told
    for left in report.skipped:
        yield f"Stream {left['stream']} was skipped", f"{left['why']}; give it with --set {left['setting']}=PATH"


def _told(report: Report) -> Iterator[tuple[str, list[list[list[str]]]]]:
    """What global ops decided and what jobs made, as tables."""
    for step, told in (*report.decisions.items(), *report.jobs.items()):
        plain = [[_words(k), _cell(v)] for k, v in told.items() if not isinstance(v, dict | list)]
        nested = [
            v for v in told.values() if isinstance(v, dict) and v and all(isinstance(r, dict) for r in v.values())
        ]
        tables = [
            [
                ["", *map(_words, next(iter(rows.values())))],
                *([k or "(others)", *map(_cell, r.values())] for k, r in rows.items()),
            ]
            for rows in nested
        ]
        yield step, [table for table in (plain, *tables) if table]


def _words(name: str) -> str:
    return str(name).replace("_", " ")


def _cell(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value).lower()
    return f"{value:,.6g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _most_telling(dropped: Sequence[Dropped]) -> Dropped | None:
    """The reason whose examples are not folded: the first with a text and a figure, else the first with a text."""
    texts = [row for row in dropped if any(example.text for example in row.examples)]
    return next((row for row in texts if row.examples[0].score), texts[0] if texts else None)


def _question(plan: Plan, steps: Sequence[str]) -> str:
    """A threshold of the run and another that one might ask about, as `engine whatif` takes it."""
    works = {w.step: w.op for chain in plan.chains for stage in chain.stages for w in stage.steps}
    for step in steps:
        for name, value in works[step].parameters().items():
            if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
                return f"{step}.{name}={value // 2 if isinstance(value, int) else value / 2:g}"
    return ""


# --- plots --------------------------------------------------------------------------------------------------------


def _flow_plot(steps: Sequence[StepReport], stream: str) -> Markup:
    # Rows that were gathered into one document were not dropped.
    return Markup(
        figures.flow(
            [Reach(s.step, s.rows + min(s.born, 0), s.kept) for s in steps], f"Documents of {stream} step by step"
        )
    )


def _languages_plot(languages: Sequence[dict[str, Any]]) -> Markup:
    rows = [
        Change(
            row["name"],
            row["bytes_read"],
            row["bytes_kept"],
            f"{_millions(row['bytes_read'])} → {_millions(row['bytes_kept'])}",
        )
        for row in languages
    ]
    return Markup(figures.changes(rows, "Text by language before and after"))


def _millions(count: int) -> str:
    return size(count) if count else "none"


def _spread_plot(judged: Judged) -> Markup:
    return Markup(figures.spread(judged.spread, f"{judged.step}: {judged.reason}"))


def _failing(judged: Judged) -> str:
    side = "above" if judged.spread.fails_above else "below"
    return f"{share(judged.failing, 1)} {side} {judged.spread.said}"


def _clusters_plot(clusters: Clusters) -> Markup:
    rows = [Bar(size, count, f"{count:,}") for size, count in clusters.sizes]
    return Markup(
        figures.columns(rows, f"{clusters.title} by size", "documents in a cluster, and how many such clusters")
    )


def _cost_plot(report: Report) -> Markup:
    costs = [(s.step if len(report.streams) == 1 else f"{s.stream} {s.step}", s.seconds) for s in report.steps]
    costs += [(name.replace("_", " "), seconds) for name, seconds in report.measures.items()]
    largest = {n for n, _ in sorted(enumerate(costs), key=lambda item: -item[1][1])[:COSTS]}
    rows = [
        Bar(name, cost, f"{cost:.2f} s" if cost < 10 else duration(cost))
        for n, (name, cost) in enumerate(costs)
        if n in largest
    ]
    return Markup(figures.bars(rows, "Processor time by step"))
