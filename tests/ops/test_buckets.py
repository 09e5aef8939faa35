from itertools import combinations, pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ops.buckets import band_records, components, meetings, shared, sort_records, stars

numbers = st.one_of(st.integers(0, 5), st.integers(0, 2**64 - 1))
records = st.lists(st.tuples(numbers, st.one_of(st.integers(0, 9), numbers)), max_size=80)


def columns(pairs) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.array([pair[k] for pair in pairs], np.uint64) for k in (0, 1))


def rows(arrays) -> list[tuple[int, int]]:
    return list(zip(*(a.tolist() for a in arrays), strict=True))


def buckets_of(pairs) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for key, document in pairs:
        found.setdefault(key, set()).add(document)
    return {key: members for key, members in found.items() if len(members) > 1}


@given(records)
def test_records_are_sorted(pairs):
    given = columns(pairs)
    assert rows(sort_records(*given)) == sorted(pairs)
    assert rows(given) == pairs  # the input stays as it was


def test_records_of_read_only_columns():
    keys, documents = columns([(3, 1), (2, 9), (2, 4)])
    keys.flags.writeable = documents.flags.writeable = False
    assert rows(sort_records(keys, documents)) == [(2, 4), (2, 9), (3, 1)]


def test_band_records_leave_out_documents_without_shingles():
    bands = np.array([[5, 6], [1, 1], [4, 6]], np.uint64)
    got = band_records(bands, np.array([30, 20, 10], np.uint64), np.array([True, False, True]))
    assert rows(got) == [(4, 10), (5, 30), (6, 10), (6, 30)]


@given(records)
def test_memberships(pairs):
    wanted = sorted((key, d) for key, members in buckets_of(pairs).items() for d in members)
    assert rows(shared(*sort_records(*columns(pairs)))) == wanted


@given(records, st.integers(1, 4))
def test_ranges_of_keys_find_the_buckets_of_the_whole(pairs, ranges):
    bounds = [2**64 * k // ranges for k in range(ranges + 1)]
    split = []
    for low, high in pairwise(bounds):
        split += rows(shared(*sort_records(*columns([p for p in pairs if low <= p[0] < high]))))
    assert split == rows(shared(*sort_records(*columns(pairs))))


@given(records)
def test_components_of_stars_are_those_of_all_pairs(pairs):
    found = buckets_of(pairs)
    root = {d: d for members in found.values() for d in members}
    for _ in root:
        for members in found.values():
            low = min(root[d] for d in members)
            root |= dict.fromkeys(members, low)
    hubs, others = stars(*shared(*sort_records(*columns(pairs))))
    edges = rows((hubs, others))
    assert len(set(edges)) == len(edges)
    assert set(edges) <= {pair for members in found.values() for pair in combinations(sorted(members), 2)}
    assert rows(components(hubs, others)) == sorted(root.items())


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=60), st.randoms())
def test_components_whatever_the_order_of_the_edges(edges, random):
    turned = [pair if random.random() < 0.5 else pair[::-1] for pair in edges]
    random.shuffle(turned)
    assert rows(components(*columns(turned))) == rows(components(*columns(edges)))


def test_components_of_a_long_chain():
    n = 100_000
    order = np.random.default_rng(1).permutation(n - 1).astype(np.uint64)
    documents, roots = components(order + np.uint64(1), order)
    assert len(documents) == n and not roots.any()


@given(records)
def test_meetings_are_the_memberships_by_document(pairs):
    found = buckets_of(pairs)
    met = meetings(*shared(*sort_records(*columns(pairs))))
    names = sorted(found)
    wanted = {d: [b for b, key in enumerate(names) if d in found[key]] for d in set().union(*found.values())}
    got = {
        int(d): met.buckets[met.starts[n] : met.starts[n + 1]].tolist() for n, d in enumerate(met.documents.tolist())
    }
    assert list(got) == sorted(wanted) and got == wanted
    assert met.sizes.tolist() == [len(found[key]) for key in names]


def test_nothing_meets():
    none = np.zeros(0, np.uint64)
    met = meetings(*shared(*sort_records(none, none)))
    assert met.starts.tolist() == [0] and not len(met.documents) and not len(met.sizes)
    assert all(len(a) == 0 for a in (*stars(none, none), *components(none, none)))
