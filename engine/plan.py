"""A recipe laid out as few passes: steps are cut only where all documents must be seen at once.

The sketches of a global op are taken at the end of the pass before it; its verdicts are applied at the start of the
pass after it. Global ops that follow one another share a pass. Measures that a step reads are put in where they are
first needed, and again after a step that changed the text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import xxhash

from engine import catalogue
from engine.op import Filter, Gather, Global, Job, Map, Measure, Op
from engine.recipe import Recipe, Step, Stream
from engine.schema import DOCUMENT
from engine.stage import Stage, Work

FORMAT = 1
"""Raised when what a stage leaves changes its form, so that older stages are not taken for done."""


_LATE = ("sample", "weighted", "decontaminate")
"""Filters that may well stand below near_dedup: chance chooses, or what it drops is in the copies too."""


@dataclass(frozen=True)
class Boundary:
    """Global ops decided between two passes: first the stream's own, then those over all streams together."""

    own: tuple[Work, ...] = ()
    joint: tuple[Work, ...] = ()


@dataclass(frozen=True)
class Chain:
    """The passes of a stream, and the boundary behind each but the last."""

    stream: str
    stages: tuple[Stage, ...]
    boundaries: tuple[Boundary, ...]

    @property
    def origin(self) -> int:
        """The place of the stage where documents begin: the last that gathers, else the first."""
        return max((n for n, stage in enumerate(self.stages) if stage.gathers), default=0)


@dataclass(frozen=True)
class Plan:
    """The passes of a recipe, and the jobs that end it."""

    recipe: Recipe
    chains: tuple[Chain, ...]
    jobs: tuple[Step, ...]

    def bills(self) -> dict[str, list[str]]:
        """For each job that can tell it, what it will cost beside the passes, as lines for people."""
        steps = [*(s for stream in self.recipe.streams for s in stream.steps), *self.recipe.steps]
        above = [s.op for s in steps if not isinstance(s.op, Job)]
        told = {}
        for step in self.jobs:
            assert isinstance(step.op, Job)
            if lines := step.op.bill(above):
                told[step.name] = lines
            above.append(step.op)
        return told

    def warnings(self) -> list[str]:
        """What a person should know before running: steps at a place where they harm."""
        told = []
        for chain in self.chains:
            seen = False
            for stage, boundary in zip(chain.stages, (*chain.boundaries, Boundary()), strict=True):
                late = [w.step for w in stage.steps if isinstance(w.op, Filter) and w.op.name() not in _LATE]
                if seen and late:
                    told.append(
                        f"{chain.stream}: {', '.join(late)} may drop a document after near_dedup dropped others "
                        f"because of it; put {'it' if len(late) == 1 else 'them'} before near_dedup"
                    )
                seen = seen or any(w.op.name() == "near_dedup" for w in (*boundary.own, *boundary.joint))
        return told


def make_plan(recipe: Recipe) -> Plan:
    """The plan of a recipe that has been checked."""
    joint = [_seeded(s, recipe.seed) for s in recipe.steps if not isinstance(s.op, Job)]
    jobs = tuple(_seeded(s, recipe.seed) for s in recipe.steps if isinstance(s.op, Job))
    last = [_seeded(s, recipe.seed) for stream in recipe.streams for s in stream.steps if isinstance(s.op, Job)]
    chains = tuple(_chain(recipe, stream, joint) for stream in recipe.streams)
    return Plan(recipe, chains, (*jobs, *last))


@dataclass
class _Segment:
    steps: list[Step]
    own: list[Step]
    joint: list[Step]
    gather: Step | None = None
    """What makes the segment's documents of the rows of the segment before."""


