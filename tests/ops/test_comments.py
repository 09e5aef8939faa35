"""Comments as a share of a text, and the filter by it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from engine.schema import TEXT
from ops.comments import CommentRatio, Comments


def fractions(languages: list[str | None], texts: list[str]) -> list[float | None]:
    return Comments().map(pa.array(texts, TEXT), pa.array(languages, TEXT))["comment_fraction"].to_pylist()


def test_languages_that_are_not_known_have_no_fraction():
    assert fractions(["json", None, "c", "python", "c"], ["// a", "// a", "", "", "// a"]) == [
        None,
        None,
        None,
        None,
        1.0,
    ]
    assert fractions([], []) == []


def test_columns_that_begin_in_the_middle_of_a_buffer():
    content, language = (
        pa.array(["// a", "x // b", "# c"], TEXT).slice(1),
        pa.array(["c", "c", "python"], TEXT).slice(1),
    )
    assert Comments().map(content, language)["comment_fraction"].to_pylist() == [
        pytest.approx(4 / 6),
        pytest.approx(2 / 3),
    ]


def why(rows: list[tuple[str | None, float | None]], **parameters: Any) -> list[str | None]:
    language, fraction = [row[0] for row in rows], [row[1] for row in rows]
    verdict = CommentRatio(**parameters).drop(pa.array(language, TEXT), pa.array(fraction, pa.float64()))
    return verdict.reason().to_pylist()


def test_both_bounds_are_strict():
    few, many = "too_few_comments", "too_many_comments"
    rows = [("python", 0.0), ("java", 0.01), ("javascript", 0.0101), ("python", 0.7999), ("java", 0.8), ("python", 1.0)]
    assert why(rows) == [few, few, None, None, many, many]
    assert why(rows, more_than=0, less_than=1.5) == [few, None, None, None, None, None]


def test_only_the_languages_named_are_judged():
    rows = [("go", 0.0), ("python", 0.0), (None, 0.0), ("python", None)]
    assert why(rows) == [None, "too_few_comments", None, None]
    assert why(rows, languages=["go"]) == ["too_few_comments", None, None, None]
    with pytest.raises(ValidationError, match="how `pyton` writes comments is not known; did you mean `python`"):
        CommentRatio(languages=("pyton",))


def test_the_figure_is_the_fraction():
    verdict = CommentRatio().drop(pa.array(["python", "java", "java"], TEXT), pa.array([0.9, 0.005, 0.5]))
    assert verdict.score().to_pylist() == [0.9, 0.005, None]
