"""The command line: the only file that prints, colours and chooses exit codes.

0: done; 1: failed in a run; 2: refused before it. stdout is the answer, stderr the progress. What a command needs is
imported when it runs: `engine --help` loads neither Arrow nor polars.
"""

from __future__ import annotations

import errno
import gc
import json as json_module
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter

from engine import memory
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
    memory.keep_freed()
    # Modules stay as long as the process: to look for cycles among them again and again is a tenth of a start.
    gc.disable()
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
    plan.bills()  # a job that cannot run behind these steps is told now, not after them
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    gc.enable()
    place = out or f"runs/{plan.recipe.name}"
    for warning in plan.warnings():
        _say(f"warning: {warning}")
    for left in plan.recipe.skipped:
        _say(left.told())
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
    from engine.html_report import write_html

    with _pool(on, workers) as pool:
        outcome = remove(list, run, pool)
    write_html(run)
    if json:
        print(json_module.dumps(outcome.as_json(), indent=1, ensure_ascii=False))
        return
    print(f"documents on the list: {outcome.found:,}; kept until now, and removed: {outcome.removed:,}")
    for place in outcome.deleted:
        print(f"deleted {place}: it held their text")
    for place in outcome.made:
        print(f"made from them, and left as it is: {place}")
    if outcome.orphans:
        print(f"dropped before because of one that is gone: {len(outcome.orphans):,}")
        for row in outcome.orphans[:20]:
            print(f"  {row['repo_name'] or ''}:{row['path'] or row['id']}  ({row['step']})")
        if len(outcome.orphans) > 20:
            print("  ... (all of them with --json)")
    if outcome.orphans or outcome.deleted:
        print(f"regain and make anew what is missing:\n  engine run {run}/recipe.yaml --out {run}")
    for shard in outcome.unread:
        _say(f"{shard} could not be read again: of its texts only those that were kept were looked at for hashes")


@app.command
def preview(
    recipe: str,
    *,
    stream: str | None = None,
    count: Annotated[int, Parameter(name=["--count", "-n"])] = 5,
    set: Settings = None,
    json: Flag = False,
) -> None:
    """Try a recipe on a few documents: what each step drops and why, and what it changes.

    A few hundred are read from across the input; those are shown that fare differently. Nothing is written.

    Parameters
    ----------
    recipe
        The recipe's YAML file.
    stream
        The stream to look at; all of them unless given.
    count
        Documents to show of each stream.
    set
        Replaces one value, as for `run`; may be repeated.
    json
        Prints the documents and what each step did as JSON.
    """
    from engine import preview as previews
    from engine import terminal
    from engine.plan import make_plan
    from engine.recipe import load

    made = make_plan(load(recipe, set or []))
    for left in made.recipe.skipped:
        _say(left.told())
    documents = previews.preview(made, stream, count)
    if json:
        _print_json([document.as_json() for document in documents])
    elif documents:
        _print_all(terminal.preview(documents))
    else:
        _say("no document was read")


@app.command
def report(run: str | None = None, *, json: Flag = False) -> None:
    """Show what a run did, and make its page report.html anew.

    Parameters
    ----------
    run
        The run's folder; the newest below runs/ unless given.
    json
        Prints the report as JSON.
    """
    from engine.html_report import write_html
    from engine.report import Report
    from engine.run import Run

    place = Run(run or _newest_run()).path
    write_html(place)
    made = Report.load(place)
    if json:
        _print_json(made.as_json())
    else:
        _print_report(made, place)


@app.command
def diff(first: str, second: str, *, json: Flag = False) -> None:
    """Compare two runs: which documents entered, left and changed, by which op, in which language.

    Parameters
    ----------
    first
        The folder of a run.
    second
        The folder of the run that is compared with it.
    json
        Prints the difference as JSON.
    """
    from engine import terminal
    from engine.difference import difference
    from engine.run import Run

    found = difference(Run(first), Run(second))
    if json:
        _print_json(found.as_json())
    else:
        _print_all(terminal.difference(found))


