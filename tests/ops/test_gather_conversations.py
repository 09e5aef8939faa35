"""Events that lie in many files become conversations, whatever files they lie in."""

from __future__ import annotations

import random

import polars as pl
import pytest
from gharchive_maker import conversations, event, events, write

from engine import gathering
from engine.executor import RunDone, execute
from engine.plan import make_plan
from engine.pool import InlinePool, LocalPool
from engine.recipe import from_dict

STEPS = [
    "gather_conversations",
    "email_trailers",
    "truncate_comments",
    "bots",
    {"users_and_size": {"at_least": 50}},
    "anonymise_authors",
    "render_issue",
    "english",
]


def run(folder, out, steps=("gather_conversations",), pool=None, **source):
    recipe = from_dict(
        {"name": "issues", "source": {"gharchive": {"path": str(folder), **source}}, "steps": list(steps)}
    )
    for told in execute(make_plan(recipe), str(out), pool or InlinePool()):
        if isinstance(told, RunDone):
            return told.report
    raise AssertionError


def documents(out):
    return pl.read_parquet(out / "documents" / "*.parquet")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(gathering, "PARTITION_BYTES", 1 << 14)
    monkeypatch.setattr(gathering, "PIECE_BYTES", 1 << 10)


def test_conversations_are_those_of_a_dictionary(tmp_path):
    made = events(3, 150, pushes=40)
    report = run(write(tmp_path / "in", made, 7), tmp_path / "out")
    expected = conversations(made)
    table = documents(tmp_path / "out")
    found = {
        (row["repo_name"], int(row["path"].removeprefix("issues/"))): [
            (e["author"], e["action"], e["text"]) for e in row["events"]
        ]
        for row in table.to_dicts()
    }
    assert found == expected
    assert report.read + report.born == report.kept == len(expected)
    noted = {s.step: s.noted for s in report.steps}
    assert noted["gharchive"] == {"other_events": 40}
    titled = {
        (e["repo"]["name"], (e["payload"].get("issue") or e["payload"]["pull_request"])["number"])
        for e in made
        if e["type"] in ("IssuesEvent", "PullRequestEvent")
        and e["payload"]["action"] == "opened"
        and "title" in (e["payload"].get("issue") or e["payload"]["pull_request"])
    }
    assert noted["gather_conversations"]["no_opening"] == len(expected) - len(titled) > 0


def test_a_pull_request_without_title_and_body_keeps_its_comments(tmp_path):
    made = [
        event("PullRequestEvent", "opened", "a/b", 4, "ann", 0, 1, "gone", new_form=True),
        event("PullRequestReviewCommentEvent", "created", "a/b", 4, "bob", 5, 2, "Why this?", new_form=True),
        event("IssueCommentEvent", "created", "a/b", 4, "cid", 9, 3, "Because.", pull=True, title="Crash"),
    ]
    report = run(write(tmp_path / "in", made, 2), tmp_path / "out")
    (row,) = documents(tmp_path / "out").to_dicts()
    assert [e["text"] for e in row["events"]] == ["", "Why this?", "Because."]
    assert (row["title"], row["no_opening"], row["pull_request"]) == ("Crash", True, True)
    assert {s.step: s.noted for s in report.steps}["gather_conversations"] == {"no_opening": 1, "pull_request": 1}
    assert "1 no_opening" in (tmp_path / "out" / "report.md").read_text()
    run(tmp_path / "in", tmp_path / "without", pull_requests="drop")
    assert run(tmp_path / "in", tmp_path / "without", pull_requests="drop").kept == 0


def test_equal_times_are_in_the_order_of_events(tmp_path):
    made = [event("IssueCommentEvent", "created", "a/b", 1, "ann", 7, n, str(n)) for n in range(100, 130)]
    random.Random(1).shuffle(made)
    run(write(tmp_path / "in", made, 5), tmp_path / "out")
    assert [e["text"] for e in documents(tmp_path / "out")["events"][0]] == [str(n) for n in range(100, 130)]


def test_an_event_in_two_files_counts_once(tmp_path):
    made = events(5, 60)
    report = run(write(tmp_path / "in", [*made, *made[:50]], 4), tmp_path / "out")
    run(write(tmp_path / "once", made, 4), tmp_path / "other")
    assert documents(tmp_path / "out").equals(documents(tmp_path / "other"))
    assert report.dropped == 50


def test_a_whole_recipe_gives_the_same_bytes_whatever_the_files_and_workers(tmp_path):
    made = events(7, 120, words=60)
    reports = [
        run(write(tmp_path / "in0", made, 3), tmp_path / "out0", STEPS),
        run(write(tmp_path / "in1", made[::-1], 8), tmp_path / "out1", STEPS, LocalPool(2)),
    ]
    for kind in ("documents", "ledger", "measures"):
        files = [{p.name: p.read_bytes() for p in (tmp_path / f"out{n}" / kind).iterdir()} for n in (0, 1)]
        assert files[0] == files[1], kind
    assert reports[0].kept and reports[0].dropped
    for text in documents(tmp_path / "out0")["content"]:
        assert not any(name in text for name in ("ann", "Dora-42", "codecov-io"))
