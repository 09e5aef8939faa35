"""The lines that a commit changed, and how lines are cut out."""

from __future__ import annotations

import difflib

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from engine.schema import TEXT
from ops.commit_changes import COMMIT, CommitChanges, lines_of, subjects

texts = st.text(st.sampled_from("ab\n\né"), max_size=40)


def lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n") if text else []


def spans(old: str, new: str) -> tuple[int, int, int, int]:
    a, b = lines(old), lines(new)
    first = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    rest = min(len(a), len(b)) - first
    back = zip(reversed(a), reversed(b), strict=False)
    last = min(rest, next((n for n, (x, y) in enumerate(back) if x != y), rest))
    return first, len(a) - last, first, len(b) - last


def measured(pairs) -> list[dict]:
    commits = pa.array([{"old_contents": old, "message": "m", "author_time": 0} for old, _ in pairs], COMMIT)
    found = CommitChanges().map(pa.array([new for _, new in pairs], TEXT), commits)
    return pa.table(dict(found)).to_pylist()


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5), texts, texts)
def test_the_change_is_what_is_not_common_at_both_ends(pairs, head, tail):
    pairs += [(head + old + tail, head + new + tail) for old, new in pairs]
    for (old, new), row in zip(pairs, measured(pairs), strict=True):
        found = [row[f"{side}_change_{end}"] for side in ("old", "new") for end in ("start", "end")]
        assert tuple(found) == spans(old, new)
        assert (row["old_characters"], row["new_characters"]) == (len(old), len(new))


@given(st.lists(st.integers(0, 99), unique=True), st.lists(st.integers(0, 99), unique=True))
def test_the_change_is_that_of_difflib_where_no_line_repeats(old, new):
    """StarCoder took spans from `SequenceMatcher`: those from the first to the last block that is not equal."""
    blocks = [b for b in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes() if b[0] != "equal"]
    ((row),) = measured([("".join(f"{n}\n" for n in old), "".join(f"{n}\n" for n in new))])
    if blocks:
        _, start, _, after, _ = blocks[0]
        _, _, end, _, after_end = blocks[-1]
        found = [row[f"{side}_change_{e}"] for side in ("old", "new") for e in ("start", "end")]
        assert found == [start, end, after, after_end]
    else:
        assert row["old_change_start"] == row["old_change_end"] == len(old)


def test_a_line_feed_at_the_end_more_or_less_changes_no_line():
    (row,) = measured([("a\nb", "a\nb\n")])
    assert row["old_change_start"] == row["old_change_end"] == row["new_change_end"] == 2


def test_what_is_no_commit_has_no_measures():
    commits = pa.array([None, {"old_contents": "a\n", "message": "", "author_time": 0}], COMMIT)
    found = pa.table(dict(CommitChanges().map(pa.array(["x", "b\n"], TEXT), commits))).to_pylist()
    assert set(found[0].values()) == {None} and found[1]["old_change_end"] == 1


@given(st.lists(st.tuples(texts, st.integers(-3, 12), st.integers(-3, 15)), min_size=1, max_size=6))
def test_lines_are_cut_out_as_lists_of_lines_are(rows):
    text, starts, ends = zip(*rows, strict=True)
    wanted = ["\n".join(lines(t)[max(s, 0) : max(e, 0)]) for t, s, e in rows]
    for part in (pa.array(text, TEXT), pa.array(["skipped", *text], TEXT).slice(1)):
        assert lines_of(part, starts, ends).to_pylist() == wanted


def test_the_subject_is_the_first_line():
    commits = [
        {"old_contents": "", "message": m, "author_time": 0} for m in ("One\n\ntwo", "One\r\nTwo", "One", "", "\nx")
    ]
    assert subjects(pa.array(commits, COMMIT)).to_pylist() == ["One", "One", "One", "", ""]
