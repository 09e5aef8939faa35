"""The order of samples: each comes once an epoch, any place is known at once, weights are exact."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.order import BLOCK, Order, permuted, shared_out

seeds = st.integers(0, 2**63 - 1)


@given(st.integers(1, 3000), seeds)
def test_a_permutation_has_every_number_once(count, key):
    assert sorted(permuted(n, count, np.uint64(key)) for n in range(count)) == list(range(count))


@given(st.integers(1, 400), seeds, st.integers(0, 3))
def test_an_epoch_has_every_sample_once_and_epochs_differ(count, seed, epoch):
    order = Order(seed, (count,))
    epochs, samples = order.places(epoch * count, count)
    assert sorted(samples) == list(range(count)) and set(epochs) == {epoch}
    if count > 50:
        assert samples.tolist() != order.places((epoch + 1) * count, count)[1].tolist()
        assert samples.tolist() != Order(seed + 1, (count,)).places(epoch * count, count)[1].tolist()


@given(seeds, st.integers(0, 10**12), st.integers(1, 50))
def test_any_place_is_known_without_the_ones_before(seed, first, count):
    for order in (Order(seed, (70, 800)), Order(seed, (70, 800), (0.9, 0.1))):
        whole = order.places(first, count)
        single = [order.places(first + n, 1) for n in range(count)]
        assert [(int(e[0]), int(s[0])) for e, s in single] == list(zip(*(w.tolist() for w in whole), strict=True))


def test_the_permutation_looks_like_chance():
    count, trials = 64, 4000
    places = np.array([[permuted(n, count, np.uint64(k * 7919)) for n in (0, 1, 63)] for k in range(trials)])
    for column in places.T:
        found = np.bincount(column, minlength=count)
        assert (((found - trials / count) ** 2) / (trials / count)).sum() < 120
    # Where one number lands says nothing of where its neighbour does.
    assert abs(np.corrcoef(places[:, 0], places[:, 1])[0, 1]) < 0.07


def test_streams_have_their_shares_in_every_block_and_go_through_their_samples():
    order = Order(3, (1000, 50, 7), (0.7, 0.3, 0.0))
    epochs, samples = order.places(0, 2 * BLOCK)
    stream = np.searchsorted([1000, 1050, 1057], samples, side="right")
    assert (stream < 2).all()
    for block in (slice(0, BLOCK), slice(BLOCK, None)):
        assert abs((stream[block] == 1).mean() - 0.3) <= 1 / BLOCK
    for which, size in ((0, 1000), (1, 50)):
        mine = stream == which
        times = np.bincount(samples[mine] - (0, 1000)[which], minlength=size)
        assert times.max() - times.min() <= 1 and epochs[mine].max() == times.max() - 1
        # Within an epoch no sample comes twice.
        assert len(np.unique(np.stack([epochs[mine], samples[mine]]), axis=1).T) == mine.sum()


@pytest.mark.parametrize(("shares", "wanted"), [((1, 1, 1), (4, 3, 3)), ((0.9, 0.1), (9, 1)), ((1, 0), (10, 0))])
def test_what_is_shared_out_adds_up(shares, wanted):
    assert tuple(shared_out(10, shares)) == wanted


def test_the_order_does_not_change_from_one_version_to_the_next():
    """Who resumes after an upgrade goes on with the same data."""
    assert Order(1, (10,)).places(0, 10)[1].tolist() == [9, 0, 3, 7, 4, 1, 6, 2, 8, 5]
    assert Order(1, (10, 5), (0.5, 0.5)).places(0, 10)[1].tolist() == [7, 9, 14, 6, 4, 12, 1, 10, 14, 10]
