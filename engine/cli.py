"""The command line: the only file that prints, colours and chooses exit codes.

0: done; 1: failed in a run; 2: refused before it. stdout is the answer, stderr the progress. What a command needs is
imported when it runs: `engine --help` loads neither Arrow nor polars.
"""

from __future__ import annotations

import errno
import json as json_module
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter

from engine.errors import EngineError, Refused

if TYPE_CHECKING:
    from engine.pool import Pool
    from engine.report import Report

app = App(
    name="engine",
    help="Turns raw source code into a code language model, and can say where everything came from.",
    version_flags=["--version"],
    help_format="plaintext",
    exit_on_error=False,
    suppress_keyboard_interrupt=False,
)

Settings = Annotated[list[str] | None, Parameter(name="--set", negative="", consume_multiple=False)]
Flag = Annotated[bool, Parameter(negative="")]


def main() -> None:
    """The console script: runs a command and exits with its code."""
    try:
        app(sys.argv[1:])
    except CycloptsError:
        # It has told what is wrong with the command line.
        sys.exit(Refused.exit_code)
    except EngineError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("\nstopped; what is done stays done, and the same command goes on from here", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has gone; so do we, without a word.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise
        _say(f"{error}; what is done stays done: mend it, and the same command goes on from here")
        sys.exit(1)


@app.command
def run(
    recipe: str,
    *,
    out: str | None = None,
    on: Literal["ray", "here"] = "ray",
    workers: int | None = None,
    set: Settings = None,
    max_errors: int = 0,
    limit: int | None = None,
    json: Flag = False,
) -> None:
    """Run a recipe; run it again to go on where it stopped.

    Parameters
    ----------
    recipe
        The recipe's YAML file.
    out
        The folder or URL of the run; runs/NAME unless given.
    on
        Where the work runs: on Ray (a cluster that is there, else one of this machine) or here, without Ray.
    workers
        Workers at a time; as many as there are cores unless given.
    set
        Replaces one value for this run, as in --set streams.code.source.parquet.path=data/; may be repeated.
    max_errors
        Documents that may make an op raise before the run counts as failed.
    limit
        Reads only the first documents of each shard, to try a recipe.
    json
        Prints the report as JSON.
    """
    from engine.estimate import saved
    from engine.executor import RunDone, execute
    from engine.plan import make_plan
    from engine.progress import display
    from engine.recipe import load

    plan = make_plan(load(recipe, set or []))
    place = out or f"runs/{plan.recipe.name}"
    for warning in plan.warnings():
        _say(f"warning: {warning}")
    with _pool(on, workers) as pool:
        shown = display(_errors())
        try:
            report = None
            for event in execute(plan, place, pool, max_errors, limit, saved(place, plan)):
                shown.show(event)
                if isinstance(event, RunDone):
                    report = event.report
        finally:
            shown.close()
    assert report is not None
    if json:
        print(json_module.dumps(report.as_json(), indent=1, ensure_ascii=False))
    else:
        _print_report(report, place)


@app.command
def plan(recipe: str, *, set: Settings = None, out: str | None = None, probe: bool = True, json: Flag = False) -> None:
    """Show the passes of a recipe, and what they will cost, without running it.

    Parameters
    ----------
    recipe
        The recipe's YAML file.
    set
        Replaces one value, as for `run`; may be repeated.
    out
        The folder where the run will be, runs/NAME unless given: the estimate is left there as plan.json, and the
        run's report compares it with what the run took.
    probe
        Reads a little of the input to estimate rows, bytes, memory and time.
    json
        Prints the plan as JSON.
    """
    from engine.estimate import describe, estimate, save
    from engine.plan import make_plan
    from engine.recipe import load

    made = make_plan(load(recipe, set or []))
    cost = estimate(made, probe)
    if json:
        print(json_module.dumps(cost.as_json(), indent=1, ensure_ascii=False))
    else:
        print(describe(made, cost))
    for warning in made.warnings():
        _say(f"warning: {warning}")
    if cost.probed:
        save(cost, out or f"runs/{made.recipe.name}")


@app.command
def ops(name: str | None = None, *, json: Flag = False) -> None:
    """List the ops that recipes may name, or show one.

    Parameters
    ----------
    name
        The op to show.
    json
        Prints names, kinds and summaries as JSON.
    """
    from engine import catalogue, docs

    if name is not None:
        print(docs.page(catalogue.op(name)))
        return
    rows = [(op.name(), catalogue.kind(op), docs.summary(op)) for op in catalogue.all_ops()]
    if json:
        print(json_module.dumps([{"name": n, "kind": k, "summary": s} for n, k, s in rows], indent=1))
        return
    width = max(len(n) for n, _, _ in rows)
    for kind in dict.fromkeys(k for _, k, _ in rows):
        print(f"{kind}s")
        for n, k, summary in rows:
            if k == kind:
                print(f"  {n:<{width}}  {summary}")


@app.command
def why(what: str, *, run: str | None = None, json: Flag = False) -> None:
    """Tell the whole story of a document: every op, its score against the threshold, its fate.

    Parameters
    ----------
    what
        The document's id or its beginning, its path or the end of it, or REPO:PATH.
    run
        The run's folder; the newest below runs/ unless given.
    json
        Prints the stories as JSON.
    """
    from engine.run import Run
    from engine.story import stories

    place = run or _newest_run()
    told = stories(Run(place), what)
    if not told:
        raise Refused(f"no document in {place} has the id or path {what!r}")
    if json:
        print(json_module.dumps([s.as_json() for s in told], indent=1, ensure_ascii=False))
        return
    console = _console()
    colour = {"dropped": "red", "kept": "green", "quarantined": "yellow"}
    for story in told:
        console.print(f"{story.repo_name or ''}:{story.path or ''}", style="bold", highlight=False, markup=False)
        console.print(f"  id {story.id}, stream {story.stream}", style="dim", highlight=False)
        width = max((len(e.step) for e in story.events), default=0)
        for event in story.events:
            style = colour.get(event.fate, "")
            console.print(f"  {event.fate:<11}", style=style, end=" ")
            console.print(
                f"{event.step:<{width}}  {event.detail}".rstrip(), highlight=False, markup=False, soft_wrap=True
            )


@app.command
def forget(
    list: str, run: str, *, on: Literal["ray", "here"] = "here", workers: int | None = None, json: Flag = False
) -> None:
    """Remove from a finished run what a list names, and keep it from coming back.

    Parameters
    ----------
    list
        A file that names accounts, repositories and hashes of files, a line each; see `engine ops opt_out`.
    run
        The run's folder.
    on
        Where the work runs: on Ray or here, without Ray.
    workers
        Workers at a time; as many as there are cores unless given.
    json
        Prints the outcome as JSON, with all documents that were dropped because of one that is gone.
    """
    from engine.forgetting import forget as remove

    with _pool(on, workers) as pool:
        outcome = remove(list, run, pool)
    if json:
        print(json_module.dumps(outcome.as_json(), indent=1, ensure_ascii=False))
        return
    print(f"found {outcome.found:,} documents; {outcome.removed:,} of them were kept, and are removed")
    for place in outcome.deleted:
        print(f"deleted {place}: it held their text")
    for place in outcome.made:
        print(f"made from them, and left as it is: {place}")
    if outcome.orphans:
        print(f"{len(outcome.orphans):,} documents had been dropped because of one that is gone:")
        for row in outcome.orphans[:20]:
            print(f"  {row['repo_name'] or ''}:{row['path'] or row['id']}  ({row['step']})")
        if len(outcome.orphans) > 20:
            print("  ... (all of them with --json)")
    if outcome.orphans or outcome.deleted:
        print(f"regain and make anew what is missing:\n  engine run {run}/recipe.yaml --out {run}")
    for shard in outcome.unread:
        _say(f"{shard} could not be read again: of its texts only those that were kept were looked at for hashes")


# --- what commands share --------------------------------------------------------------------------------------------


@contextmanager
def _pool(on: str, workers: int | None) -> Iterator[Pool]:
    from engine.pool import LocalPool, RayPool

    make: Callable[[int | None], Any] = RayPool if on == "ray" else LocalPool
    pool = make(workers)
    try:
        yield pool
    finally:
        pool.close()


def _console() -> Any:
    from rich.console import Console

    return Console()


def _errors() -> Any:
    from rich.console import Console

    return Console(stderr=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _newest_run() -> str:
    from pathlib import Path

    runs = sorted(Path("runs").glob("*/manifest.json"), key=lambda p: p.stat().st_mtime)
    if not runs:
        raise Refused("there is no run below runs/; name one with --run")
    return str(runs[-1].parent)


def _print_report(report: Report, place: str) -> None:
    from rich.table import Table

    from engine.report import size

    console = _console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    several = len(report.streams) > 1
    for title, right in (
        ("stream", False),
        ("step", False),
        ("in", True),
        ("kept", True),
        ("dropped", False),
        ("s", True),
    ):
        if title != "stream" or several:
            table.add_column(title, justify="right" if right else "left", overflow="fold")
    for step in report.steps:
        reasons = sorted(step.dropped.items(), key=lambda item: (-item[1], item[0]))
        told = ", ".join(f"{count:,} {reason}" for reason, count in reasons)
        if step.quarantined:
            told += f"{', ' if told else ''}{step.quarantined:,} quarantined"
        cells = [step.step, f"{step.rows:,}", f"{step.kept:,}", told, f"{step.seconds:.2f}"]
        table.add_row(*([step.stream] if several else []), *cells)
    console.print(table)
    console.print()
    console.print(
        f"[bold]{report.kept:,}[/bold] of {report.read:,} documents kept, {size(report.text_bytes_kept)} of "
        f"{size(report.text_bytes_read)} of text, in {report.seconds:.1f} s",
        highlight=False,
    )
    if told := report.against_plan():
        console.print(told, highlight=False)
    for alarm in report.alarms():
        console.print(f"! {alarm}", style="yellow", highlight=False)
    console.print(f"\ndocuments  {place}/documents/\nreport     {place}/report.md", highlight=False)
    console.print("\nnext:", highlight=False)
    for line in _next(report, place):
        console.print(f"  {line}", highlight=False, soft_wrap=True, markup=False)


def _next(report: Report, place: str) -> list[str]:
    example = _dropped_path(place)
    return [
        f"engine why {example} --run {place}",
        "engine ops line_length",
        "engine plan recipes/stack.yaml --set streams.code.source.parquet.path=YOUR_DATA/",
    ]


def _dropped_path(place: str) -> str:
    from shlex import quote

    import polars as pl

    from engine.run import Run

    frame = Run(place).ledger.filter(pl.col("path").is_not_null() & pl.col("of").is_not_null()).head(1).collect()
    if not frame.height:
        frame = Run(place).ledger.filter(pl.col("path").is_not_null()).head(1).collect()
    return quote(frame["path"][0]) if frame.height else "PATH"


if __name__ == "__main__":
    main()
