"""Exact near-duplicates by brute force and with nothing of the project's: Jaccard similarity of sets of word n-grams.

Candidates are found by prefixes, which loses none: of two sets as alike as the threshold, the rarest elements of both,
as many as could all be missing from the other and one more, have one in common. Every candidate is then compared whole.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import xxhash

THRESHOLD, N = 0.7, 5

Set = np.ndarray
Pairs = dict[tuple[int, int], float]
Near = dict[int, set[int]]
Words = Callable[[str], list[str]]

WORDS: dict[str, Words] = {
    "ascii": re.compile(r"[A-Za-z0-9_]+").findall,
    "ours": re.compile(r"[A-Za-z0-9_\u0080-\U0010ffff]+").findall,
    "spaces": str.split,
    "no_word": lambda text: re.split(r"\W", text.lower()),
}
"""Ways to cut a text into words: ASCII ones, the project's, what white space parts, and what `\\W` parts."""


def shingles(text: str, words: Words, n: int = N) -> Set:
    """The set of a text's runs of n words as sorted 64-bit numbers; all words together where there are fewer than n."""
    cut = words(text)
    if not cut:
        return np.zeros(0, np.uint64)
    runs: Iterable[tuple[str, ...]] = zip(*(cut[k:] for k in range(n)), strict=False) if len(cut) >= n else [tuple(cut)]
    digest = xxhash.xxh3_64_intdigest
    return np.unique(np.fromiter({digest("\0".join(run).encode()) for run in runs}, np.uint64))


def similarity(one: Set, other: Set) -> float:
    """The Jaccard similarity of two sorted sets."""
    both = len(np.intersect1d(one, other, assume_unique=True))
    return both / max(1, len(one) + len(other) - both)


def near_pairs(sets: Sequence[Set], threshold: float = THRESHOLD) -> Pairs:
    """All pairs of documents whose similarity reaches the threshold, with it; those without an element have none."""
    values, counts = np.unique(np.concatenate([np.zeros(0, np.uint64), *sets]), return_counts=True)
    postings: dict[int, list[int]] = defaultdict(list)
    pairs: Pairs = {}
    for d in sorted(range(len(sets)), key=lambda k: len(sets[k])):
        own = sets[d]
        if not len(own):
            continue
        rarity = counts[np.searchsorted(values, own)]
        rarest = own[np.lexsort((own, rarity))]
        prefix = rarest[: len(own) - int(np.ceil(threshold * len(own) - 1e-9)) + 1].tolist()
        met: Counter[int] = Counter()
        for element in prefix:
            for other in postings[element]:
                met[other] += 1
            postings[element].append(d)
        for other in met:
            if len(sets[other]) >= threshold * len(own):
                value = similarity(own, sets[other])
                if value >= threshold:
                    pairs[min(d, other), max(d, other)] = value
    return pairs


def neighbours(pairs: Pairs) -> Near:
    """For each document those that it is near to."""
    near: Near = defaultdict(set)
    for one, other in pairs:
        near[one].add(other)
        near[other].add(one)
    return near


def greedy_drops(order: Sequence[int], near: Near) -> set[int]:
    """The documents dropped when each, in this order, is kept unless a kept one is near to it."""
    kept: set[int] = set()
    dropped: set[int] = set()
    for d in order:
        if near.get(d, set()) & kept:
            dropped.add(d)
        else:
            kept.add(d)
    return dropped
