"""What other thresholds would keep and drop, told from `measures/` without running anything again.

Exact for filters. What an op that looks at all documents would say of a changed corpus is not known: documents that it
dropped stay dropped, and those that would newly come to it are counted apart, as undecided.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine import recipe as recipes
from engine import storage
from engine.columns import one_array
from engine.digest import chances
from engine.errors import Refused, RunError, did_you_mean
from engine.judging import Stop, course, figures, judge
from engine.op import Filter, Map, Op, Reasons, parameter_names
from engine.plan import make_plan
from engine.pool import cores
from engine.recipe import Recipe
from engine.run import Run
from engine.steps import STREAM

EXAMPLES = 5
"""Documents that are named of each kind."""
KINDS = ("leave", "enter", "undecided")
"""`leave`: kept by the run, and would be dropped. `enter`: the other way. `undecided`: dropped by a filter of the run,
and would come to a step that is not decided again."""


@dataclass
class StepOutcome:
    """What a step drops in the run and would drop, and how many documents would newly come to it undecided."""

    stream: str
    step: str
    changed: bool
    decided: bool = True
    """False for a step behind a changed one that cannot be judged again."""
    then: int = 0
    now: int = 0
    undecided: int = 0


@dataclass
class Volume:
    """Documents of each kind, and their bytes as they were read."""

    kept: int = 0
    kept_bytes: int = 0
    leave: int = 0
    leave_bytes: int = 0
    enter: int = 0
    enter_bytes: int = 0
    undecided: int = 0
    undecided_bytes: int = 0

    def add(self, kind: str, documents: int, size: int) -> None:
        """Counts documents of a kind and their bytes."""
        setattr(self, kind, getattr(self, kind) + documents)
        setattr(self, f"{kind}_bytes", getattr(self, f"{kind}_bytes") + size)


@dataclass(frozen=True)
class Example:
    """A document whose fate would change, the step that makes the difference, and its figures there."""

    id: str
    path: str | None
    repo_name: str | None
    step: str
    detail: str


@dataclass
class Outcome:
    """What settings would change in a run."""

    settings: tuple[str, ...]
    steps: list[StepOutcome]
    total: Volume = field(default_factory=Volume)
    languages: dict[str, Volume] = field(default_factory=dict)
    examples: dict[str, list[Example]] = field(default_factory=dict)
    """By kind, those first by chance."""

    @property
    def kept(self) -> int:
        """Documents that would be kept, without those that are undecided."""
        return self.total.kept - self.total.leave + self.total.enter

    def as_json(self) -> dict[str, Any]:
        """The outcome as plain values."""
        return asdict(self) | {"kept": self.kept}


def whatif(run: Run, settings: Sequence[str]) -> Outcome:
    """What the run would keep and drop with other parameters of its filters, as in `line_length.longest=500`.

    Raises Refused where a setting names no step, no parameter or no filter that `measures/` can judge.
    """
    recipe = recipes.load(storage.join(run.path, "recipe.yaml"))
    full = [place for setting in settings for place in _places(recipe, setting)]
    changed = _changed_ops(recipe, recipes.load(storage.join(run.path, "recipe.yaml"), full))
    dropped = {(s["stream"], s["step"]): sum(s["dropped"].values()) for s in run.report["steps"]}
    steps: list[StepOutcome] = []
    ways: dict[str, _Way] = {}
    for chain in make_plan(recipe).chains:
        own = {step: op for (stream, step), op in changed.items() if stream == chain.stream}
        way = ways[chain.stream] = _Way(course(chain), own, len(chain.stages))
        way.check()
        for step in way.outcomes(chain.stream):
            step.then = step.now = dropped.get((chain.stream, step.step), 0)
            steps.append(step)
    outcome = Outcome(tuple(settings), steps)
    places = {(s.stream, s.step): s for s in steps}
    found: dict[str, list[tuple[float, Example]]] = {kind: [] for kind in KINDS}
    with ThreadPoolExecutor(cores()) as threads:
        for tally in threads.map(lambda shard: _tally(ways[shard.stream], shard, recipe.seed), _shards(run, ways)):
            tally.enter(outcome, places)
            for kind, examples in tally.examples.items():
                found[kind] = heapq.nsmallest(EXAMPLES, found[kind] + examples, key=lambda e: (e[0], e[1].id))
    outcome.languages = dict(sorted(outcome.languages.items(), key=lambda item: (-item[1].kept_bytes, item[0])))
    outcome.examples = {kind: [example for _, example in examples] for kind, examples in found.items()}
    return outcome


# --- settings -----------------------------------------------------------------------------------------------------


def _places(recipe: Recipe, setting: str) -> list[str]:
    """The setting as `--set` takes it: `STEP.param=value` stands for that step in every stream that has it."""
    key, equals, value = setting.partition("=")
    names = [part.strip() for part in key.split(".")]
    if not equals or names[0] in ("streams", "steps", "source", "seed", "name"):
        return [setting]
    streams = {stream.name for stream in recipe.streams}
    wanted = names.pop(0) if names[0] in streams and len(names) > 2 else None
    known: dict[str, Op] = {}
    places = []
    for prefix, stream, step, op in _steps(recipe):
        known[step] = op
        if step == names[0] and wanted in (None, stream):
            places.append(f"{prefix}.{'.'.join(names)}={value}")
    if not places:
        hint = f"\nsteps: {', '.join(known)}"
        raise Refused(f"this run has no step `{names[0]}`{did_you_mean(names[0], known)}{hint}")
    if len(names) < 2:
        parameters = ", ".join(parameter_names(type(known[names[0]]))) or "none"
        raise Refused(f"say which parameter of `{names[0]}`, as in {names[0]}.NAME={value}; it has: {parameters}")
    return places


def _steps(recipe: Recipe) -> Iterator[tuple[str, str | None, str, Op]]:
    """For each step where `--set` finds it, its stream (None for steps over all streams), its name and its op."""
    alone = len(recipe.streams) == 1 and recipe.streams[0].name == STREAM and not recipe.steps
    for stream in recipe.streams:
        prefix = "steps" if alone else f"streams.{stream.name}.steps"
        for step in stream.steps:
            yield prefix, stream.name, step.name, step.op
    for step in recipe.steps:
        yield "steps", None, step.name, step.op


def _changed_ops(old: Recipe, new: Recipe) -> dict[tuple[str, str], Op]:
    """By stream and step the ops whose parameters differ; raises Refused where more than that does."""
    before, after = list(_steps(old)), list(_steps(new))
    same = [(s, n, type(op)) for _, s, n, op in before] == [(s, n, type(op)) for _, s, n, op in after]
    if not same or old.seed != new.seed or [s.source for s in old.streams] != [s.source for s in new.streams]:
        raise Refused(
            "only parameters of filters can be asked about, as in line_length.longest=500; run the rest again"
        )
    changed = {}
    for (_, stream, step, was), (_, _, _, op) in zip(before, after, strict=True):
        if was != op:
            changed |= {(name, step): op for name in ([stream] if stream else [s.name for s in old.streams])}
    return changed


# --- one stream, one shard ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Way:
    """The steps of a stream, and by name the ops in place of those that are asked about."""

    stops: Sequence[Stop]
    changed: Mapping[str, Op]
    passes: int

    def check(self) -> None:
        for stop in self.stops:
            if stop.step in self.changed and stop.blind:
                raise Refused(
                    f"{stop.step} cannot be judged again from measures/: {stop.blind}; to see what it would do, run "
                    "the recipe with --set into another folder and compare: engine diff RUN RUN"
                )

    def outcomes(self, stream: str) -> list[StepOutcome]:
        behind, told = False, []
        for stop in self.stops:
            if not isinstance(stop.op, Map) or stop.op.contract.many:
                told.append(StepOutcome(stream, stop.step, stop.step in self.changed, not (behind and stop.blind)))
            behind = behind or stop.step in self.changed
        return told


@dataclass(frozen=True)
class _Shard:
    stream: str
    roll: str
    lost: Sequence[str]
    """The files of ledger and quarantine about the shard's documents."""


