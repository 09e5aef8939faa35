"""Whether the columns that steps read are there, and who would write those that are not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from engine import catalogue
from engine.errors import Mistake
from engine.op import Op
from engine.schema import DOCUMENT
from engine.steps import Use

Chain = tuple[str, ...]
"""A column that a step reads; where a measure would write it, the column that this one reads; and so on to the first
that nothing writes."""


def check_reads(
    sources: Mapping[str, Use | None], steps: Mapping[str, Sequence[Use]], joint: Sequence[Use], wrong: list[Mistake]
) -> None:
    """Adds a mistake for each column that a step reads and no source, earlier step or measure writes."""
    given: dict[str, set[str] | None] = {}
    for stream, source in sources.items():
        given[stream] = _after(source, set(DOCUMENT.names)) if source is not None else None
        for n, use in enumerate(steps[stream]):
            for chain in _lacks(use, given[stream]):
                wrong.append(_mistake(use, chain, (), steps[stream][n + 1 :]))
            given[stream] = _after(use, given[stream])
    for n, use in enumerate(joint):
        lacking: dict[Chain, list[str]] = {}
        for stream, columns in given.items():
            for chain in _lacks(use, columns):
                lacking.setdefault(chain, []).append(stream)
            given[stream] = _after(use, columns)
        for chain, streams in lacking.items():
            wrong.append(_mistake(use, chain, streams if len(streams) < len(given) else (), joint[n + 1 :]))


def missing(column: str, given: set[str], above: Chain = ()) -> Chain | None:
    """How a column leads to one that nothing writes, or None if it is given or measures can make it."""
    if column in given or column in above:
        return None
    chain = (*above, column)
    measure = catalogue.measures().get(column)
    if measure is None:
        return chain
    return next(filter(None, (missing(read, given, chain) for read in measure.contract.reads)), None)


def _lacks(use: Use, given: set[str] | None) -> Iterable[Chain]:
    op = _known(use)
    if op is None or given is None:
        return ()
    return [chain for read in op.contract.reads if (chain := missing(read, given))]


def _after(use: Use, given: set[str] | None) -> set[str] | None:
    """The columns behind a step, among them those that it lacked, told once; None if it might have written any."""
    op = _known(use)
    if op is not None and op.kind() == "gather":
        return {*DOCUMENT.names, *catalogue.written(op)}
    return None if op is None or given is None else {*given, *op.contract.reads, *catalogue.written(op)}


def _known(use: Use) -> Op | type[Op] | None:
    return use.op if use.op is not None else use.cls


def _mistake(use: Use, chain: Chain, streams: Sequence[str], later: Sequence[Use]) -> Mistake:
    *above, column = chain
    by_way = "".join(f"`{c}`, for which the engine measures " for c in above)
    stream = "stream" if len(streams) == 1 else "streams"
    where = f" in {stream} {', '.join(f'`{s}`' for s in streams)}" if streams else ""
    message = f"{use.name} reads {by_way}`{column}`, which no earlier step{where} writes"
    below = next((u.name for u in later if (op := _known(u)) and column in catalogue.written(op)), None)
    writers = " or ".join(f"`{name}`" for name in catalogue.writers(column))
    if below:
        hint = f"`{below}` writes it; move it above this step"
    elif writers:
        hint = f"{writers} writes it; put it above this step"
    else:
        hint = "; ".join(["no op writes it", *catalogue.broken().values()])
    return use.key.mistake(message, hint)
