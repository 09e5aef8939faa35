"""What a report shows to prove its figures: examples of what was dropped, clusters and pairs of duplicates, spreads.

All of it is read lazily and bounded: what is counted is counted whole, what is shown is a sample, and a look-up that
would read a whole large run gives up after its share and shows fewer examples.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from engine import storage
from engine.figures import Spread
from engine.judging import course, number
from engine.op import Check, Filter
from engine.plan import Chain, Plan
from engine.run import Run, scan
from engine.samples import SAMPLE_CHARACTERS
from engine.shown import Excerpt, excerpt
from engine.text_diff import Fold, Row, rows

EXAMPLES = 4
"""Documents shown a reason."""
PAIRS = 6
"""Pairs of duplicates shown side by side."""
LARGEST = 8
"""Clusters named."""
SPREAD_ROWS = 50_000
"""Documents whose figures make a histogram."""
SPREAD_FILES = 64
"""Files that they are read from."""
BINS = 36
FEWEST = 20
"""Documents of fewer of which no histogram is made."""
LOOKED_THROUGH = 20e9
"""Bytes of the documents' files that are looked through for the kept half of a pair."""
COUNTED = 2_000_000
"""Rows of exact duplicates that are grouped; of more, a share of the groups is, by the first digits of their ids."""


# --- what was dropped ---------------------------------------------------------------------------------------------


@dataclass
class Dropped:
    """One reason of one step: how many documents, and a few of them."""

    stream: str
    step: str
    reason: str
    documents: int
    came: int
    """Documents that came to the step."""
    examples: list[Example] = field(default_factory=list)


@dataclass(frozen=True)
class Example:
    """A document that was dropped; `text` is None for one that was never read."""

    path: str
    repo_name: str
    score: str
    text: Excerpt | None


def dropped(run: Run) -> list[Dropped]:
    """Every reason for which documents were dropped, in the order of the steps, with examples."""
    samples = run.samples.group_by("stream", "step", "reason", maintain_order=True).head(EXAMPLES).collect()
    shown: dict[tuple[str, str, str], list[Example]] = {}
    for row in samples.iter_rows(named=True):
        shown.setdefault((row["stream"], row["step"], row["reason"]), []).append(_example(row, row["content"]))
    found = []
    for step in run.report["steps"]:
        for reason, count in sorted(step["dropped"].items(), key=lambda item: (-item[1], item[0])):
            key = step["stream"], step["step"], reason
            found.append(Dropped(*key, count, step["in"], shown.get(key) or list(_unread(run, key))))
    return found


def _unread(run: Run, key: tuple[str, str, str]) -> Iterator[Example]:
    here = pl.all_horizontal(pl.col(c) == v for c, v in zip(("stream", "step", "reason"), key, strict=True))
    for row in run.ledger.filter(here & pl.col("path").is_not_null()).head(EXAMPLES).collect().iter_rows(named=True):
        yield _example(row, None)


def _example(row: dict[str, Any], text: str | None) -> Example:
    score = "" if row["score"] is None else number(row["score"])
    return Example(row["path"] or row["id"], row["repo_name"] or "", score, None if text is None else excerpt(text))


# --- spreads ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judged:
    """A figure of a filter, how it lies over the documents that are held against its commonest bound, and who fails."""

    step: str
    reason: str
    spread: Spread
    failing: float
    """Share of those documents that fail."""


def judged(run: Run, plan: Plan) -> list[Judged]:
    """The figures that filters judge documents by, of all documents read or, in a large run, of a sample."""
    found = []
    for chain in plan.chains:
        ops = {
            s.step: s.op for s in course(chain) if isinstance(s.op, Filter) and not s.blind and _judges_figures(s.op)
        }
        roll = _some_measures(run, chain, {name for op in ops.values() for name in op.contract.reads})
        for step, op in ops.items() if roll is not None else ():
            assert roll is not None
            for reason, check in op.judge(roll)[1].checks.items():
                told = _spread(check)
                if told is not None:
                    found.append(Judged(step, reason, *told))
    return found


def _judges_figures(op: Filter) -> bool:
    return any(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in op.contract.reads.values())