def _shards(run: Run, ways: Mapping[str, _Way]) -> Iterator[_Shard]:
    urls = {
        kind: dict(zip((f["name"] for f in run.manifest[kind]), run.files(kind), strict=True))
        for kind in ("measures", "ledger", "quarantine")
    }
    for name, url in urls["measures"].items():
        stem = name.removesuffix(".parquet")
        stream = stem.split("-")[0]
        numbered = [f"{stem}-{n + 1}.parquet" for n in range(ways[stream].passes)]
        files = (urls[kind].get(n) for kind in ("ledger", "quarantine") for n in numbered)
        yield _Shard(stream, url, [f for f in files if f])


@dataclass
class _Tally:
    stream: str
    more: dict[str, int] = field(default_factory=dict)
    """By step the documents that it would drop beyond those that it drops, which may be less than none."""
    undecided: dict[str, int] = field(default_factory=dict)
    volumes: list[tuple[str, str, int, int]] = field(default_factory=list)
    """Language, kind, documents, bytes."""
    examples: dict[str, list[tuple[float, Example]]] = field(default_factory=dict)

    def enter(self, outcome: Outcome, places: Mapping[tuple[str, str], StepOutcome]) -> None:
        for step in (s for s in self.more if (self.stream, s) in places):
            place = places[self.stream, step]
            place.now += self.more[step]
            place.undecided += self.undecided[step]
        for language, kind, documents, size in self.volumes:
            outcome.total.add(kind, documents, size)
            outcome.languages.setdefault(language, Volume()).add(kind, documents, size)


