"""Shingles in a few lines of Python, and text to try them on; see `ops.shingles` and `ops.stack_shingles`."""

import hashlib
import re
import struct

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
