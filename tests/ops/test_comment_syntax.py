"""How each language writes comments: small texts (`comment_samples.txt`) in which « and » stand around what counts."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest

from engine.schema import TEXT
from ops.comment_syntax import LANGUAGES, REGIONS, tables
from ops.comments import Comments
from ops.language import folders

SAMPLES = (Path(__file__).parent / "comment_samples.txt").read_text("utf-8").split("== ")[1:]
MARKED = dict(sample.split("\n", 1) for sample in SAMPLES)


def fractions(languages: list[str], texts: list[str]) -> list[float | None]:
    return Comments().map(pa.array(texts, TEXT), pa.array(languages, TEXT))["comment_fraction"].to_pylist()


@pytest.mark.parametrize(("language", "marked"), MARKED.items())
def test_what_counts_as_a_comment(language, marked):
    text = marked.replace("«", "").replace("»", "")
    found = fractions([language], [text])[0]
    expected = sum(map(len, re.findall("«(.*?)»", marked, re.DOTALL)))
    assert found is not None
    assert round(found * len(text)) == expected


def test_every_line_of_the_table_has_an_example():
    for names in REGIONS:
        assert set(names.split()) & set(MARKED), names
    assert set(MARKED) <= set(LANGUAGES)


def test_the_table_speaks_of_known_languages_once_each():
    assert len(set(LANGUAGES)) == len(LANGUAGES)
    assert set(LANGUAGES) - folders() == {"objective-c"}, "which only files that tell their language can have"


def test_longer_openings_go_first():
    widths = tables().widths[:, :, 0]
    assert (widths[:, :-1] >= widths[:, 1:]).all()
