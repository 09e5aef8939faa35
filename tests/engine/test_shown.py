"""Texts made fit to be shown: nothing of them steers a terminal, and what is cut is counted."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.schema import MARKUP
from engine.shown import cut, excerpt, lines, one_line, visible

HOSTILE = st.text(st.characters(exclude_categories=("Cs",))) | st.text("ab \n\r\t\x1b\x00\x07\x9b\u202e\u2066\ufdd3")


@given(HOSTILE)
def test_nothing_shown_steers_a_terminal_or_turns_a_line(text):
    shown = visible(text)
    assert all(unicodedata.category(c) != "Cc" for c in shown if c not in "\n\t")
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200f\u2028\u2029")
    assert "\n" not in one_line(text) and "\t" not in one_line(text)


def test_special_tokens_are_spelled_out():
    assert visible(f"{MARKUP['<issue_start>']}x") == "<issue_start>x"


@given(HOSTILE, st.integers(1, 6), st.integers(1, 40))
def test_an_excerpt_counts_what_it_leaves_out(text, most, width):
    part = excerpt(text, most, width)
    assert part.before + len(part.lines) + part.after == len(lines(text))
    assert len(part.lines) == min(most, len(lines(text)))
    assert part.lines == [cut(line, width) for line in lines(text)[part.before : part.before + len(part.lines)]]


def test_an_excerpt_shows_the_line_that_is_far_too_long():
    text = "short\n" * 40 + "x" * 1000 + "\n" + "short\n" * 40
    part = excerpt(text, 5, 100)
    assert part.before == 38
    assert part.lines[2] == "x" * 100 + " … 900 more characters"


@pytest.mark.parametrize(
    ("text", "found"), [("", []), ("a", ["a"]), ("a\n", ["a"]), ("a\r\nb", ["a", "b"]), ("\n\n", ["", ""])]
)
def test_lines_are_those_of_an_editor(text, found):
    assert lines(text) == found
