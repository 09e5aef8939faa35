"""What two runs keep differently: documents that entered, left or changed, and the ops that made the difference.

Documents are the same where their ids are. An id is made of what a source read; where the steps that write text
differ, texts are compared too. Runs larger than memory are compared in parts, by the place that documents have in
their repository.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from difflib import ndiff
from typing import Any

import polars as pl

from engine import recipe as recipes
from engine import storage
from engine.op import Map
from engine.recipe import Recipe
from engine.run import Run

EXAMPLES = 5
"""Documents that are named of each kind and step."""
PART = 5_000_000
"""Documents of both runs that are compared at a time."""
PLACE = ("stream", "repo_name", "path")
"""What stays when a document's text changes."""
KINDS = ("entered", "left", "changed")
_COLUMNS = ("id", *PLACE, "language", "length_bytes")
_MOVED = ("kind", *_COLUMNS, "step", "reason")


@dataclass(frozen=True)
class Group:
    """Documents of one kind that one op made different: the one that dropped them in the run where they are missing."""

    kind: str
    step: str
    """The step that dropped them in the other run, `not read` where its source did not have them; for documents that
    changed, the steps that write text, or `input` where the source read another text."""
    reason: str
    documents: int
    bytes: int
    examples: list[dict[str, Any]] = field(default_factory=list)
    """A few of them: `id, stream, repo_name, path`."""


@dataclass
class Difference:
    """What the second run keeps that the first did not, and the other way round."""

    first: str
    second: str
    kept: tuple[int, int] = (0, 0)
    groups: list[Group] = field(default_factory=list)
    languages: dict[str, dict[str, int]] = field(default_factory=dict)
    """By language: documents in each run, and those that entered, left and changed."""
    settings: list[str] = field(default_factory=list)
    """Lines of the recipes that differ, with `-` before those of the first and `+` before those of the second."""

    def count(self, kind: str) -> int:
        """Documents that entered, left or changed."""
        return sum(group.documents for group in self.groups if group.kind == kind)

    def as_json(self) -> dict[str, Any]:
        """The difference as plain values."""
        return asdict(self) | {kind: self.count(kind) for kind in KINDS}


