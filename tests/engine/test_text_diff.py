"""What differs between two texts: nothing is lost, and what is not marked is the same on both sides."""

from __future__ import annotations

from difflib import unified_diff

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import text_diff
from engine.shown import lines
from engine.text_diff import Fold, Row, rows

LINES = st.lists(st.sampled_from(["a = 1", "b = 2", "", "    return a + b", "def f(x):", "x" * 9]), max_size=14)
TEXTS = LINES.map("\n".join)


def text_of(line):
    return "".join(piece.text for piece in line.pieces)


@given(TEXTS, TEXTS)
def test_all_lines_of_both_texts_are_there_in_order(before, after):
    found = rows(before, after, around=1000)
    if lines(before) == lines(after):
        # Where nothing differs there is nothing to show lines around.
        assert sum(row.lines if isinstance(row, Fold) else row.same for row in found) == len(lines(before))
        return
    assert not [row for row in found if isinstance(row, Fold)]
    for side, text in (("before", before), ("after", after)):
        shown = [getattr(row, side) for row in found if getattr(row, side)]
        assert [text_of(line) for line in shown] == lines(text)
        assert [line.number for line in shown] == list(range(1, len(shown) + 1))


@given(TEXTS, TEXTS)
def test_what_is_not_marked_is_equal_and_what_is_equal_is_not_marked(before, after):
    for row in (r for r in rows(before, after, around=1000) if isinstance(r, Row)):
        if row.same:
            assert text_of(row.before) == text_of(row.after)
            assert not any(piece.marked for piece in (*row.before.pieces, *row.after.pieces))
        elif row.before and row.after:
            plain = ["".join(p.text for p in line.pieces if not p.marked) for line in (row.before, row.after)]
            assert plain[0] == plain[1]
            assert text_of(row.before) != text_of(row.after)


@given(TEXTS, TEXTS, st.integers(0, 3))
def test_folds_stand_for_the_equal_lines_between(before, after, around):
    found, at = rows(before, after, around), 0
    for row in found:
        if isinstance(row, Fold):
            at += row.lines
        elif row.before:
            at += 1
            assert row.before.number == at
    assert at == len(lines(before))


@given(TEXTS, TEXTS)
def test_texts_differ_where_difflib_says_so(before, after):
    changed = any(isinstance(row, Row) and not row.same for row in rows(before, after))
    assert changed == bool(list(unified_diff(lines(before), lines(after))))


@given(TEXTS, st.integers(0, 200))
def test_a_beginning_of_a_text_does_not_differ_from_it(text, end):
    assert not [r for r in rows(text[:end], text, whole=False) if isinstance(r, Row) and not r.same]


def test_a_change_within_a_line_is_marked_alone():
    (row,) = rows("name = 'iso8859-7',", "name = 'cp1253',")
    assert [p.text for p in row.before.pieces if p.marked] == ["iso8859-7"]
    assert [p.text for p in row.after.pieces if p.marked] == ["cp1253"]


@pytest.mark.parametrize("count", [3, 3000])
def test_texts_that_have_nothing_in_common_are_one_change(monkeypatch, count):
    monkeypatch.setattr(text_diff, "LARGEST", 100)
    found = rows("".join(f"a{n}\n" for n in range(count)), "".join(f"b{n}\n" for n in range(count)))
    assert len(found) == count
    assert all(row.before and row.after and not row.same for row in found)
