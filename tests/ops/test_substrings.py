"""Many strings at once: what `in` says of each."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from engine.schema import TEXT
from ops.substrings import Substrings, rows_with_wide_capitals, without_white_space

_TEXT = st.text(alphabet="aAbBzZ_ \t\n\x1c\u00a0\u3000éÉßİΣςǅКkIı中😀", max_size=60)


def _first(strings: list[str], text: str) -> int:
    return next((n for n, s in enumerate(strings) if s in text.lower()), -1)


@given(st.lists(_TEXT, min_size=1, max_size=8), st.lists(_TEXT, max_size=12), st.randoms())
def test_first_is_the_first_string_in_the_text(strings, texts, random):
    strings = [s.lower() for s in strings if len(s.lower().encode()) >= 8] or ["abababab"]
    # Most texts are to hold one of the strings, in capitals or not.
    texts = [
        t + random.choice([s, s.upper(), s[1:], ""]) + random.choice(texts)
        for t in texts
        for s in [random.choice(strings)]
    ]
    found = Substrings([s.encode() for s in strings]).first(pa.array(texts, TEXT))
    assert found.tolist() == [_first(strings, t) for t in texts]


def test_strings_of_every_length_are_found_at_every_place():
    whole = "".join(chr(97 + n * 7 % 26) + chr(97 + n * n % 25) for n in range(40))
    for size in (8, 9, 14, 15, 16, 23, 40):
        for lead in range(17):
            column = pa.array(
                ["x" * lead + whole[:size], "x" * lead + whole[: size - 1], whole[:size] + "y" * lead], TEXT
            )
            assert Substrings([whole[:size].encode()]).first(column).tolist() == [0, -1, 0]


def test_a_string_does_not_span_two_rows():
    column = pa.array(["abcdefgh", "ijklmnop", None, "abcdefghijklmnop"], TEXT)
    assert Substrings([b"abcdefghijklmnop"]).first(column).tolist() == [-1, -1, -1, 0]
    assert Substrings([b"abcdefghijklmnop"]).first(column.slice(2)).tolist() == [-1, 0]


@given(st.lists(_TEXT, max_size=10))
def test_white_space_is_what_isspace_says(texts):
    assert without_white_space(pa.array(texts, TEXT)).to_pylist() == ["".join(t.split()) for t in texts]


@given(st.lists(st.text(max_size=20), max_size=10))
def test_wide_capitals_are_those_that_lower_changes(texts):
    marked = rows_with_wide_capitals(pa.array(texts, TEXT)).tolist()
    assert marked == [n for n, t in enumerate(texts) if any(ord(c) > 127 and c.lower() != c for c in t)]
