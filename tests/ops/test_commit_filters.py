"""The rules of StarCoder's commits, each under its own name."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.digest import document_ids
from engine.op import Batch, Filter, Ledger
from engine.schema import TEXT
from ops.commit_changes import COMMIT, CommitChanges
from ops.commit_filters import DULL, CommitChange, CommitSize, CommitSubject
from ops.language import Language


def commits(*rows: tuple[str, str, str], copies: int = 1) -> Batch:
    """Commits of (file before, file after, message), each as often as told."""
    rows = tuple(row for row in rows for _ in range(copies))
    ids = document_ids("commits", [pa.array([str(n) for n in range(len(rows))], TEXT)])
    made = [{"old_contents": old, "message": message, "author_time": 0} for old, _, message in rows]
    columns = {"id": ids, "content": pa.array([new for _, new, _ in rows], TEXT), "commit": pa.array(made, COMMIT)}
    return CommitChanges().run(pa.RecordBatch.from_pydict(columns))


def fates(op: Filter, batch: Batch) -> list[str | None]:
    return op.judge(batch)[1].reason().to_pylist()


def kept(op: Filter, batch: Batch) -> float:
    return op.run(batch, Ledger()).num_rows / batch.num_rows


def lines(count: int, first: str = "line") -> str:
    return "".join(f"{first} {n}\n" for n in range(count))


# --- size -------------------------------------------------------------------------------------------------------


def test_size():
    fair, large = "é" * 99_999, "é" * 100_000
    batch = commits((fair, fair, "m"), (large, "x", "m"), ("x", large, "m"))
    assert fates(CommitSize(), batch) == [None, "old_file_too_large", "new_file_too_large"]
    assert fates(CommitSize(reproduce=True), batch) == [None, "old_file_too_large", None]


def test_empty_new_file():
    assert fates(CommitSize(), commits(("a\n", "", "m"), ("", "a\n", "m"))) == ["empty_new_file", None]


# --- the change -------------------------------------------------------------------------------------------------

SMALL = (lines(50), lines(50).replace("line 25\nline 26\n", "other\nmore\n"), "m")
MIDDLE = (lines(50), lines(50).replace("line 25\nline 26\nline 27\n", "other\n"), "m")
LARGE = (lines(300), "other\n" + lines(300, "new"), "m")


def test_small_change():
    few = commits(SMALL, copies=4000)
    assert kept(CommitChange(), few) == pytest.approx(0.5, abs=0.03)
    assert kept(CommitChange(small_share=0.1), few) == pytest.approx(0.1, abs=0.02)
    assert set(fates(CommitChange(small_share=0), few)) == {"small_change"}
    assert set(fates(CommitChange(small=1), few)) == {None}


def test_large_change():
    many = commits(LARGE, copies=1500)
    assert kept(CommitChange(), many) == pytest.approx(0.1, abs=0.03)
    assert set(fates(CommitChange(large_share=0), many)) == {"large_change"}
    assert set(fates(CommitChange(large=302), many)) == {None}


def test_change_between_small_and_large_is_kept():
    assert set(fates(CommitChange(small_share=0, large_share=0), commits(MIDDLE, copies=50))) == {None}


def test_a_large_new_file_is_a_large_change():
    assert fates(CommitChange(large_share=0), commits(("", lines(250), "m"))) == ["large_change"]


def test_change_start_in_reproduction_is_the_first_line():
    late = (lines(250), lines(249) + "other\n", "m")
    early = ("one\n" + lines(250), "two\n" + lines(250), "m")
    true, bug = CommitChange(small_share=0, large_share=0), CommitChange(small_share=0, large_share=0, reproduce=True)
    assert fates(true, commits(late, early)) == ["small_change", "small_change"]
    assert fates(bug, commits(late, early)) == ["large_change", "small_change"]


# --- the subject ------------------------------------------------------------------------------------------------


def subject(*messages: str, **options) -> list[str | None]:
    return fates(CommitSubject(**{"short_share": 1, **options}), commits(*(("a\n", "b\n", m) for m in messages)))


def test_subject_empty():
    assert subject("", "  \t", "\n\nbody", "Say what was done here") == ["empty_subject"] * 3 + [None]


def test_subject_contains():
    told = ("Auto Commit of today", "please update CONTRIBUTING guide", '<?XML version="1.0"?> in front')
    assert subject(*told, "automatic commits") == ["automatic_subject"] * 3 + [None]


def test_subject_equals():
    assert subject(*DULL, "README", "Update README.md") == ["dull_subject"] * (len(DULL) + 2)
    assert subject("update the readme", "tests", "readme ") == [None] * 3


def test_short_subject():
    short, long = ("a\n", "b\n", "fix the area bug"), ("a\n", "b\n", "fix the area bug now")
    assert kept(CommitSubject(), commits(short, copies=4000)) == pytest.approx(0.5, abs=0.03)
    assert set(fates(CommitSubject(short_share=0), commits(short))) == {"short_subject"}
    assert set(fates(CommitSubject(short_share=0), commits(long))) == {None}


def test_version_subject():
    assert subject("v1.2.3", "1.20.3 released to the world") == ["version_subject"] * 2
    assert subject("version 1.2.3", "1.2 released", "to v1.2.3") == [None] * 3


def test_hash_like_subject():
    assert subject("9f86d081884c7d659a2feaa0c55ad015", "é" * 21, "é" * 20) == ["hash_like_subject"] * 2 + [None]


def test_odd_leading_space():
    assert subject(" moved", " moved it", "moved") == ["odd_leading_space", None, None]


def test_only_the_first_line_counts():
    assert subject("A subject that says something\n\nupdate contributing\n") == [None]


# --- the file ---------------------------------------------------------------------------------------------------


def test_extension():
    """The rule for names of files is that of the op `language`: what The Stack's map knows, and whole names."""
    paths = ["src/a.py", "Dockerfile", "sub/Makefile", "LICENSE", "notes.unheard_of", "A.PY"]
    batch = pa.RecordBatch.from_pydict({"path": pa.array(paths, TEXT)})
    reasons = fates(Language(), batch)
    assert [reason is None for reason in reasons] == [True, True, True, False, False, True]