def _chain(recipe: Recipe, stream: Stream, joint: Sequence[Step]) -> Chain:
    segments = [_Segment([], [], [])]
    own = [_seeded(s, recipe.seed) for s in stream.steps if not isinstance(s.op, Job)]
    for step, together in [*((s, False) for s in own), *((s, True) for s in joint)]:
        at_boundary = segments[-1].own or segments[-1].joint
        if isinstance(step.op, Global):
            if at_boundary and any(isinstance(s.op, Global) and s.op.rule for s in at_boundary):
                # What a rule drops is known only once it has been carried out.
                segments.append(_Segment([], [], []))
            (segments[-1].joint if together else segments[-1].own).append(step)
            continue
        if at_boundary:
            segments.append(_Segment([], [], []))
        if isinstance(step.op, Gather):
            segments.append(_Segment([], [], [], step))
            continue
        segments[-1].steps.append(step)
    if segments[-1].own or segments[-1].joint:
        segments.append(_Segment([], [], []))
    stages: list[Stage] = []
    history: list[Any] = [FORMAT, recipe.seed, stream.name, identity(stream.source, stream.source.where)]
    known = {f.name: f.type for f in DOCUMENT}
    known |= stream.source.writes
    extra = {k: t for k, t in stream.source.writes.items() if k not in DOCUMENT.names}
    text_stage: int | None = None
    for n, segment in enumerate(segments):
        globals_ = [*segment.own, *segment.joint]
        gather, final = segment.gather, n == len(segments) - 1
        then = None if final else segments[n + 1].gather
        if gather:
            known = {f.name: f.type for f in DOCUMENT} | dict(gather.op.contract.writes)
            extra = {k: t for k, t in gather.op.contract.writes.items() if k not in DOCUMENT.names}
            history.append([gather.name, identity(gather.op)])
        ends = [*globals_, then] if then else globals_
        steps = _with_measures(segment.steps, ends, fresh=n == 0, known=known)
        for work in steps:
            if not isinstance(work.op, Measure):
                extra |= {k: t for k, t in work.op.contract.writes.items() if k not in DOCUMENT.names}
        sketches = tuple(Work(s.name, s.op) for s in globals_)
        history += [[w.step, identity(w.op)] for w in (*steps, *sketches)]
        grows = gather is not None or any(_changes_text(w.op) for w in steps)
        if then:
            history.append([then.name, identity(then.op)])
        again = stream.source.rereads and not any(pa.types.is_nested(t) for t in stream.source.writes.values())
        keeps_text = grows or (text_stage is None and not again)
        stages.append(
            Stage(
                number=n + 1,
                stream=stream.name,
                source=stream.source,
                seed=recipe.seed,
                steps=tuple(steps),
                sketches=sketches,
                leaves="documents" if final else "runs" if then else "text" if keeps_text else "rows",
                text_stage=text_stage,
                extra=pa.schema([pa.field(k, t) for k, t in extra.items()]),
                fingerprint=xxhash.xxh3_128_hexdigest(json.dumps(history, sort_keys=True).encode()),
                gathers=Work(gather.name, gather.op) if gather else None,
                gathered_by=Work(then.name, then.op) if then else None,
            )
        )
        if stages[-1].leaves == "text":
            text_stage = n + 1
        for rule in [s.op.rule for s in globals_ if isinstance(s.op, Global) and s.op.rule]:
            known |= rule.contract.writes
            extra |= {k: t for k, t in rule.contract.writes.items() if k not in DOCUMENT.names}
    boundaries = tuple(
        Boundary(tuple(Work(s.name, s.op) for s in g.own), tuple(Work(s.name, s.op) for s in g.joint))
        for g in segments[:-1]
    )
    return Chain(stream.name, tuple(stages), boundaries)


def _seeded(step: Step, seed: int) -> Step:
    """The step, its op's `seed` being the recipe's where it has one and none was given."""
    if getattr(step.op, "seed", seed) is not None:
        return step
    return replace(step, op=step.op.model_copy(update={"seed": seed}))


def _changes_text(op: Op) -> bool:
    """Whether what the op writes lies beside the text in the next pass: text itself, nested columns, new documents."""
    writes = op.contract.writes
    nested = not isinstance(op, Global) and any(pa.types.is_nested(t) for t in writes.values())
    return nested or (isinstance(op, Map) and ("content" in writes or op.contract.many))


def identity(op: Op, leave_out: Iterable[str] = ()) -> list[Any]:
    """What an op's answer depends on: its name, version and parameters, and what it reads besides."""
    known = [op.name(), op.version, {k: v for k, v in op.parameters().items() if k not in set(leave_out)}]
    besides = op.besides()
    return known if besides is None else [*known, besides]


def _with_measures(
    steps: Sequence[Step], ends: Sequence[Step], fresh: bool, known: dict[str, pa.DataType]
) -> list[Work]:
    """The steps with each measure put in before the first that reads it; `known` grows by what they write."""
    measures = catalogue.measures()
    out: list[Work] = []

    def need(column: str) -> None:
        if column in known or column not in measures:
            return
        measure = measures[column]
        for read in measure.contract.reads:
            need(read)
        out.append(Work(f"measure {measure.name()}", measure()))
        known.update(measure.contract.writes)

    for step in [*steps, *ends]:
        for column in step.op.contract.reads:
            need(column)
        if isinstance(step.op, Global | Gather):
            continue
        out.append(Work(step.name, step.op))
        known.update(step.op.contract.writes)
        if "content" in step.op.contract.writes or step.op.contract.many:
            for column in [c for c in known if c in measures]:
                del known[column]
    return out


def limited(plan: Plan, streams: Sequence[str]) -> Plan:
    """The plan of some streams only."""
    return replace(plan, chains=tuple(c for c in plan.chains if c.stream in streams))
