import sys
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.letters import DIGIT, LETTER, classes, unicode_version
from ops.measures import TextMeasures

TERMINATORS = ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
HEADER = "<?xml version="


def reference(text: str) -> dict[str, object]:
    lines = [len(line) for line in text.splitlines()]
    kinds = [classes()[ord(character)] for character in text]
    return {
        "characters": len(text),
        "lines": len(lines),
        "longest_line": max(lines, default=0),
        "mean_line": sum(lines) / max(len(lines), 1),
        "alphanumeric_fraction": sum(kind in (LETTER, DIGIT) for kind in kinds) / max(len(text), 1),
        "alphabetic_fraction": kinds.count(LETTER) / max(len(text), 1),
        "xml_header": HEADER in text[:100],
    }


def measured(column: pa.Array) -> list[dict[str, object]]:
    answer = TextMeasures().map(column)
    return pa.table(dict(answer)).to_pylist()


pieces = st.one_of(
    st.sampled_from([*TERMINATORS, HEADER, "<?xml version", "<", "x" * 63, "1" * 40, " " * 25, "é" * 30, "\u0301"]),
    st.text(max_size=80),
    st.text("𝒳\U0010ffff中é", max_size=40),
)
texts = st.lists(pieces, max_size=8).map("".join)


@given(st.lists(texts | st.none(), max_size=6), st.integers(0, 3), st.sampled_from([pa.string(), pa.large_string()]))
def test_measures_are_those_of_the_reference(values: list[str | None], start: int, kind: pa.DataType) -> None:
    column = pa.array(values, kind).slice(start)
    assert measured(column) == [reference(value or "") for value in values[start:]]


@pytest.mark.parametrize("terminator", TERMINATORS)
def test_lines_end_anywhere_in_a_window(terminator: str) -> None:
    texts = [
        "a" * before + terminator + "é" * middle + terminator + "b" * after
        for before in (*range(58, 68), 125, 126, 127, 128, 129)
        for middle in (0, 1, 30)
        for after in (0, 1)
    ]
    assert measured(pa.array(texts)) == [reference(text) for text in texts]


def test_the_longest_line_may_lie_within_a_window() -> None:
    texts = ["a\n" + "b" * size + "\nc\n" + "d" * 70 for size in range(80)]
    assert measured(pa.array(texts)) == [reference(text) for text in texts]


def test_a_pair_of_carriage_return_and_line_feed_is_no_pair_across_documents() -> None:
    texts = ["a" * 63 + "\r", "\nb", "\r", "\n"]
    assert [row["lines"] for row in measured(pa.array(texts))] == [1, 2, 1, 1]


@pytest.mark.parametrize("filler", ["a", "é", "中", "𝒳", "\n", "<"])
def test_an_xml_header_lies_wholly_within_100_characters(filler: str) -> None:
    texts = [filler * before + HEADER + '"1.0"?>' for before in (0, 1, 50, 51, 63, 64, 85, 86, 87, 88, 99, 100, 130)]
    found = [row["xml_header"] for row in measured(pa.array(texts))]
    assert found == [True] * 8 + [False] * 5


def test_a_header_is_not_completed_by_the_next_document() -> None:
    assert not any(row["xml_header"] for row in measured(pa.array(["<?xml ver", 'sion="1.0"?>' + "x" * 200])))


def test_a_null_that_covers_bytes_is_empty() -> None:
    column = pa.StringArray.from_buffers(
        2, pa.array([0, 5, 8], pa.int32()).buffers()[1], pa.py_buffer(b"wordsabc"), pa.py_buffer(b"\x02")
    )
    assert measured(column) == [reference(""), reference("abc")]


def test_every_letter_and_digit_of_the_table_is_counted() -> None:
    points = [point for point in range(sys.maxunicode + 1) if not 0xD800 <= point <= 0xDFFF]
    blocks = ["".join(map(chr, points[at : at + 4096])) for at in range(0, len(points), 4096)]
    answer = TextMeasures().map(pa.array(blocks))
    sizes = np.asarray(answer["characters"])
    letters, both = (np.asarray(answer[name]) @ sizes for name in ("alphabetic_fraction", "alphanumeric_fraction"))
    assert round(letters) == (classes() == LETTER).sum()
    assert round(both) == (classes() != 0).sum()


def test_the_table_is_that_of_its_unicode_version() -> None:
    python = np.array(
        [LETTER if chr(point).isalpha() else DIGIT * chr(point).isalnum() for point in range(sys.maxunicode + 1)]
    )
    shipped = classes()
    changed = python != shipped
    # A newer Unicode gives classes to points that had none.
    newer = tuple(map(int, unicodedata.unidata_version.split("."))) > tuple(map(int, unicode_version().split(".")))
    assert not (changed & (shipped != 0)).any()
    assert newer or not changed.any()