def _tally(way: _Way, shard: _Shard, seed: int) -> _Tally:
    with storage.open_read(shard.roll) as file:
        parquet = pq.ParquetFile(file)
        names = {n for stop in way.stops for n in (*stop.op.contract.reads, *stop.op.contract.writes)}
        names |= {"id", "path", "repo_name", "language", "length_bytes"}
        table = parquet.read([n for n in parquet.schema_arrow.names if n in names])
    roll = pa.RecordBatch.from_arrays([one_array(c) for c in table.columns], names=table.column_names)
    then, gone = _fates(way.stops, shard, roll)
    replay = _replay(way, roll, then, gone)
    tally = _Tally(shard.stream)
    for k, stop in enumerate(way.stops):
        ends, drops = replay.fate == k, (then == k) & ~gone
        broken = gone & (then == k)
        tally.more[stop.step] = int((ends & ~replay.undecided & ~broken).sum() - drops.sum())
        tally.undecided[stop.step] = int((ends & replay.undecided).sum())
    end = len(way.stops)
    kept, keeps = then == end, (replay.fate == end) & ~replay.undecided
    masks = {"kept": kept, "leave": kept & ~keeps, "enter": ~kept & keeps, "undecided": replay.undecided}
    draws = chances(roll.column("id"), seed, "whatif")
    for kind, mask in masks.items():
        tally.volumes += _volumes(roll, kind, mask)
        if kind == "kept":
            continue
        rows = np.flatnonzero(mask)
        rows = rows[np.argsort(draws[rows], kind="stable")][:EXAMPLES]
        decisive = replay.fate if kind == "leave" else then
        tally.examples[kind] = [(float(draws[n]), _example(way, roll, replay, int(n), int(decisive[n]))) for n in rows]
    return tally


