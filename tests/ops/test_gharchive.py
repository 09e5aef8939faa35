"""Event files read: both forms of payload, and whatever a file may hold."""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path

from gharchive_maker import event, events, push, write
from hypothesis import given
from hypothesis import strategies as st

from engine.op import Losses
from ops.gharchive import Gharchive


def read(lines: bytes, **options):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.json.gz").write_bytes(gzip.compress(lines, 1))
        return read_folder(folder, **options)


def read_folder(folder, **options):
    source, losses, rows = Gharchive(path=str(folder), **options), Losses(), []
    for shard in source.shards():
        for batch in source.read(shard, losses):
            assert {n: batch.schema.field(n).type for n in source.writes} == source.writes
            rows += batch.to_pylist()
    return rows, losses


def lines(*made):
    return "".join(json.dumps(e) + "\n" for e in made).encode()


def test_an_issue_and_its_comments():
    rows, losses = read(
        lines(
            event("IssuesEvent", "opened", "a/b", 3, "ann", 0, 1, "It crashes."),
            event("IssueCommentEvent", "created", "a/b", 3, "bob", 5, 2, "Why?\n\u00e9"),
            event("IssuesEvent", "closed", "a/b", 3, "ann", 9, 3, "It crashes."),
        )
    )
    assert [(r["author"], r["action"], r["content"], r["title"], r["pull_request"]) for r in rows] == [
        ("ann", "opened", "It crashes.", "Crash", False),
        ("bob", "created", "Why?\né", "Crash", False),
        ("ann", "closed", "", "Crash", False),
    ]
    assert [(r["repo_name"], r["number"], r["path"]) for r in rows] == [("a/b", 3, f"issues/3/{n}") for n in (1, 2, 3)]
    assert rows[1]["created_at"] == "2024-01-01T00:00:05Z"
    assert not losses.dropped and not losses.quarantined and not losses.noted


def test_both_forms_of_pull_requests():
    made = [
        event(kind, action, "a/b", 4, "ann", 0, n, "Words.", new_form=new)
        for n, (new, kind, action) in enumerate(
            (new, *what)
            for new in (False, True)
            for what in (
                ("PullRequestEvent", "opened"),
                ("PullRequestReviewCommentEvent", "created"),
                ("PullRequestReviewEvent", "created"),
            )
        )
    ]
    rows, _ = read(lines(*made))
    assert [r["content"] for r in rows] == ["Words.", "Words.", "Words.", "", "Words.", "Words."]
    assert [r["title"] for r in rows] == ["Crash"] * 3 + [None] * 3
    assert {r["number"] for r in rows} == {4} and all(r["pull_request"] for r in rows)


def test_pull_requests_may_be_dropped():
    made = [
        event("PullRequestEvent", "opened", "a/b", 4, "ann", 0, 1, "x"),
        event("IssueCommentEvent", "created", "a/b", 4, "ann", 0, 2, "x", pull=True),
        event("IssueCommentEvent", "created", "a/b", 5, "ann", 0, 3, "x"),
    ]
    rows, losses = read(lines(*made), pull_requests="drop")
    assert [r["number"] for r in rows] == [5]
    assert [d["reason"] for d in losses.dropped] == ["pull_request"] * 2


def test_what_is_no_event_of_a_conversation_is_counted():
    import random

    made = [push(random.Random(1), 1), event("IssuesEvent", "labeled", "a/b", 1, "ann", 0, 2), {"type": "WatchEvent"}]
    rows, losses = read(lines(*made))
    assert not rows and losses.noted == {"other_events": 2, "other_actions": 1}


def test_broken_lines_and_events_without_number_go_to_quarantine():
    odd = event("IssuesEvent", "opened", "a/b", 1, "ann", 0, 1)
    odd["payload"]["issue"] = 12
    rows, losses = read(lines(odd) + b'{"type": \n' + lines(event("IssuesEvent", "opened", "a/b", 1, "ann", 0, 1, "x")))
    assert [r["content"] for r in rows] == ["x"]
    assert sorted(q["path"] for q in losses.quarantined) == ["a.json.gz:1", "a.json.gz:2"]


def test_a_file_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path):
    write(tmp_path, events(1, 400), 1)
    (file,) = tmp_path.iterdir()
    whole, _ = read_folder(tmp_path)
    file.write_bytes(file.read_bytes()[:-1000])
    rows, losses = read_folder(tmp_path)
    assert len(losses.quarantined) == 1 and len(rows) < len(whole)


def test_long_texts_are_dropped():
    rows, losses = read(lines(event("IssueCommentEvent", "created", "a/b", 1, "ann", 0, 1, "x" * 101)), max_bytes=100)
    assert not rows and [(d["reason"], d["score"]) for d in losses.dropped] == [("too_large", 101.0)]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["number", "title", "body", "user", "login", "name", "action", "issue", "comment", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
odd_events = st.fixed_dictionaries(
    {},
    optional={
        "id": values,
        "type": st.sampled_from(["IssuesEvent", "IssueCommentEvent", "PullRequestEvent", "PushEvent"]) | values,
        "actor": st.fixed_dictionaries({"login": values}) | values,
        "repo": st.fixed_dictionaries({"name": st.just("a/b") | values}) | values,
        "payload": st.fixed_dictionaries(
            {},
            optional={
                "action": st.sampled_from(["opened", "created", "closed"]) | values,
                "issue": st.fixed_dictionaries({"number": st.integers(), "body": values, "title": values}) | values,
                "pull_request": st.fixed_dictionaries({"number": st.integers(), "title": values}) | values,
                "comment": st.fixed_dictionaries({"body": values}) | values,
                "number": values,
            },
        )
        | values,
        "created_at": values,
    },
)


@given(
    st.lists(
        odd_events.map(lambda e: json.dumps(e).encode()) | st.binary(max_size=20).map(lambda b: b.replace(b"\n", b"")),
        max_size=8,
    )
)
def test_nothing_raises_and_nothing_vanishes(made):
    """Every line that is not blank is a row, a loss or counted."""
    rows, losses = read(b"\n".join(made))
    found = len(rows) + len(losses.dropped) + len(losses.quarantined) + sum(losses.noted.values())
    blank = sum(not line.strip(b" \t\r") for line in made)
    if not any(q["path"] == "a.json.gz" for q in losses.quarantined):
        mark = bool(made) and made[0].startswith(b"\xef\xbb\xbf") and not made[0][3:].strip(b" \t\r")
        assert found == len(made) - blank - mark