def difference(first: Run, second: Run) -> Difference:
    """What changed from the first run to the second, by the op that made it and by language."""
    a, b = (recipes.load(storage.join(run.path, "recipe.yaml")) for run in (first, second))
    kept = first.report["kept"], second.report["kept"]
    found = Difference(first.path, second.path, kept, settings=_settings(a, b))
    writers = "" if _writers(a) == _writers(b) else _told(_writers(a), _writers(b))
    parts = max(1, -(-sum(kept) // PART))
    sums, languages = [], []
    for part in range(parts):
        moved = _moved(first, second, writers, part, parts)
        sums.append(_summed(moved))
        languages.append(moved.group_by("language", "kind").len())
    found.groups = _groups(pl.concat(sums))
    found.languages = _languages(first, second, pl.concat(languages))
    return found


# --- recipes ------------------------------------------------------------------------------------------------------


def _settings(first: Recipe, second: Recipe) -> list[str]:
    before, after = (recipes.dump(r).splitlines() for r in (first, second))
    return [line for line in ndiff(before, after) if line[0] in "-+"]


def _writers(recipe: Recipe) -> list[Any]:
    """The steps that write text, and all that their answer depends on."""
    steps = [(s.name, step) for s in recipe.streams for step in (*s.steps, *recipe.steps)]
    return [
        (stream, step.name, step.op.version, step.op.parameters(), recipe.seed)
        for stream, step in steps
        if isinstance(step.op, Map) and ("content" in step.op.contract.writes or step.op.contract.many)
    ]


def _told(first: list[Any], second: list[Any]) -> str:
    differ = [w for w in (*first, *second) if w not in first or w not in second]
    return ", ".join(dict.fromkeys(name for _, name, *_ in differ))


# --- documents ----------------------------------------------------------------------------------------------------


def _frame(run: Run, kind: str, part: int = 0, parts: int = 1) -> pl.LazyFrame:
    """A table of the run, or the part of it whose places in repositories fall there."""
    frame = run.frame(kind)
    if parts > 1:
        place = pl.concat_str([pl.col(c).fill_null("") for c in PLACE], separator="\0")
        frame = frame.filter(place.hash() % parts == part)
    return frame


def _moved(first: Run, second: Run, writers: str, part: int, parts: int) -> pl.DataFrame:
    """The documents of a part that differ: kind, step and reason, and the columns that name and measure them."""
    a, b = (_frame(run, "documents", part, parts).select(_COLUMNS) for run in (first, second))
    gone, new = a.join(b, on="id", how="anti"), b.join(a, on="id", how="anti")
    # Rows without a path, or several at one place, are paired in the order of their ids.
    gone, new = (
        f.sort("id").with_columns(nth=pl.int_range(pl.len()).over(PLACE)).collect(engine="streaming")
        for f in (gone, new)
    )
    named = pl.col("path").is_not_null()
    pairs = gone.filter(named).join(new.filter(named), on=[*PLACE, "nth"], how="inner", nulls_equal=True, suffix="_new")
    changed = _changed(first, second, pairs).with_columns(step=pl.lit("input"), reason=pl.lit("another text was read"))
    if writers:
        both = (
            a.join(b.select("id", "length_bytes"), on="id", suffix="_new")
            .with_columns(id_new="id")
            .collect(engine="streaming")
        )
        rewritten = _changed(first, second, both).with_columns(step=pl.lit(writers), reason=pl.lit("written otherwise"))
        changed = pl.concat([changed.select(_MOVED[1:]), rewritten.select(_MOVED[1:])])
    left = _explained(gone.join(pairs, on="id", how="anti"), second)
    entered = _explained(new.join(pairs, left_on="id", right_on="id_new", how="anti"), first)
    kinds = zip(KINDS, (entered, left, changed), strict=True)
    return pl.concat([rows.select(pl.lit(kind).alias("kind"), *_MOVED[1:]) for kind, rows in kinds])


def _changed(first: Run, second: Run, pairs: pl.DataFrame) -> pl.DataFrame:
    """Those pairs of `id` and `id_new` whose texts differ; texts of one length are read to find out."""
    doubtful = pairs.filter(pl.col("length_bytes") == pl.col("length_bytes_new"))
    if not doubtful.height:
        return pairs
    hashes = [
        _frame(run, "documents")
        .join(ids.lazy(), on="id", how="semi")
        .select("id", pl.col("content").hash().alias(name))
        for run, ids, name in (
            (first, doubtful.select("id"), "text"),
            (second, doubtful.select(pl.col("id_new").alias("id")), "text_new"),
        )
    ]
    told = doubtful.lazy().join(hashes[0], on="id").join(hashes[1], left_on="id_new", right_on="id")
    same = told.filter(pl.col("text") == pl.col("text_new")).select("id").collect(engine="streaming")
    return pairs.join(same, on="id", how="anti")


def _explained(rows: pl.DataFrame, other: Run) -> pl.DataFrame:
    """The documents with the step that dropped them in the other run, found by id, else by their place."""
    # A repeated row has the id of the document that it repeats, which lives on.
    dropped = other.ledger.filter(pl.col("of").ne_missing(pl.col("id")))
    broken = other.quarantine.with_columns(reason=pl.lit("quarantined"))
    named = dropped.filter(pl.col("path").is_not_null())
    rows = rows.with_columns(step=pl.lit(None, pl.String), reason=pl.lit(None, pl.String))
    for lost, key in ((dropped, ["id"]), (broken, ["id"]), (named, list(PLACE))):
        wanted = rows.filter(pl.col("step").is_null()).lazy().select(key)
        found = lost.join(wanted, on=key, how="semi", nulls_equal=True).select(*key, "step", "reason")
        first = found.sort("step", "reason").unique(key, keep="first").collect(engine="streaming")
        rows = rows.join(first, on=key, how="left", nulls_equal=True, suffix="_found")
        rows = rows.with_columns(pl.coalesce(c, f"{c}_found").alias(c) for c in ("step", "reason"))
        rows = rows.drop("step_found", "reason_found")
    return rows.with_columns(pl.col("step").fill_null("not read"), pl.col("reason").fill_null(""))


# --- sums ---------------------------------------------------------------------------------------------------------


def _summed(rows: pl.DataFrame) -> pl.DataFrame:
    named = pl.struct("id", *PLACE).sort_by("id").head(EXAMPLES)
    return rows.group_by("kind", "step", "reason").agg(
        pl.len().alias("documents"), pl.col("length_bytes").sum().alias("bytes"), named.alias("examples")
    )


def _groups(sums: pl.DataFrame) -> list[Group]:
    by = sums.group_by("kind", "step", "reason").agg(
        pl.col("documents").sum(), pl.col("bytes").sum(), pl.col("examples").explode().head(EXAMPLES)
    )
    groups = [Group(**row) for row in by.to_dicts()]
    return sorted(groups, key=lambda g: (KINDS.index(g.kind), -g.documents, g.step, g.reason))


def _languages(first: Run, second: Run, counts: pl.DataFrame) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for name, kind, count in counts.rows():
        row = found.setdefault(name or "", dict.fromkeys(("first", "second", *KINDS), 0))
        row[kind] += count
    for key, run in (("first", first), ("second", second)):
        for name, volume in run.report["languages"].items():
            if name in found:
                found[name][key] = volume["kept"]
    return dict(sorted(found.items(), key=lambda item: (-sum(item[1][k] for k in KINDS), item[0])))
