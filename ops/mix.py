"""The mixture: how much of each language and stream goes into the corpus."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeInt, model_validator

from engine.columns import one_array
from engine.digest import chances
from engine.op import Exchange, Filter, Global, Map, Reasons, absent, fail, reasons
from engine.schema import TEXT, Integers, Numbers, Strings

pc: Any = pyarrow.compute

BINS = 512
"""Parts of the draws by which bytes are counted first; only the documents of one part are then looked at singly."""
_UNITS = {"": 1, "b": 1} | {f"{u}b": 1000 ** (n + 1) for n, u in enumerate("kmgt")}
_UNITS |= {f"{u}ib": 1024 ** (n + 1) for n, u in enumerate("kmgt")}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*(%|[kmgt]?i?b?)", re.IGNORECASE)


def amount(told: str | int) -> tuple[int | None, float]:
    """The bytes that `1GB` or `500` says, or None and the share that `40%` says."""
    match = _AMOUNT.fullmatch(str(told).strip())
    if match and match[2] == "%" and 0 < float(match[1]) <= 100:
        return None, float(match[1]) / 100
    if match is None or match[2].lower() not in _UNITS:
        raise ValueError("an amount is bytes, as in 500, 1GB or 2.5 GiB, or a share of the mixture, as in 40%")
    return int(float(match[1]) * _UNITS[match[2].lower()]), 0.0


def _checked(told: str | int) -> str | int:
    amount(told)
    return told


Amount = Annotated[str | int, AfterValidator(_checked)]


class Group(BaseModel):
    """What becomes of the documents of one name: `copies` of each, and one more of those drawn below `more_below`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    documents: NonNegativeInt = 0
    bytes: NonNegativeInt = 0
    target: NonNegativeInt | None = None
    copies: NonNegativeInt = 1
    more_below: float = 0.0
    documents_kept: NonNegativeInt = 0
    bytes_kept: NonNegativeInt = 0
    bytes_repeated: NonNegativeInt = 0


class Repeats(TypedDict):
    """How often the document is to be read in training."""

    repeats: Integers


def groups_of(names: list[str], stream: pa.Array, language: pa.Array) -> pa.Array:
    """For each document the place of its group among the names: its stream's, else its language's; null if neither."""
    known = pa.array(names, TEXT)
    return pc.coalesce(*(pc.index_in(c.cast(TEXT), value_set=known) for c in (stream, language)))


class Weighted(Filter):
    """Keeps and repeats documents as `mix` has settled; a recipe that names it repeats an earlier mixture.

    Example:
        - weighted: {groups: {json: {copies: 0, more_below: 0.18}}}
    """

    groups: dict[str, Group]
    """By the name of a stream or language what becomes of its documents."""
    seed: NonNegativeInt | None = None
    """What chance is made of beside a document's id; the recipe's seed unless given."""

    def drop(self, id: Strings, stream: Strings, language: Strings) -> tuple[Repeats, Reasons[Literal["over_weight"]]]:
        names = list(self.groups)
        group = groups_of(names, stream, language).fill_null(len(names))
        copies = np.array([*(self.groups[n].copies for n in names), 1])[group]
        below = np.array([*(self.groups[n].more_below for n in names), 0.0])[group]
        repeats = copies + (chances(id, self.seed or 0, "mix") < below) if len(id) else copies
        return {"repeats": pa.array(repeats, pa.int64())}, reasons(over_weight=absent(pa.array(repeats == 0)))


class MixSketch(TypedDict):
    """A document's bytes, its draw, and which of the names given it goes under."""

    group: Integers
    bytes: Integers
    draw: Numbers


