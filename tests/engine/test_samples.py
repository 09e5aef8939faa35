"""Samples: those of each reason with the lowest draws, whatever the order of the documents."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from engine.digest import chances, document_ids
from engine.samples import SAMPLE_CHARACTERS, SAMPLES, Samples
from engine.schema import TEXT

REASONS = [("size", "too_small"), ("size", "too_large"), ("lines", "longest_line")]
COUNT = 900


def corpus() -> pa.RecordBatch:
    content = pa.array([f"ä{n}" * (n % 3 * 2000 + 1) for n in range(COUNT)], TEXT)
    names = pa.array([f"{n}.py" for n in range(COUNT)], TEXT)
    columns = {"id": document_ids("code", [content]), "content": content, "path": names, "repo_name": names}
    return pa.RecordBatch.from_pydict(columns)


def sampled(order: np.ndarray, at_once: int, public: np.ndarray) -> list[dict]:
    samples, whole = Samples("code", 7), corpus()
    for first in range(0, COUNT, at_once):
        rows = order[first : first + at_once]
        batch = whole.take(pa.array(rows))
        score = pa.array(rows / 10, pa.float64())
        samples.offer(batch, np.arange(len(rows)), batch.column("id"), REASONS, rows % 3, score, public[rows])
    return samples.table().to_pylist()


@pytest.mark.parametrize("at_once", [7, 64, COUNT])
def test_the_lowest_draws_of_each_reason_are_chosen(at_once):
    whole, public = corpus(), np.arange(COUNT) % 11 != 0
    draws = chances(whole.column("id"), 7, "samples")
    wanted = []
    for code in np.argsort([" ".join(key) for key in REASONS]):
        mine = [n for n in range(COUNT) if n % 3 == code and public[n]]
        wanted += [(*REASONS[code], f"{n}.py", n / 10) for n in sorted(mine, key=lambda n: draws[n])[:SAMPLES]]
    for seed in (1, 2):
        found = sampled(np.random.default_rng(seed).permutation(COUNT), at_once, public)
        assert [(r["step"], r["reason"], r["path"], r["score"]) for r in found] == wanted


def test_of_long_texts_the_beginning_is_kept():
    texts = dict(zip(*(corpus().column(n).to_pylist() for n in ("path", "content")), strict=True))
    found = sampled(np.arange(COUNT), 100, np.ones(COUNT, bool))
    assert all(row["content"] == texts[row["path"]][:SAMPLE_CHARACTERS] for row in found)
    assert max(len(row["content"]) for row in found) == SAMPLE_CHARACTERS


def test_nothing_dropped_leaves_no_row():
    assert Samples("code", 7).table().num_rows == 0