def _fates(stops: Sequence[Stop], shard: _Shard, roll: pa.RecordBatch) -> tuple[Any, Any]:
    """For each document the place of the step that dropped it, past the last if none; and whether it broke there."""
    places = {stop.step: n for n, stop in enumerate(stops)}
    then, gone = np.full(roll.num_rows, len(stops)), np.zeros(roll.num_rows, bool)
    for url in shard.lost:
        table = storage.read_parquet(url)
        # A source enters what never became a document, and rows whose document another row is.
        table = table.filter(pc.is_in(table.column("step"), pa.array(list(places), table.schema.field("step").type)))
        rows = pc.index_in(one_array(table.column("id")), value_set=roll.column("id"))
        known = np.asarray(rows.is_valid())
        at = np.asarray(rows.fill_null(0))[known]
        then[at] = np.array([places[str(s)] for s in table.column("step").to_pylist()], np.int64)[known]
        gone[at] = "error" in table.schema.names
    return then, gone


@dataclass
class _Replay:
    fate: Any
    """For each document the place of the step where it would end, past the last if it would be kept."""
    undecided: Any
    verdicts: dict[int, Reasons[Any]]


def _replay(way: _Way, roll: pa.RecordBatch, then: Any, gone: Any) -> _Replay:
    """The way of a shard's documents again, with the changed ops."""
    fate, undecided = np.full(roll.num_rows, len(way.stops)), np.zeros(roll.num_rows, bool)
    alive, verdicts = np.ones(roll.num_rows, bool), {}
    for k, stop in enumerate(way.stops):
        lost, new = alive & (then == k), alive & (then < k)
        op = way.changed.get(stop.step)
        if isinstance(stop.op, Filter) and not stop.blind and (op is not None or new.any()):
            verdicts[k] = _judged(stop, roll, stop.op)
            fails = verdicts[k].codes() >= 0
            _check_reproduced(stop, fails, then, gone, k)
            if op is not None:
                verdicts[k] = _judged(stop, roll, op)
                lost = alive & ((verdicts[k].codes() >= 0) | (gone & (then == k)))
            else:
                lost |= new & fails
        elif new.any() and not (isinstance(stop.op, Map) and not stop.op.contract.many):
            undecided |= new
            fate[new] = k
            alive &= ~new
        fate[lost] = k
        alive &= ~lost
    return _Replay(fate, undecided, verdicts)


def _judged(stop: Stop, roll: pa.RecordBatch, op: Op) -> Reasons[Any]:
    try:
        return judge(stop, roll, op)
    except ValueError as error:
        raise Refused(
            f"{stop.step} would write another `{error}`, which later steps may read; run the recipe with --set instead"
        ) from None


def _check_reproduced(stop: Stop, fails: Any, then: Any, gone: Any, k: int) -> None:
    """Raises RunError where the op of the run, judged again, says otherwise than the run did."""
    came = (then > k) | ((then == k) & ~gone)
    if (fails[came] != (then[came] == k)).any():
        raise RunError(
            f"{stop.step} does not judge as it did in this run: has the op changed since? run the recipe again"
        )


def _volumes(roll: pa.RecordBatch, kind: str, mask: Any) -> list[tuple[str, str, int, int]]:
    rows = pa.table({n: roll.column(n) for n in ("language", "length_bytes")}).filter(pa.array(mask))
    sums = rows.group_by("language").aggregate([("length_bytes", "sum"), ([], "count_all")])
    columns = (sums.column(n).to_pylist() for n in ("language", "count_all", "length_bytes_sum"))
    return [(language or "", kind, count, size or 0) for language, count, size in zip(*columns, strict=True)]


def _example(way: _Way, roll: pa.RecordBatch, replay: _Replay, row: int, at: int) -> Example:
    told = figures(replay.verdicts[at], row) if at in replay.verdicts else []
    detail = ", ".join(str(f) for f in [f for f in told if f.failed] or told)
    name, path, repo = (roll.column(c)[row].as_py() for c in ("id", "path", "repo_name"))
    return Example(name, path, repo, way.stops[at].step, detail)