class Mix(Global):
    """Bring languages and streams to their weights, and leave all others as they are.

    A name is a stream's or a language's; a document goes under its stream if that is named, else under its language.
    What exceeds a cap is dropped; a weight is met either way: by dropping, or by repeating. Nothing is copied: the
    column `repeats` says how often a document is to be read. Amounts are bytes of text (`1GB` is 10^9) or shares of the
    whole mixture (`40%`).

    Which documents stay is a matter of chance made of their ids: in the order of the draw, as many as the bytes allow.
    So another order, or more input, draws from the same row. What each name had and got stands in the report.

    Example:
        - mix: {caps: {json: 1GB, yaml: 1GB, css: 3GB}}

    Reference:
        Li et al. 2023, StarCoder, https://arxiv.org/abs/2305.06161, section 3.9
    """

    caps: dict[str, Amount] = Field(default_factory=dict)
    """At most this of a stream or language."""
    weights: dict[str, Amount] = Field(default_factory=dict)
    """This of a stream or language, whatever there is of it."""
    seed: NonNegativeInt | None = None
    """What chance is made of beside a document's id; the recipe's seed unless given."""

    reasons: ClassVar[tuple[str, ...]] = ("over_weight",)
    rule: ClassVar[type[Filter] | type[Map] | None] = Weighted

    @model_validator(mode="after")
    def _said_once(self) -> Mix:
        if twice := sorted({*self.caps} & {*self.weights}):
            raise ValueError(f"{', '.join(twice)} has a cap and a weight; give it one of them")
        told = sum(amount(a)[1] for a in self.weights.values())
        if told > 1:
            raise ValueError(f"the weights add up to {told:.0%} of the mixture")
        return self

    @property
    def names(self) -> list[str]:
        """The streams and languages named."""
        return sorted({*self.caps, *self.weights})

    def sketch(self, id: Strings, stream: Strings, language: Strings, length_bytes: Integers) -> MixSketch:
        group = groups_of(self.names, stream, language).fill_null(len(self.names)).cast(pa.int64())
        return {"group": group, "bytes": length_bytes, "draw": pa.array(chances(id, self.seed or 0, "mix"))}

    def settle(self, exchange: Exchange) -> Weighted:
        shards = list(range(len(exchange.sketches.shards)))
        names = [*self.names, ""]
        counts = np.zeros((len(names), BINS, 2), np.int64)
        for cells, found in exchange.map(functools.partial(_counted, exchange.sketches, len(names)), shards):
            np.add.at(counts.reshape(-1, 2), cells, found)
        documents, volumes = counts.sum(1).T
        sizes = {name: int(volume) for name, volume in zip(names, volumes, strict=True)}
        try:
            aims = targets(sizes, self.caps, self.weights)
        except ValueError as error:
            raise fail(self, str(error)) from None
        wanted: dict[int, int] = {}
        """Of each group that is cut within a part of the draws, this part."""
        rest: dict[int, int] = {}
        for n, name in enumerate(names):
            if aims[name] != sizes[name]:
                rest[n] = aims[name] % sizes[name]
                wanted[n] = int(np.searchsorted(counts[n, :, 1].cumsum(), rest[n], side="right"))
        singles = exchange.map(functools.partial(_singles, exchange.sketches, wanted), shards) if wanted else []
        groups = {}
        for n, name in enumerate(names):
            size, copies, below, more, extra = sizes[name], 1, 0.0, 0, 0
            if n in wanted:
                copies, before = aims[name] // size, counts[n, : wanted[n]].sum(0)
                below, more, extra = _cut([s[n] for s in singles], wanted[n], rest[n] - int(before[1]))
                more, extra = more + int(before[0]), extra + int(before[1])
            groups[name] = Group(
                documents=int(documents[n]),
                bytes=size,
                target=aims[name] if name in self.caps or name in self.weights else None,
                copies=copies,
                more_below=below,
                documents_kept=int(documents[n]) if copies else more,
                bytes_kept=size if copies else extra,
                bytes_repeated=copies * size + extra,
            )
        return Weighted(groups=groups, seed=self.seed)


def targets(sizes: Mapping[str, int], caps: Mapping[str, Amount], weights: Mapping[str, Amount]) -> dict[str, int]:
    """The bytes that each group is to have, its size where nothing is said of it or it has no bytes.

    Shares are of the mixture that results: the total is what has no share, over what the shares leave. A cap that is a
    share counts as one where the group exceeds it. Raises ValueError where shares leave nothing for what has none.
    """
    fixed, shares, limits = dict(sizes), {}, {}
    for name, (told, share) in ((n, amount(a)) for n, a in (*caps.items(), *weights.items())):
        if not sizes[name]:
            continue
        if told is not None:
            fixed[name] = min(told, sizes[name]) if name in caps else told
        elif name in caps:
            limits[name] = share
        else:
            shares[name] = share
    while True:
        free, without = 1 - sum(shares.values()), sum(v for n, v in fixed.items() if n not in shares)
        if free > 1e-9:
            total = without / free
        elif without:
            raise ValueError(
                f"{', '.join(sorted(shares))} are to be all of the mixture, and nothing is left for the rest"
            )
        else:
            total = float(sum(sizes[n] for n in shares))
        over = {n: s for n, s in limits.items() if n not in shares and sizes[n] > s * total}
        if not over:
            return {n: int(shares[n] * total) if n in shares else fixed[n] for n in sizes}
        shares |= over


def _counted(sketches: Any, groups: int, shard: int) -> tuple[Any, Any]:
    """Of a shard the cells of (group, part of the draws) that have documents, and how many documents and bytes."""
    table = sketches.kept(shard, ["group", "bytes", "draw"])
    if not table.num_rows:
        return np.zeros(0, np.int64), np.zeros((0, 2), np.int64)
    group, size, draw = (table.column(c).to_numpy() for c in ("group", "bytes", "draw"))
    cell, place = np.unique(group * BINS + (draw * BINS).astype(np.int64), return_inverse=True)
    found = np.zeros((len(cell), 2), np.int64)
    found[:, 0] = np.bincount(place, minlength=len(cell))
    np.add.at(found[:, 1], place, size)
    return cell, found


def _singles(sketches: Any, wanted: dict[int, int], shard: int) -> dict[int, tuple[Any, Any]]:
    """Of a shard, for each group, the draws and bytes of its documents in one part of the draws."""
    table = sketches.kept(shard, ["group", "bytes", "draw"])
    group, size, draw = (np.asarray(one_array(table.column(c))) for c in ("group", "bytes", "draw"))
    part = (draw * BINS).astype(np.int64)
    return {n: (draw[mine], size[mine]) for n, at in wanted.items() for mine in [(group == n) & (part == at)]}


def _cut(parts: list[tuple[Any, Any]], part: int, room: int) -> tuple[float, int, int]:
    """The draw below which documents of a part fit into the room, and how many documents and bytes these are."""
    draw, size = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.argsort(draw, kind="stable")
    total = size[order].cumsum()
    fits = int(np.searchsorted(total, room, side="right"))
    if fits == len(order):
        return (part + 1) / BINS, fits, int(size.sum())
    below = float(draw[order[fits]])
    inside = draw < below
    return below, int(inside.sum()), int(size[inside].sum())
