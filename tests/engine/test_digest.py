"""Hashes of columns, against xxhash itself."""

import numpy as np
import pyarrow as pa
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from engine.digest import chances, digests, document_ids, hexes, without_markup

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=200), max_size=12)


@given(TEXTS)
def test_digests_are_xxh64_with_two_seeds(texts):
    expected = [[xxhash.xxh64_intdigest(t.encode(), seed=s) for s in (0, 0x5EED)] for t in texts]
    for kind in (pa.string(), pa.large_string()):
        assert digests(pa.array(texts, kind)).tolist() == expected


def test_digests_of_slices_and_nulls():
    column = pa.array(["zero", None, "two", "three" * 50], pa.large_string())
    assert digests(column[2:]).tolist() == digests(pa.array(["two", "three" * 50])).tolist()
    assert digests(column)[1].tolist() == [0, 0]


def test_hexes_are_the_digits_of_the_lanes():
    lanes = digests(pa.array(["a", "bc"]))
    assert hexes(lanes).to_pylist() == [f"{a:016x}{b:016x}" for a, b in lanes.tolist()]


def test_ids_depend_on_stream_columns_and_their_borders():
    one = document_ids("code", [pa.array(["ab", "a"]), pa.array(["c", "bc"])]).to_pylist()
    assert len(one[0]) == 32
    assert len({*one, *document_ids("other", [pa.array(["ab", "a"]), pa.array(["c", "bc"])]).to_pylist()}) == 4
    null, empty = (document_ids("code", [pa.array([v], pa.string())])[0].as_py() for v in (None, ""))
    assert null != empty


def test_chances_are_even_and_their_own_for_seed_and_salt():
    ids = pa.array([f"{n:032x}" for n in range(20_000)])
    draws = chances(ids, 1, "op")
    assert draws.min() >= 0 and draws.max() < 1
    assert abs(draws.mean() - 0.5) < 0.01
    assert np.abs(np.histogram(draws, 10, (0, 1))[0] - 2000).max() < 250
    for other in (chances(ids, 2, "op"), chances(ids, 1, "op2")):
        assert abs(np.corrcoef(draws, other)[0, 1]) < 0.05
    assert chances(ids[5:9], 1, "op").tolist() == draws[5:9].tolist()


@given(st.lists(st.text(st.sampled_from("aé\ufdcf\ufdd0\ufdef\ufdf0\uffff"), max_size=80), max_size=6))
def test_markup_characters_in_the_input_are_replaced(texts):
    expected = ["".join("\ufffd" if "\ufdd0" <= c <= "\ufdef" else c for c in t) for t in texts]
    found, count = without_markup(pa.array(texts, pa.large_string()))
    assert found.to_pylist() == expected
    assert count == sum(t != e for t, e in zip(texts, expected, strict=True))
