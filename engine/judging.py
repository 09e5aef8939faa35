"""Filters judged again on measures alone, and their figures told.

`measures/` holds all columns but the text, of every document read. A filter may be judged on it where every column
that it reads stands there as it stood when the filter ran: a filter that reads the text, a measure taken again of
changed text or a column that a later step overwrote cannot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa

from engine.op import Filter, Global, Map, Measure, Op, Reasons
from engine.plan import Chain

_OPPOSITE = {"<=": ">", ">=": "<", ">": "<=", "<": ">="}


@dataclass(frozen=True)
class Figure:
    """What a filter judged a document by: `sign` stands between score and bound as they are."""

    reason: str
    score: float
    sign: str
    bound: float
    failed: bool

    def __str__(self) -> str:
        return f"{self.reason}: {number(self.score)} {self.sign} {number(self.bound)}"


def number(value: float) -> str:
    """A figure for people: `1,202`, `0.3571`."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"


def figures(verdict: Reasons[Any], row: int) -> list[Figure]:
    """The figures of one row, for those of a filter's checks that have a score and a bound."""
    found = []
    for reason, check in verdict.checks.items():
        if check.score is None or check.bound is None:
            continue
        score = check.score[row].as_py()
        bound = check.bound[row].as_py() if isinstance(check.bound, pa.Array) else check.bound
        if score is None or bound is None:
            continue
        fails = bool(check.failed[row].as_py())
        found.append(Figure(reason, score, _OPPOSITE.get(check.sign, "") if fails else check.sign, bound, fails))
    return found


@dataclass(frozen=True)
class Stop:
    """A step on the way of a stream's documents; `blind` says why measures cannot judge it, empty where they can."""

    step: str
    op: Op
    blind: str = ""


class _Step(NamedTuple):
    step: str
    op: Op
    first: bool
    """Whether it belongs to the pass whose roll `measures/` is."""


def course(chain: Chain) -> list[Stop]:
    """The steps that a stream's documents meet after the source, in their order."""
    steps = [
        _Step(work.step, work.op, n == chain.origin)
        for n, stage in enumerate(chain.stages)
        if n >= chain.origin
        for work in (*stage.steps, *stage.sketches)
    ]
    # Rows that were dropped stay with the others up to here, and all is known of them.
    together = next((n for n, s in enumerate(steps) if not (s.first and _stays_together(s.op))), len(steps))
    before = [work for stage in chain.stages[: chain.origin] for work in (*stage.steps, *stage.sketches)]
    return [
        *(
            Stop(w.step, w.op, "it judges rows before they are gathered")
            for w in before
            if not isinstance(w.op, Measure)
        ),
        *(
            Stop(s.step, s.op, _why_blind(steps, n, together))
            for n, s in enumerate(steps)
            if not isinstance(s.op, Measure)
        ),
    ]


def _stays_together(op: Op) -> bool:
    """Whether dropped rows may pass through the op with the others: it sees whole columns and leaves the text alone."""
    if not isinstance(op, Filter | Map):
        return False
    return op.contract.columns and "content" not in op.contract.writes and not op.contract.many


def _why_blind(steps: list[_Step], at: int, together: int) -> str:
    op = steps[at].op
    if not isinstance(op, Filter):
        return "it is no filter" if isinstance(op, Map) else "it looks at all documents at once"
    if op.forgets:
        return "nothing is kept of what it drops"
    for column, kind in op.contract.reads.items():
        if column == "content":
            return "it reads the text itself"
        writers = [n for n, s in enumerate(steps) if column in _written(s.op)]
        before = [n for n in writers if n < at]
        if any(isinstance(steps[n].op, Measure) for n in writers):
            # Of a measure that is taken again, measures/ holds the first.
            known = len(before) == 1 and before[0] < together
        else:
            known = all(n < min(at, together) for n in writers if steps[n].first or n < at)
        if not known or pa.types.is_nested(kind):
            return f"measures/ does not hold `{column}` as it saw it"
    return ""


def _written(op: Op) -> set[str]:
    """The columns that documents have otherwise after the op."""
    if isinstance(op, Global):
        return _written_by(op.rule) if op.rule else set()
    return _written_by(type(op))


def _written_by(op: type[Op]) -> set[str]:
    writes = set(op.contract.writes)
    return writes | ({"length_bytes"} if "content" in writes else set()) | ({"id"} if op.contract.many else set())


def judge(stop: Stop, roll: pa.RecordBatch, op: Op | None = None) -> Reasons[Any]:
    """The verdict of a step, or of `op` in its place, on documents of `measures/`.

    Raises ValueError where the filter writes other columns than it did in the run: later steps would see these.
    """
    judged = op or stop.op
    assert isinstance(judged, Filter)
    written, verdict = judged.judge(roll)
    for column in judged.contract.writes:
        if column in roll.schema.names and not written.column(column).equals(roll.column(column)):
            raise ValueError(column)
    return verdict