@app.command
def whatif(run: str, *settings: str, json: Flag = False) -> None:
    """Tell what other parameters of filters would keep and drop, without running anything.

    Exact for filters, from the measures that a run keeps of every document. What an op that looks at all documents
    would say then is not decided again.

    Parameters
    ----------
    run
        The run's folder.
    settings
        What to change, as in line_length.longest=500 alphanumeric.at_least=0.3; STREAM.STEP.NAME=VALUE for one stream.
    json
        Prints the outcome as JSON.
    """
    from engine import terminal
    from engine.run import Run
    from engine.whatif import whatif as ask

    if not settings:
        raise Refused("say what to change, as in: engine whatif RUN line_length.longest=500")
    outcome = ask(Run(run), settings)
    if json:
        _print_json(outcome.as_json())
    else:
        _print_all(terminal.whatif(outcome))


@app.command
def tokens(
    run: str | None = None,
    *,
    sample: int = 0,
    split: str = "train",
    fim: float = 0.5,
    seed: int = 0,
    epoch: int = 0,
    all: Flag = False,
    json: Flag = False,
) -> None:
    """Show a packed sample: its tokens, special tokens, documents, and what fill-in-the-middle makes of it.

    Parameters
    ----------
    run
        The run's folder, or a folder of token shards; the newest run below runs/ unless given.
    sample
        The number of the sample, from 0 on.
    split
        `train`, or `validation` if `pack` kept one out.
    fim
        How likely a document is permuted for fill-in-the-middle.
    seed
        The seed of training, which decides what is permuted.
    epoch
        The epoch of training, in each of which something else is permuted.
    all
        Shows long documents whole, not their beginnings and ends.
    json
        Prints the documents with their texts before and after as JSON.
    """
    from importlib import import_module

    from engine import token_view

    place = run or _newest_run()
    folder = token_view.token_folder(place)
    # The engine knows the reader of samples by its name only: what learns from them is another room.
    model = import_module("model.loader")
    reader = model.reader(folder, split, fim, seed)
    if json:
        _print_json([part.as_json() for part in token_view.seen(reader, sample, epoch, place)])
    else:
        _print_all(token_view.view(reader, sample, epoch, place, all))


@app.command
def doctor(place: str = "runs", *, json: Flag = False) -> None:
    """Look at this machine: versions, memory, disk, compiled kernels, Ray; and say what to do.

    Parameters
    ----------
    place
        The folder below which runs will be written.
    json
        Prints the findings as JSON.
    """
    from engine import terminal
    from engine.doctor import examine

    findings = examine(place)
    if json:
        _print_json([finding.as_json() for finding in findings])
    else:
        _print_all(terminal.doctor(findings))
    if any(finding.level == "wrong" for finding in findings):
        sys.exit(1)


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


def _print_json(value: Any) -> None:
    print(json_module.dumps(value, indent=1, ensure_ascii=False))


def _print_all(shown: Iterable[Any]) -> None:
    console = _console()
    for part in shown:
        console.print(part, highlight=False, soft_wrap=not hasattr(part, "columns"))


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
    for title, right in (("step", False), ("in", True), ("kept", True), ("dropped", False), ("s", True)):
        table.add_column(title, justify="right" if right else "left", overflow="fold")
    stream = ""
    for step in report.steps:
        if several and step.stream != stream:
            stream = step.stream
            table.add_row(stream, style="bold")
        reasons = sorted(step.dropped.items(), key=lambda item: (-item[1], item[0]))
        told = ", ".join(f"{count:,} {reason}" for reason, count in reasons)
        if step.quarantined:
            told += f"{', ' if told else ''}{step.quarantined:,} quarantined"
        cells = [step.step, f"{step.rows:,}", f"{step.kept:,}", told, f"{step.seconds:.2f}"]
        table.add_row(f"  {cells[0]}" if several else cells[0], *cells[1:])
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
    for left in (*report.origins(), *report.left_out()):
        console.print(left, style="dim", highlight=False, soft_wrap=True, markup=False)
    console.print(
        f"\ndocuments  {place}/documents/\nreport     {place}/report.html\n           {place}/report.md",
        highlight=False,
    )
    console.print("\nnext:", highlight=False)
    for line in _next(report, place):
        console.print(f"  {line}", highlight=False, soft_wrap=True, markup=False)


def _next(report: Report, place: str) -> list[str]:
    example = _dropped_path(place)
    return [
        f"engine why {example} --run {place}",
        *([f"engine tokens {place}"] if "pack" in report.jobs else []),
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
