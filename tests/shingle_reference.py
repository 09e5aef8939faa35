"""Shingles in a few lines of Python, and text to try them on; see `ops.shingles` and `ops.stack_shingles`."""

import hashlib
import re
import struct

import numpy as np
from hypothesis import strategies as st

from ops import shingles as constants

M = 2**64 - 1
C = {name: int(getattr(constants, name)) for name in ("SEED", "LENGTH", "WORD", "LAST", "BASE")}


def word_hash(word: bytes) -> int:
    h = C["SEED"] ^ len(word) * C["LENGTH"] & M
    *full, last = [int.from_bytes(word[i : i + 8], "little") for i in range(0, len(word), 8)]
    for x in full:
        h = (h ^ x) * C["WORD"] & M
        h ^= h >> 29
    h = (h ^ last) * C["LAST"] & M
    return h ^ h >> 32


def shingle_hash(words: list[int]) -> int:
    y = sum(h * pow(C["BASE"], len(words) - 1 - k, M + 1) for k, h in enumerate(words)) & M
    y = (y ^ y >> 33) * C["LAST"] & M
    return y ^ y >> 33


def shingles(text: bytes, n: int) -> set[int]:
    words = [word_hash(w) for w in re.findall(rb"[0-9A-Za-z_\x80-\xff]+", text)]
    return {shingle_hash(words[i : i + n]) for i in range(max(1, len(words) - n + 1))} if words else set()


def sha1_hash(text: str) -> int:
    return struct.unpack("<I", hashlib.sha1(text.encode()).digest()[:4])[0]


def stack_shingles(text: str, n: int) -> list[int]:
    tokens = re.split("[^A-Za-z_0-9]", text)
    return [sha1_hash(" ".join(tokens[i : i + n])) for i in range(len(tokens) - n + 1)]


code = st.lists(
    st.one_of(
        st.sampled_from(
            ["a", "b", "if", "_", "0", "x" * 8, "x" * 9, "long_name_of_a_thing" * 9, "é", "日本", "\U0001f600"]
        ),
        st.sampled_from([" ", "\n", "(", ").", "\t\t", " " * 70, "@[`{/:", "\x00", "\x7f"]),
        st.text(max_size=4),
    ),
    max_size=30,
).map("".join)


MERSENNE = np.uint64((1 << 61) - 1)


def the_stacks_survivors(texts: list[str]) -> list[int]:
    """The Stack's near-deduplication as its text describes it: tokens, SHA-1, 25 bands of 10 rows, union-find."""
    draw = np.random.RandomState(42)
    drawn = [[draw.randint(low, MERSENNE, dtype=np.uint64) for low in (1, 0)] for _ in range(256)]
    a, b = np.array(drawn, np.uint64).T
    tables: list[dict[bytes, set[int]]] = [{} for _ in range(25)]
    for row, text in enumerate(texts):
        tokens = re.split(r"[^A-Za-z_0-9]", text)
        grams = {" ".join(tokens[i : i + 5]) for i in range(len(tokens) - 4)}
        hashes = [struct.unpack("<I", hashlib.sha1(gram.encode()).digest()[:4])[0] for gram in grams]
        images = (np.array(hashes, np.uint64)[:, None] * a + b) % MERSENNE & np.uint64(2**32 - 1)
        least = np.vstack([images, np.full(256, 2**32 - 1, np.uint64)]).min(axis=0)
        for band, table in enumerate(tables):
            table.setdefault(least[10 * band : 10 * band + 10].byteswap().tobytes(), set()).add(row)
    parent = list(range(len(texts)))

    def find(x: int) -> int:
        while parent[x] != x:
            parent[x] = x = parent[parent[x]]
        return x

    for table in tables:
        for bucket in table.values():
            for row in bucket:
                x, y = find(row), find(min(bucket))
                parent[max(x, y)] = min(x, y)
    return [row for row in range(len(texts)) if find(row) == row]
