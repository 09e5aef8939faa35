import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from shingle_reference import sha1_hash, stack_shingles

from engine.columns import OVERREAD
from ops.stack_shingles import sha1_32, stack_shingle


def kernel(text: str, n: int, before: int = 0) -> tuple[list[int], int]:
    data = np.frombuffer(b"A" * before + text.encode() + bytes(OVERREAD), np.uint8)
    size = len(data) - OVERREAD - before
    flat, edges = np.empty(size + OVERREAD, np.uint8), np.empty(size + 2, np.int64)
    out = np.empty(size + 2, np.uint64)
    put, count = stack_shingle(data, before, before + size, n, flat, edges, np.empty(64, np.uint64), out)
    return out[:put].tolist(), count


@given(st.binary(max_size=300), st.integers(0, 3))
def test_sha1_is_hashlibs(data, before):
    array = np.frombuffer(b"x" * before + data, np.uint8)
    state, w, tail = np.empty(5, np.uint32), np.empty(80, np.uint32), np.empty(128, np.uint8)
    got = sha1_32(array, before, before + len(data), state, w, tail)
    assert int(got).to_bytes(4, "little") == hashlib.sha1(data).digest()[:4]


def test_sha1_at_the_edges_of_blocks():
    for size in (0, 55, 56, 63, 64, 65, 119, 120, 128, 1000):
        test_sha1_is_hashlibs.hypothesis.inner_test(b"q" * size, 1)


@given(
    st.lists(
        st.one_of(st.sampled_from(["a", "B_9", " ", "\n", "(", "é", "日本", "name" * 20]), st.text(max_size=4))
    ).map("".join),
    st.integers(1, 6),
    st.integers(0, 3),
)
def test_shingles_are_the_papers(text, n, before):
    wanted = stack_shingles(text, n)
    got, count = kernel(text, n, before)
    assert set(got) == set(wanted)
    assert count == len(wanted)


def test_empty_tokens_count():
    assert kernel("    ", 5) == ([sha1_hash("    ")], 1)
    assert kernel("a b c d", 5) == ([], 0)
    assert kernel("", 1) == ([sha1_hash("")], 1)


def test_a_repeat_is_left_out():
    got, count = kernel(" " * 1000, 5)
    assert len(got) == 1 and count == 997
