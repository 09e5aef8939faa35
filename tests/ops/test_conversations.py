"""Conversations that were grouped before, in Parquet and JSON lines, as StarCoder's were."""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from engine.op import Losses
from engine.schema import FIRST_MARKUP
from ops.conversations import Conversations

ISSUE = {
    "repo": "tool",
    "org": "ann",
    "issue_id": 99,
    "issue_number": 3,
    "pull_request": None,
    "events": [
        {
            "author": "ann",
            "action": "opened",
            "type": "issue",
            "title": "Crash",
            "comment": None,
            "description": "It crashes.",
        },
        {
            "author": "bob",
            "action": "created",
            "type": "comment",
            "title": None,
            "comment": "Why?",
            "description": None,
        },
    ],
}
PULL = ISSUE | {"issue_number": 4, "repo": "org/big", "pull_request": {"number": 4, "user_login": "bob"}}
LATE = ISSUE | {"issue_number": 5, "events": ISSUE["events"][1:]}
EMPTY = ISSUE | {"issue_number": 6, "events": []}


def read(path, **options):
    source, losses, rows = Conversations(path=str(path), **options), Losses(), []
    for shard in source.shards():
        for batch in source.read(shard, losses):
            assert {n: batch.schema.field(n).type for n in source.writes} == source.writes
            rows += batch.to_pylist()
    return rows, losses


def files(folder: Path, rows: list) -> list[Path]:
    parquet, lines = folder / "a.parquet", folder / "a.jsonl.gz"
    pq.write_table(pa.Table.from_pylist(rows), parquet)
    lines.write_bytes(gzip.compress("".join(json.dumps(r) + "\n" for r in rows).encode()))
    return [parquet, lines]


def test_both_formats_say_the_same(tmp_path):
    for file in files(tmp_path, [ISSUE, PULL, LATE, EMPTY]):
        rows, losses = read(file)
        assert [(r["repo_name"], r["path"], r["title"], r["pull_request"], r["no_opening"]) for r in rows] == [
            ("ann/tool", "issues/3", "Crash", False, False),
            ("org/big", "issues/4", "Crash", True, False),
            ("ann/tool", "issues/5", None, False, True),
        ]
        assert [(e["author"], e["action"], e["text"]) for e in rows[0]["events"]] == [
            ("ann", "opened", "It crashes."),
            ("bob", "created", "Why?"),
        ]
        assert rows[0]["content"] == "Crash\nIt crashes.\nWhy?"
        assert [(d["reason"], d["path"]) for d in losses.dropped] == [("no_events", "issues/6")]
        assert losses.noted == {"no_opening": 1}


def test_pull_requests_may_be_dropped(tmp_path):
    for file in files(tmp_path, [ISSUE, PULL]):
        rows, losses = read(file, pull_requests="drop")
        assert [r["path"] for r in rows] == ["issues/3"]
        assert [d["reason"] for d in losses.dropped] == ["pull_request"]


def test_long_conversations_are_dropped(tmp_path):
    for file in files(tmp_path, [ISSUE]):
        rows, losses = read(file, max_bytes=10)
        assert not rows and [(d["reason"], d["score"]) for d in losses.dropped] == [("too_large", 22.0)]


def test_markup_in_events_is_replaced(tmp_path):
    odd = ISSUE | {"events": [{"author": "ann", "comment": f"a{chr(FIRST_MARKUP)}b"}]}
    for file in files(tmp_path, [odd]):
        assert read(file)[0][0]["events"][0]["text"] == "a\N{REPLACEMENT CHARACTER}b"


def test_a_damaged_file_goes_to_quarantine(tmp_path):
    for file in files(tmp_path, [ISSUE]):
        file.write_bytes(file.read_bytes()[:-20])
        _, losses = read(file)
        assert len(losses.quarantined) == 1


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["author", "text", "comment", "title", "action"]), inner, max_size=4)
    ),
    max_leaves=10,
)
odd_rows = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("repo", "org", "issue_id", "issue_number", "pull_request"), values)
    | {"events": st.lists(values) | values},
)


@given(
    st.lists(
        odd_rows.map(lambda r: json.dumps(r).encode()) | st.binary(max_size=9).map(lambda b: b.replace(b"\n", b"")),
        max_size=6,
    )
)
def test_nothing_raises_and_nothing_vanishes(made):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.jsonl").write_bytes(b"\n".join(made))
        rows, losses = read(folder)
    if not any(q["path"] == "a.jsonl" for q in losses.quarantined):
        lines = [line.removeprefix(b"\xef\xbb\xbf") if n == 0 else line for n, line in enumerate(made)]
        found = len(rows) + len(losses.dropped) + len(losses.quarantined)
        assert found == sum(bool(line.strip()) for line in lines)
