"""Stars: a strict bound, and no stars where none are known."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ops.popularity import Stars


@given(st.lists(st.none() | st.integers(0, 12)), st.integers(0, 10))
def test_stars(stars, bound):
    verdict = Stars(more_than=bound).drop(pa.array(stars, pa.int64()))
    assert verdict.reason().to_pylist() == [None if (n or 0) > bound else "too_few_stars" for n in stars]
    assert verdict.score().to_pylist() == [None if (n or 0) > bound else n or 0 for n in stars]


def test_five_are_too_few_by_default():
    verdict = Stars().drop(pa.array([None, 0, 5, 6, 100_000], pa.int64()))
    assert verdict.reason().to_pylist() == ["too_few_stars"] * 3 + [None] * 2


def test_a_bound_is_no_negative_number():
    with pytest.raises(ValidationError):
        Stars(more_than=-1)
