"""Commits as text: the markup, the window of lines, and the chance by which it is drawn."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.digest import document_ids
from engine.op import Batch
from engine.schema import TEXT, spell_out
from ops.commit_changes import COMMIT, CommitChanges
from ops.render_commit import RenderCommit


def commits(*rows: tuple[str, str, str] | None) -> Batch:
    ids = document_ids("commits", [pa.array([str(n) for n in range(len(rows))], TEXT)])
    made = [row and {"old_contents": row[0], "message": row[2], "author_time": 0} for row in rows]
    contents = pa.array([row[1] if row else "no commit" for row in rows], TEXT)
    columns = {"id": ids, "content": contents, "commit": pa.array(made, COMMIT)}
    return CommitChanges().run(pa.RecordBatch.from_pydict(columns))


def rendered(batch: Batch, **options) -> list[str]:
    return [spell_out(text) for text in RenderCommit(**options).run(batch).column("content").to_pylist()]


def parts(text: str) -> tuple[str, str, str]:
    before, _, rest = text.removeprefix("<commit_before>").partition("<commit_msg>")
    message, _, after = rest.partition("<commit_after>")
    return before, message, after


def lines(count: int) -> list[str]:
    return [f"line {n}" for n in range(count)]


OLD, NEW = lines(200), [*lines(100), "new", *lines(200)[101:]]
ONE = ("\n".join(OLD) + "\n", "\n".join(NEW) + "\n", "Change line 100\n\nSince it was old.\n")


def test_format():
    (text,) = rendered(commits(("a = 1\n", "a = 2\n", "Count on\n\nMore.\n")), whole=1)
    assert text == "<commit_before>a = 1\n<commit_msg>Count on<commit_after>a = 2\n"


def test_only_the_subject_is_the_message():
    assert parts(rendered(commits(ONE))[0])[1] == "Change line 100"


def test_full_files_by_a_fifth():
    texts = rendered(commits(*[ONE] * 3000))
    whole = [parts(text)[0] == ONE[0] and parts(text)[2] == ONE[1] for text in texts]
    assert sum(whole) / len(whole) == pytest.approx(0.2, abs=0.03)


def test_window():
    seen: set[tuple[int, int]] = set()
    for text in rendered(commits(*[ONE] * 3000), whole=0):
        before, _, after = parts(text)
        above = 100 - OLD.index(before.split("\n")[0]) if before.split("\n")[0] != "line 100" else 0
        below = len(before.split("\n")) - above - 1
        assert before == "\n".join(OLD[100 - above : 101 + below])
        assert after == "\n".join(NEW[100 - above : 101 + below])  # the same offsets in both files
        seen.add((above, below))
    assert {a for a, _ in seen} == {b for _, b in seen} == set(range(32))
    assert len(seen) > 800  # drawn apart from each other


def test_window_is_cut_at_the_ends_of_the_file():
    rows = commits(*[("a\nb\nc\n", "a\nx\nc\n", "m")] * 9000)
    found = {parts(text)[0] for text in rendered(rows, whole=0)}
    assert found == {"b", "a\nb", "b\nc", "a\nb\nc"}


def test_window_of_an_insertion_may_be_empty_before():
    rows = commits(*[("a\nb\n", "a\nnew\nb\n", "m")] * 2000)
    found = {(parts(text)[0], parts(text)[2]) for text in rendered(rows, whole=0)}
    assert found == {("", "new"), ("a", "a\nnew"), ("b", "new\nb"), ("a\nb", "a\nnew\nb")}


def test_window_in_reproduction_begins_with_the_file():
    for text in rendered(commits(*[ONE] * 100), whole=0, reproduce=True):
        before, _, after = parts(text)
        count = len(before.split("\n"))
        assert 101 <= count <= 132 and before == "\n".join(OLD[:count]) and after == "\n".join(NEW[:count])


def test_a_new_file_has_nothing_before():
    assert rendered(commits(("", "a\nb\n", "Add it")), whole=0) == [
        "<commit_before><commit_msg>Add it<commit_after>a\nb"
    ]


def test_the_commit_goes_once_the_text_says_it_all():
    batch = commits(ONE)
    assert RenderCommit().run(batch).column("commit").null_count == 1
    assert RenderCommit(keep_commit=True).run(batch).column("commit").to_pylist() == batch.column("commit").to_pylist()


def test_spelled_out_tokens_stay_text():
    op = RenderCommit(whole=1)
    (text,) = op.run(commits(("<commit_msg>\n", "b\n", "Say <commit_after>"))).column("content").to_pylist()
    assert text.count("<commit_msg>") == text.count("<commit_after>") == 1
    assert sum(0xFDD0 <= ord(c) <= 0xFDEF for c in text) == 3


text = st.text(st.sampled_from("ab\n\r é"), max_size=30)


@given(st.lists(st.one_of(st.none(), st.tuples(text, text, text)), min_size=1, max_size=8), st.integers(0, 9))
def test_nothing_raises_and_each_part_is_of_its_file(rows, seed):
    for row, made in zip(rows, rendered(commits(*rows), seed=seed, lines=3), strict=True):
        if row is None:
            assert made == "no commit"
            continue
        before, message, after = parts(made)
        assert before in row[0] and after in row[1] and row[2].startswith(message)
