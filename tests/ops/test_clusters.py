import hashlib
import random
import re
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shingle_reference import the_stacks_survivors

from ops.buckets import band_records, components, meetings, shared, sort_records, stars
from ops.clusters import Sets, collapse, decide, gather_sets, jaccard, least_agreement, to_verify
from ops.minhash import THE_STACK, MinHash, band_hashes, signatures
from ops.shingles import shingle_sets

THRESHOLD = 0.7
SKETCH = MinHash()


def families(seed: int, count: int, words: int = 150) -> list[str]:
    """Documents of which many are copies of others with words changed, under a few licences that they share."""
    chance = random.Random(seed)
    names = [f"name_{k}" for k in range(2000)]
    licences = [" ".join(chance.choices(names, k=words // 3)) for _ in range(3)]
    texts = []
    for _ in range(count):
        body = chance.choices(names, k=chance.randint(words // 5, words))
        head = chance.choice(licences) if chance.random() < 0.6 else ""
        for _ in range(chance.choice([1, 1, 1, 2, 3, 6])):
            rate = chance.choice([0, 0.005, 0.01, 0.02, 0.03, 0.05])
            copy = [chance.choice(names) if chance.random() < rate else word for word in body]
            texts.append(head + "\n" + " ".join(copy))
    texts += ["", "", ";", "one", "one", "one two"]
    chance.shuffle(texts)
    return texts


def word_sets(texts: list[str]) -> list[set[tuple[str, ...]]]:
    split = [re.findall(r"[0-9A-Za-z_]+", text) for text in texts]
    return [{tuple(w[i : i + 5]) for i in range(max(1, len(w) - 4))} if w else set() for w in split]


def similarity(left: set, right: set) -> float:
    return len(left & right) / len(left | right) if left or right else 0.0


def greedy(sets: list[set], meet) -> dict[int, tuple[int, float]]:
    """Who is dropped for whom when documents are walked in order and only those that meet are compared."""
    kept: list[int] = []
    dropped = {}
    for d, own in enumerate(sets):
        best = max(((similarity(own, sets[k]), -k) for k in kept if meet(d, k)), default=(0.0, 0))
        if best[0] >= THRESHOLD:
            dropped[d] = -best[1], best[0]
        else:
            kept.append(d)
    return dropped


def verdicts(texts: list[str], bands: int = 36, rows: int = 7):
    """The documents that meet, in the order given, and what becomes of them."""
    content = pa.array(texts, pa.large_string())
    sketches, counts = signatures(content, SKETCH)
    keys = band_hashes(sketches, bands, rows)
    met = meetings(*shared(*band_records(keys, np.arange(len(texts), dtype=np.uint64), counts > 0)))
    mine = sketches[met.documents.astype(np.int64)]
    wanted = np.flatnonzero(to_verify(met, mine, THRESHOLD))
    parts = [(wanted, *shingle_sets(content, met.documents[wanted].astype(np.int64)))]
    return met, decide(met, mine, gather_sets(len(mine), parts), THRESHOLD), keys


def drops(met, verdict) -> dict[int, tuple[int, float]]:
    own = met.documents.tolist()
    return {own[d]: (own[verdict.kept[d]], verdict.similarity[d]) for d in np.flatnonzero(verdict.kept >= 0)}


# --- the rule, against brute force --------------------------------------------------------------------------------


@pytest.mark.parametrize(("bands", "rows"), [(36, 7), (25, 10), (4, 3)])
def test_every_verdict_is_that_of_brute_force_over_those_that_meet(bands, rows):
    texts = families(1, 60)
    met, verdict, keys = verdicts(texts, bands, rows)
    sets = word_sets(texts)
    assert drops(met, verdict) == greedy(sets, lambda d, k: sets[d] and sets[k] and (keys[d] == keys[k]).any())
    assert verdict.exact and verdict.hidden == 0
    own = met.documents.tolist()
    for d in range(len(own)):
        k = verdict.kept[d]
        assert verdict.bands_shared[d] == ((keys[own[d]] == keys[own[k]]).sum() if k >= 0 else 0)
        assert verdict.cluster_size[d] == 1 + (verdict.kept == (k if k >= 0 else d)).sum()
        assert k < 0 or verdict.kept[k] < 0


@pytest.mark.parametrize(("bands", "rows", "recall"), [(36, 7, 0.99), (42, 6, 0.998)])
def test_recall_and_precision_against_all_pairs(bands, rows, recall):
    found = true = both = 0
    for seed in range(3):
        texts = families(10 + seed, 120)
        sets = word_sets(texts)
        wanted = greedy(sets, lambda d, k: True)
        met, verdict, _ = verdicts(texts, bands, rows)
        got = drops(met, verdict)
        for d, (k, value) in got.items():
            assert k not in got and value == similarity(sets[d], sets[k]) >= THRESHOLD
        found, true, both = found + len(got), true + len(wanted), both + len(got.keys() & wanted.keys())
    assert true > 300
    assert both >= recall * true and both >= recall * found


def spread(texts: list[str], seed: int) -> dict[int, tuple]:
    """The same by way of shards, ranges of keys and components, in an order made of the seed; documents bear hashes."""
    chance = random.Random(seed)
    names = [int.from_bytes(hashlib.md5(f"{n} {t}".encode()).digest()[:8], "little") for n, t in enumerate(texts)]
    rank = {name: n for n, name in enumerate(names)}
    order = list(range(len(texts)))
    chance.shuffle(order)
    cuts = sorted(chance.choices(range(len(texts) + 1), k=chance.randint(0, 5)))
    shards = [order[a:b] for a, b in pairwise([0, *cuts, len(order)])]
    columns = [pa.array([texts[n] for n in shard], pa.string()) for shard in shards]
    sketches, records = {}, []
    for shard, content in zip(shards, columns, strict=True):
        signed, counts = signatures(content, SKETCH)
        own = np.array([names[n] for n in shard], np.uint64)
        records.append(band_records(band_hashes(signed, 36, 7), own, counts > 0))
        sketches |= {names[n]: signed[i] for i, n in enumerate(shard)}
    chance.shuffle(records)
    ranges = chance.randint(1, 4)
    edges = [2**64 * k // ranges for k in range(ranges)] + [2**64 - 1]
    members = []
    for k in range(ranges):
        cut = [np.searchsorted(keys, np.array(edges[k : k + 2], np.uint64)) for keys, _ in records]
        slices = [[column[a:b] for column in record] for record, (a, b) in zip(records, cut, strict=True)]
        members.append(shared(*sort_records(*map(np.concatenate, zip(*slices, strict=True)))))
    documents, roots = components(*map(np.concatenate, zip(*(stars(*m) for m in members), strict=True)))
    keys, who = map(np.concatenate, zip(*members, strict=True))
    of = dict(zip(documents.tolist(), roots.tolist(), strict=True))
    groups = chance.randint(1, 3)
    out = {}
    for group in range(groups):
        mine = np.array([of[w] % groups == group for w in who.tolist()])
        places = np.array([rank[w] for w in who[mine].tolist()], np.uint64)
        met = meetings(*shared(*sort_records(keys[mine], places)))
        own = met.documents.tolist()
        signed = np.array([sketches[names[d]] for d in own], np.uint32).reshape(-1, SKETCH.permutations)
        wanted = {own[n] for n in np.flatnonzero(to_verify(met, signed, THRESHOLD))}
        parts = []
        for shard, content in zip(shards, columns, strict=True):
            rows = [i for i, n in enumerate(shard) if n in wanted]
            numbers = np.searchsorted(met.documents, np.array([shard[i] for i in rows], np.uint64))
            parts.append((numbers, *shingle_sets(content, np.array(rows, np.int64))))
        chance.shuffle(parts)
        verdict = decide(met, signed, gather_sets(len(own), parts), THRESHOLD)
        for d, k in enumerate(verdict.kept):
            figures = verdict.similarity[d], int(verdict.bands_shared[d]), int(verdict.cluster_size[d])
            out[own[d]] = (own[k], *figures) if k >= 0 else (None, *figures[1:])
    return out


def test_verdicts_do_not_depend_on_order_shards_and_partitions():
    texts = families(2, 40)
    met, verdict, _ = verdicts(texts)
    wanted = {
        int(d): (int(met.documents[k]), s, b, c) if k >= 0 else (None, b, c)
        for d, k, s, b, c in zip(
            met.documents, verdict.kept, verdict.similarity, verdict.bands_shared, verdict.cluster_size, strict=True
        )
    }
    assert any(k is not None for k, *_ in wanted.values())
    for seed in range(8):
        assert spread(texts, seed) == wanted


# --- single rules, on meetings made by hand -----------------------------------------------------------------------


def made(buckets: list[list[int]], sets: list[list[int]]):
    """Meetings of these buckets, signatures that all agree, and sets."""
    pairs = [(key, d) for key, members in enumerate(buckets) for d in members]
    met = meetings(*shared(*sort_records(*(np.array(c, np.uint64) for c in zip(*pairs, strict=True)))))
    counts = np.array([len(s) for s in sets])
    values = np.array([value for s in sets for value in s], np.uint64)
    return met, np.zeros((len(sets), 100), np.uint32), Sets(values, np.cumsum(counts) - counts, counts)


def test_the_most_similar_is_the_witness_and_of_equals_the_first():
    sets = [[0, 1, 2, 7, 8, 9, 40, 41], [*range(7), 20], [*range(3, 10), 30], list(range(10))]
    assert [similarity(set(s), set(sets[3])) for s in sets] == [6 / 12, 7 / 11, 7 / 11, 1]
    for nearest in range(3):  # by estimate, which must not matter
        met, sketches, found = made([[0, 1, 2, 3]], sets)
        sketches[:3, :20] = [[1], [2], [3]]
        sketches[3, :20] = nearest + 1
        verdict = decide(met, sketches, found, 0.5)
        assert verdict.kept.tolist() == [-1, -1, -1, 1]
        assert verdict.similarity[3] == 7 / 11


def test_a_pair_at_the_threshold_is_a_duplicate():
    for size, common in ((10, 7), (100, 70), (30, 21)):
        met, sketches, sets = made([[0, 1]], [list(range(size)), list(range(common))])
        assert decide(met, sketches, sets, 0.7).kept.tolist() == [-1, 0]
        assert decide(met, sketches, sets, np.nextafter(0.7, 1)).kept.tolist() == [-1, -1]


def test_there_are_no_chains():
    # 1 is near 0 and 2 is near 1 alone: 2 stays, for its only partner is gone.
    sets = [list(range(20)), list(range(2, 22)), list(range(4, 24))]
    met, sketches, found = made([[0, 1, 2]], sets)
    assert decide(met, sketches, found, 0.8).kept.tolist() == [-1, 0, -1]
    assert collapse(met, sketches).kept.tolist() == [-1, 0, 0]


def test_only_documents_that_share_a_bucket_are_compared():
    met, sketches, sets = made([[0, 1], [1, 2]], [[1, 2], [5, 6], [1, 2]])
    assert decide(met, sketches, sets, 0.7).kept.tolist() == [-1, -1, -1]


def test_the_estimate_rejects_only_what_is_far_below():
    least = least_agreement(0.7, 100)
    assert least == 48  # 0.7 - 5 * sqrt(0.7 * 0.3 / 100) = 0.471
    for equal, kept in ((least - 1, -1), (least, 0)):
        met, sketches, sets = made([[0, 1]], [[1, 2], [1, 2]])
        sketches[1, equal:] = 1
        assert decide(met, sketches, sets, 0.7).kept.tolist() == [-1, kept]
    assert least_agreement(1.0, 256) == 256 and least_agreement(0.01, 16) == 0


def test_what_the_limit_hides_is_counted():
    n, limit = 12, 3
    sets = [[d] for d in range(n - 1)] + [[n - 2]]
    met, sketches, found = made([list(range(n))], sets)
    verdict = decide(met, sketches, found, 0.7)
    assert verdict.kept[n - 1] == n - 2 and verdict.hidden == 0
    verdict = decide(met, sketches, found, 0.7, limit)
    assert (verdict.kept == -1).all()
    assert verdict.hidden == sum(max(0, d - limit) for d in range(n))


def test_a_missing_set_is_an_error():
    met, sketches, sets = made([[0, 1]], [[1], []])
    with pytest.raises(ValueError, match="no shingles"):
        decide(met, sketches, sets, 0.7)


def test_signatures_of_other_documents_are_an_error():
    met, sketches, sets = made([[0, 1]], [[1], [1]])
    with pytest.raises(ValueError, match="one for each"):
        decide(met, sketches[:1], sets, 0.7)


@given(
    st.lists(st.lists(st.integers(0, 11), min_size=2, max_size=6, unique=True), min_size=1, max_size=8),
    st.integers(1, 3),
    st.integers(0, 2**32),
)
def test_those_to_verify_are_those_that_meet_a_near_one(buckets, limit, seed):
    rng = np.random.default_rng(seed)
    present = sorted(set().union(*buckets))
    buckets = [[present.index(d) for d in members] for members in buckets]
    met, _, _ = made(buckets, [[]] * len(present))
    sketches = rng.integers(0, 2, (len(present), 16)).astype(np.uint32)
    least = least_agreement(0.8, 16)
    near = {
        d for members in buckets for d in members for o in members
        if o != d and (sketches[d] == sketches[o]).sum() >= least
    }  # fmt: skip
    assert set(np.flatnonzero(to_verify(met, sketches, 0.8))) == near
    assert set(np.flatnonzero(to_verify(met, sketches, 0.8, limit))) >= near


@given(st.sets(st.integers(0, 40), min_size=1), st.sets(st.integers(0, 40)))
def test_jaccard(left, right):
    got = jaccard(np.array(sorted(left), np.uint64), np.array(sorted(right), np.uint64))
    assert got == similarity(left, right)


def test_nothing_to_decide():
    none = np.zeros(0, np.uint64)
    met = meetings(none, none)
    sketches = np.zeros((0, 256), np.uint32)
    for verdict in (decide(met, sketches, gather_sets(0, []), 0.7), collapse(met, sketches)):
        assert len(verdict.kept) == len(verdict.cluster_size) == 0


# --- reproduce ----------------------------------------------------------------------------------------------------


def test_reproduce_keeps_what_the_stack_kept():
    texts = [*families(3, 50), "a b c", "x\ty", "é è", "日本 語 の テキスト です", "    ", "     ", "(((((("]
    random.Random(3).shuffle(texts)
    sketches, _ = signatures(pa.array(texts), THE_STACK)
    everyone = np.ones(len(texts), bool)
    records = band_records(band_hashes(sketches, 25, 10), np.arange(len(texts), dtype=np.uint64), everyone)
    met = meetings(*shared(*records))
    verdict = collapse(met, sketches[met.documents.astype(np.int64)])
    dropped = set(met.documents[verdict.kept >= 0].tolist())
    assert [row for row in range(len(texts)) if row not in dropped] == the_stacks_survivors(texts)
    assert not verdict.exact
    for d, k in enumerate(verdict.kept.tolist()):
        if k >= 0:
            left, right = sketches[int(met.documents[d])], sketches[int(met.documents[k])]
            assert verdict.kept[k] == -1 and k < d and verdict.similarity[d] == (left == right).mean()


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.integers(2, 12))
def test_a_drop_always_has_a_kept_witness(seed, count):
    texts = families(seed, count, 30)
    met, verdict, _ = verdicts(texts, 64, 4)
    sets = word_sets(texts)
    got = drops(met, verdict)
    for d, (k, value) in got.items():
        assert k not in got and value == similarity(sets[d], sets[k]) >= THRESHOLD