# --- all --------------------------------------------------------------------------------------------------------


def test_chance_hangs_on_the_id_and_the_seed_alone():
    batch = commits(SMALL, copies=200)
    whole = fates(CommitChange(seed=3), batch)
    assert whole == fates(CommitChange(seed=3), batch.slice(0, 90)) + fates(CommitChange(seed=3), batch.slice(90))
    assert whole != fates(CommitChange(seed=4), batch)
    larger = fates(CommitChange(seed=3, small_share=0.7), batch)
    assert all(b is None for a, b in zip(whole, larger, strict=True) if a is None)


@given(
    st.lists(
        st.one_of(st.none(), st.tuples(st.text(max_size=9), st.text(max_size=9), st.text(max_size=30))), min_size=1
    )
)
def test_nothing_raises_and_what_is_no_commit_is_kept(rows):
    made = [row and {"old_contents": row[0], "message": row[2], "author_time": 0} for row in rows]
    columns = {
        "id": pa.array([str(n) for n in range(len(rows))], TEXT),
        "content": pa.array([row[1] if row else "x" for row in rows], TEXT),
        "commit": pa.array(made, COMMIT),
    }
    batch = CommitChanges().run(pa.RecordBatch.from_pydict(columns))
    for op in (CommitSize(), CommitChange(), CommitSubject()):
        found = fates(op, batch)
        assert all(found[n] is None for n, row in enumerate(rows) if row is None)


@given(st.lists(st.text(st.sampled_from("a \t\u00a0é\u3000"), max_size=12), min_size=1, max_size=8))
def test_words_are_those_of_python(messages):
    reasons = subject(*messages, words=0, word_characters=2)
    for message, reason in zip(messages, reasons, strict=True):
        words = len(message.split())
        empty, long = not words, bool(words) and len(message) / words > 2
        assert (reason == "empty_subject") == empty
        assert (reason == "hash_like_subject") == long
