import subprocess
import sys
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shingle_reference import code, shingles

from ops.shingles import shingle_sets, sort_hashes


def sets_of(content: pa.Array, n: int, rows: list[int] | None = None) -> list[list[int]]:
    values, offsets = shingle_sets(content, np.array(range(len(content)) if rows is None else rows, np.int64), n)
    assert values.dtype == np.uint64 and offsets.dtype == np.int64
    return [values[a:b].tolist() for a, b in pairwise(offsets)]


@given(st.lists(st.one_of(code, st.none()), max_size=5), st.integers(1, 8), st.booleans(), st.integers(0, 2))
def test_sets_are_those_of_the_reference(texts, n, large, cut):
    column = pa.array(texts, pa.large_string() if large else pa.string())[cut:]
    wanted = [sorted(shingles((t or "").encode(), n)) for t in texts[cut:]]
    assert sets_of(column, n) == wanted


@given(st.text(alphabet="ab_9é (", max_size=300), st.integers(0, 130))
def test_words_at_any_place_in_a_block(text, before):
    padding = " " * before
    assert sets_of(pa.array([padding + text]), 2) == [sorted(shingles(text.encode(), 2))]


def test_classes_of_all_bytes():
    texts = [bytes([65, b, 65]) for b in range(256)]
    assert sets_of(pa.array(texts, pa.binary()), 1) == [sorted(shingles(t, 1)) for t in texts]


def test_few_words_none_and_exactly_n():
    column = pa.array(["", " \n;", "one", "one two", "one two three", "one two three four"])
    assert [len(s) for s in sets_of(column, 3)] == [0, 0, 1, 1, 1, 2]


def test_order_and_length_of_words_matter():
    assert len({tuple(s) for s in sets_of(pa.array(["a b", "b a", "ab", "a", "a a", "aa", "a b a b"]), 5)}) == 7


def test_chosen_rows_in_both_parts_of_the_buffer():
    texts = [f"row {k} has these words and a few more of them" for k in range(40)] + ["a b"]
    column = pa.array(["cut off", *texts])[1:]
    rows = [0, 3, 17, 38, 39, 40]
    assert sets_of(column, 5, rows) == [sorted(shingles(texts[r].encode(), 5)) for r in rows]
    assert sets_of(column, 5, []) == []


@pytest.mark.parametrize(("rows", "n"), [([1, 0], 5), ([-1, 0], 5), ([0, 1], 0)])
def test_rows_that_do_not_ascend_and_shingles_of_no_words(rows, n):
    with pytest.raises(ValueError, match="at least one word, and rows that ascend"):
        shingle_sets(pa.array(["a b", "c d"]), np.array(rows), n)


def test_null_that_covers_bytes():
    hidden = pa.Array.from_buffers(
        pa.string(),
        2,
        [pa.py_buffer(b"\x02"), pa.py_buffer(np.array([0, 3, 6], np.int32)), pa.py_buffer(b"abcdef" + bytes(64))],
    )
    assert hidden.to_pylist() == [None, "def"]
    assert [len(s) for s in sets_of(hidden, 5)] == [0, 1]


def test_ten_megabytes():
    words = [f"word_{k}_of_many" for k in range(997)]
    rng = np.random.default_rng(3)
    block = " ".join(words[k] for k in rng.integers(0, len(words), 6000)) + "\n"
    text = block * (10_000_000 // len(block) + 1)
    assert len(text) > 10_000_000
    # The block's end runs into its beginning, and nothing else is new.
    assert sets_of(pa.array([text]), 5) == [sorted(shingles((block + block).encode(), 5))]


@given(st.lists(st.integers(0, 2**64 - 1), max_size=200), st.integers(1, 4))
def test_sort_hashes(values, times):
    array = np.array(values * times, np.uint64)
    count = sort_hashes(array, np.empty_like(array))
    assert array[:count].tolist() == sorted(set(values))


@pytest.mark.parametrize("low", [0, 7])
def test_sort_hashes_that_are_not_spread(low):
    array = np.arange(500, dtype=np.uint64)[::-1] % np.uint64(50) + np.uint64(low)
    assert array[: sort_hashes(array, np.empty_like(array))].tolist() == list(range(low, low + 50))


def test_another_process_compiles_nothing():
    column = "pa.array(['a b c d e f', 'g' * 100])"
    script = f"""
import numpy as np, pyarrow as pa
from ops import shingles
shingles.shingle_sets({column}, np.arange(2), 5)
print(dict(shingles._sets.stats.cache_misses), len(shingles._sets.stats.cache_hits))
"""
    shingle_sets(pa.array(["a b c d e f", "g" * 100]), np.arange(2), 5)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    misses, hits = done.stdout.rsplit(" ", 1)
    assert misses == "{}" and int(hits) > 0
