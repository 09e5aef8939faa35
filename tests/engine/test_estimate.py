"""What a plan promises is near what the run then does: documents and bytes within a factor of two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gharchive_maker as maker
import pytest

from engine import gathering
from engine.estimate import describe, estimate
from engine.plan import Plan, make_plan
from engine.recipe import read

TALK = """\
name: talk
source: {{gharchive: {{path: "{path}"}}}}
steps:
  - gather_conversations
  - truncate_comments
  - bots
  - users_and_size: {{at_least: 100}}
  - render_issue
  - exact_dedup
  - detect_pii_rules
  - redact
"""
FILES = """\
name: files
source: {{parquet: {{path: "{path}"}}}}
steps: [line_length, exact_dedup, detect_pii_rules, redact]
"""


def planned(text: str, path: Path) -> tuple[Plan, Any]:
    plan = make_plan(read(text.format(path=path)))
    return plan, estimate(plan, workers=1)


def near(one: float, other: float) -> bool:
    return one <= 2 * other and other <= 2 * one


@pytest.mark.parametrize("kind", ["gathered", "files"])
def test_it_is_within_a_factor_of_two(kind, tmp_path, make_corpus, run_recipe):
    text, path = FILES, tmp_path
    if kind == "files":
        path = make_corpus(files=12, rows=40)
    else:
        text, path = TALK, maker.write(tmp_path / "in", maker.events(3, 800, pushes=200, words=120), 4)
    _, cost = planned(text, path)
    report = run_recipe(tmp_path / "out", path, text)
    assert near(cost.rows, report.read)
    assert near(cost.rows_kept, report.kept)
    assert near(cost.bytes_written, report.bytes_written)
    assert cost.seconds > 0


def test_passes_behind_a_gather_are_tried_too(tmp_path, monkeypatch):
    monkeypatch.setattr(gathering, "PARTITION_BYTES", 1 << 14)
    plan, cost = planned(TALK, maker.write(tmp_path / "in", maker.events(3, 300, words=80), 3))
    first, gathered, last = cost.stages
    assert (first.shards, first.leaves, gathered.reads) == (3, "runs", "rows of 1")
    assert gathered.shards == last.shards > 4
    assert gathered.rows == pytest.approx(first.rows_kept, rel=0.01)
    assert 0 < gathered.rows_kept < gathered.rows / 2
    assert gathered.worker_seconds > 0 and last.worker_seconds > 0
    assert "gather_conversations > truncate_comments" in describe(plan, cost)