def _some_measures(run: Run, chain: Chain, columns: set[str]) -> pa.RecordBatch | None:
    named = zip(run.files("measures"), run.manifest["measures"], strict=True)
    files = [url for url, file in named if file["name"].startswith(f"{chain.stream}-")] if columns else []
    chosen = [files[n * len(files) // min(SPREAD_FILES, len(files))] for n in range(min(SPREAD_FILES, len(files)))]
    batches = []
    for url in chosen:
        with storage.open_read(url) as file:
            parquet = pq.ParquetFile(file)
            names = [n for n in parquet.schema_arrow.names if n in columns]
            batches += itertools.islice(parquet.iter_batches(-(-SPREAD_ROWS // len(chosen)), columns=names), 1)
    tables = [pa.Table.from_batches([b]) for b in batches if b.num_rows]
    whole = pa.concat_tables(tables, promote_options="default").combine_chunks().to_batches() if tables else []
    return whole[0] if whole else None


def _spread(check: Check) -> tuple[Spread, float] | None:
    if check.score is None or check.bound is None:
        return None
    bound, scores = check.bound, np.asarray(check.score.cast(pa.float64()).fill_null(math.nan))
    held = np.isfinite(scores)
    if isinstance(bound, pa.Array):
        bounds = np.asarray(bound.cast(pa.float64()).fill_null(math.nan))
        common = Counter(bounds[held & np.isfinite(bounds)].tolist()).most_common(1)
        if not common:
            return None
        bound = common[0][0]
        held &= bounds == bound
    scores = scores[held]
    if len(scores) < FEWEST or scores.min() == scores.max():
        return None
    low, high = float(min(scores.min(), bound)), float(max(scores.max(), bound))
    logarithmic = low >= 0 and high > 50 * max(1.0, float(np.median(scores)))
    edges = np.geomspace(max(1.0, low), high, BINS + 1) if logarithmic else np.linspace(low, high, BINS + 1)
    counts, edges = np.histogram(np.clip(scores, edges[0], edges[-1]), edges)
    ends = (_end(edges[0]), _end(edges[-1]))
    spread = Spread(
        counts.tolist(), edges.tolist(), logarithmic, float(bound), number(bound), check.sign in ("<=", "<"), ends
    )
    return spread, float(np.asarray(check.failed)[held].mean())


def _end(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 or float(value).is_integer() else f"{value:,.2f}"


# --- duplicates ---------------------------------------------------------------------------------------------------


@dataclass
class Clusters:
    """Clusters of duplicates that one kind of op found: how many of each size, and the largest."""

    title: str
    steps: tuple[str, ...]
    documents: int
    sizes: list[tuple[str, int]]
    """Clusters by size, sizes in ranges that double."""
    largest: list[tuple[str, int]]
    """The path of a document, and the size of its cluster."""


@dataclass(frozen=True)
class Pair:
    """A near-duplicate and the document kept in its place, side by side."""

    dropped: str
    kept: str
    similarity: float
    cluster_size: int
    rows: list[Row | Fold]
    begins: bool
    """Whether only the beginning of the dropped text is known."""


def clusters(run: Run, plan: Plan) -> list[Clusters]:
    """The clusters of near-duplicates, and those of exact ones."""
    return [c for c in (_near_clusters(run), *_exact_clusters(run, plan)) if c is not None]


def _near_clusters(run: Run) -> Clusters | None:
    if not run.files("duplicates"):
        return None
    # A cluster of n documents has n - 1 rows.
    rows_of = run.duplicates.group_by("cluster_size").len().sort("cluster_size").collect().rows()
    counts = {size: max(1, round(rows / max(size - 1, 1))) for size, rows in rows_of}
    least, seen = 0, 0
    for size in sorted(counts, reverse=True):
        least, seen = size, seen + counts[size]
        if seen >= LARGEST:
            break
    top = run.duplicates.filter(pl.col("cluster_size") >= least).unique("kept", keep="any")
    named = top.sort("cluster_size", "kept_path", descending=[True, False]).head(LARGEST).collect()
    largest = [(path or name, size) for path, name, size in named.select("kept_path", "kept", "cluster_size").rows()]
    return Clusters(
        ", ".join(_near_steps(run)), _near_steps(run), sum(rows for _, rows in rows_of), _by_range(counts), largest
    )


def _near_steps(run: Run) -> tuple[str, ...]:
    """The steps that left tables of duplicates."""
    files = [f["place"] for f in run.manifest.get("duplicates", [])]
    return tuple(dict.fromkeys(place.split("/")[-2] for place in files))


def _exact_clusters(run: Run, plan: Plan) -> Iterator[Clusters]:
    works = [w for c in plan.chains for b in c.boundaries for w in (*b.own, *b.joint)]
    for step in dict.fromkeys(w.step for w in works if w.step not in _near_steps(run)):
        rows = run.ledger.filter((pl.col("step") == step) & pl.col("of").ne(pl.col("id")))
        total = rows.select(pl.len()).collect().item()
        if not total:
            continue
        digits = max(0, math.ceil(math.log(total / COUNTED, 16)))
        part = rows.filter(pl.col("of").str.starts_with("0" * digits)) if digits else rows
        groups = part.group_by("of").agg((pl.len() + 1).alias("size"), pl.col("path").min())
        sizes = groups.group_by("size").len().collect(engine="streaming")
        top = groups.top_k(LARGEST, by="size").sort("size", "path", descending=[True, False]).collect()
        counts = {size: count * 16**digits for size, count in sizes.rows()}
        largest = [(path or name, size) for name, size, path in top.rows()]
        yield Clusters(step, (step,), total, _by_range(counts), largest)


def _by_range(counts: dict[int, int]) -> list[tuple[str, int]]:
    """Counts by size as counts by 2, 3, 4, 5–8, 9–16, ..."""
    found: dict[int, int] = {}
    for size, count in counts.items():
        high = size if size <= 4 else 1 << (size - 1).bit_length()
        found[high] = found.get(high, 0) + count
    return [(str(h) if h <= 4 else f"{h // 2 + 1:,}–{h:,}", found[h]) for h in sorted(found)]


def pairs(run: Run) -> list[Pair]:
    """Some near-duplicates, from the least alike to the most, with what differs marked."""
    if not run.files("duplicates") or not run.files("samples"):
        return []
    texts = dict(run.samples.select("id", "content").collect().iter_rows())
    known = run.duplicates.filter(pl.col("dropped").is_in(list(texts)) & (pl.col("similarity") < 1))
    found = known.sort("similarity", "dropped").collect()
    # Twice as many as are shown, since not every kept text is found or differs where we see it.
    some = found.gather([n * found.height // min(2 * PAIRS, found.height) for n in range(min(2 * PAIRS, found.height))])
    kept = _kept_texts(run, some["kept"].to_list())
    made = [_pair(row, texts[row["dropped"]], kept[row["kept"]]) for row in some.to_dicts() if row["kept"] in kept]
    shown = [pair for pair in made if any(isinstance(r, Row) and not r.same for r in pair.rows)]
    return [shown[n * len(shown) // min(PAIRS, len(shown))] for n in range(min(PAIRS, len(shown)))]


def _kept_texts(run: Run, ids: Sequence[str]) -> dict[str, str]:
    files, total = [], 0.0
    for url, file in zip(run.files("documents"), run.manifest["documents"], strict=True):
        total += file["bytes"]
        if total > LOOKED_THROUGH and files:
            break
        files.append(url)
    if not files or not ids:
        return {}
    found = scan(files).filter(pl.col("id").is_in(list(ids))).select("id", "content")
    return dict(found.collect(engine="streaming").iter_rows())


def _pair(row: dict[str, Any], text: str, kept: str) -> Pair:
    begins = len(text) >= SAMPLE_CHARACTERS
    return Pair(
        row["dropped_path"] or row["dropped"],
        row["kept_path"] or row["kept"],
        row["similarity"],
        row["cluster_size"],
        _folded(rows(text, kept, around=2, whole=not begins)),
        begins,
    )


def _folded(found: list[Row | Fold], most: int = 40) -> list[Row | Fold]:
    """The first rows of a comparison, and how many are left out."""
    return found if len(found) <= most + 1 else [*found[:most], Fold(len(found) - most, equal=False)]
