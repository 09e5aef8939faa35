import re

import numpy as np
import pyarrow as pa
import pytest
from datasketch import MinHash as Oracle
from datasketch.lsh import _optimal_param
from hypothesis import given
from hypothesis import strategies as st
from shingle_reference import code, shingles, stack_shingles

from ops.minhash import THE_STACK, TILE, MinHash, band_hashes, best_bands, parameters, signatures


def oracle(hashes, minhash: MinHash) -> np.ndarray:
    sketch = Oracle(
        num_perm=minhash.permutations, seed=minhash.seed, scheme=minhash.scheme, hashfunc=lambda h: h & 0xFFFFFFFF
    )
    sketch.update_batch(hashes)
    return sketch.hashvalues


def check(texts: list[str], minhash: MinHash, column: pa.Array | None = None) -> None:
    got, counts = signatures(pa.array(texts) if column is None else column, minhash)
    assert got.dtype == np.uint32 and got.shape == (len(texts), minhash.permutations)
    for text, signature, count in zip(texts, got, counts, strict=True):
        words = len(re.findall(rb"[0-9A-Za-z_\x80-\xff]+", text.encode()))
        hashes = stack_shingles(text, minhash.n) if minhash.shingles == "stack" else shingles(text.encode(), minhash.n)
        np.testing.assert_array_equal(signature, oracle(sorted(set(hashes)), minhash))
        assert count == (len(hashes) if minhash.shingles == "stack" else max(words - minhash.n + 1, min(words, 1)))


@given(
    st.lists(code, max_size=3),
    st.sampled_from([1, 7, 64]),
    st.integers(1, 6),
    st.sampled_from([1, 42, 2**32 - 1]),
    st.sampled_from(["affine32", "legacy"]),
    st.sampled_from(["words", "stack"]),
)
def test_signatures_are_datasketchs(texts, permutations, n, seed, scheme, kind):
    check(texts, MinHash(permutations, n, seed, scheme, kind))


@given(st.lists(st.one_of(code, st.none()), min_size=2, max_size=6), st.integers(0, 2), st.booleans())
def test_slices_nulls_and_offsets_of_both_widths(texts, cut, large):
    column = pa.array(texts, pa.large_string() if large else pa.string())[cut:-1]
    check([t or "" for t in texts[cut:-1]], MinHash(16), column)


@pytest.mark.parametrize(
    "minhash", [MinHash(), MinHash(scheme="legacy"), THE_STACK], ids=["affine32", "legacy", "stack"]
)
def test_more_shingles_than_a_tile(minhash):
    rng = np.random.default_rng(1)
    text = " ".join(f"w{k}" for k in rng.integers(0, 10**6, 2 * TILE + 100))
    check([text, "", "one", "a b c d e"], minhash)


def test_ten_megabytes():
    rng = np.random.default_rng(4)
    block = " ".join(f"word_{k}_of_many" for k in rng.integers(0, 997, 3000)) + "\n"
    text = block * (10_000_000 // len(block) + 1)
    got, counts = signatures(pa.array([text], pa.large_string()), MinHash())
    np.testing.assert_array_equal(got[0], oracle(sorted(shingles((block + block).encode(), 5)), MinHash()))
    assert counts[0] == 3000 * (len(text) // len(block)) - 4


def test_a_document_without_shingles():
    got, counts = signatures(pa.array(["", None, "?!"]), MinHash(8))
    assert (got == 2**32 - 1).all() and not counts.any()
    assert signatures(pa.array([], pa.string()), MinHash(8))[0].shape == (0, 8)


@pytest.mark.parametrize("scheme", ["affine32", "legacy"])
def test_parameters_are_datasketchs(scheme):
    a, b = parameters(MinHash(seed=42, scheme=scheme))
    np.testing.assert_array_equal(np.stack([a, b]), Oracle(256, 42, scheme=scheme).permutations)


def test_similarity_is_estimated():
    rng = np.random.default_rng(2)
    words = [f"w{k}" for k in rng.integers(0, 5000, 4000)]
    other = words[:3200] + [f"v{k}" for k in range(800)]
    left, right = (shingles(" ".join(w).encode(), 5) for w in (words, other))
    got, _ = signatures(pa.array([" ".join(words), " ".join(other)]), MinHash(4096))
    assert abs((got[0] == got[1]).mean() - len(left & right) / len(left | right)) < 4 * 0.5 / 64


@pytest.mark.parametrize("wrong", [{"n": 0}, {"permutations": 0}])
def test_figures_that_make_no_signature(wrong):
    with pytest.raises(ValueError, match="both must be at least 1"):
        MinHash(**wrong)


# --- bands ------------------------------------------------------------------------------------------------------


def test_documents_meet_where_all_rows_of_a_band_agree():
    rng = np.random.default_rng(5)
    sketches = rng.integers(0, 2, (60, 12)).astype(np.uint32)
    hashes = band_hashes(sketches, 4, 3)
    assert hashes.shape == (60, 4) and hashes.dtype == np.uint64
    names = {}
    for document in range(60):
        for band in range(4):
            names.setdefault((band, *sketches[document, 3 * band : 3 * band + 3].tolist()), set()).add(
                int(hashes[document, band])
            )
    assert len(names) == 4 * 8
    assert all(len(given) == 1 for given in names.values())
    assert len(set.union(*names.values())) == len(names)


def test_groups_do_not_meet():
    sketches = np.ones((4, 6), np.uint32)
    hashes = band_hashes(sketches, 2, 3, np.array([7, 7, 8, 2**64 - 1], np.uint64))
    assert (hashes[0] == hashes[1]).all()
    assert len(np.unique(hashes)) == 6


def test_bands_must_fit():
    with pytest.raises(ValueError, match="26 bands of 10 rows need 260 permutations; there are 256"):
        band_hashes(np.zeros((1, 256), np.uint32), 26, 10)


def test_best_bands_of_the_papers():
    assert best_bands(0.7, 256) == (25, 10)
    assert best_bands(0.85, 256) == (13, 19)


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.1, 0.9)])
def test_best_bands_are_datasketchs(threshold, weights):
    assert best_bands(threshold, 64, weights) == _optimal_param(threshold, 64, *weights)
