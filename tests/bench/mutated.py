"""Corpora of any size with known near-duplicates: each file of a corpus, and mutated copies of it.

    python tests/bench/mutated.py CORPUS OUT --times 4

Every file becomes a family of its own: its letters, digits and underscores are swapped by a permutation that no other
family has, so files of different families have no run of five words in common, whatever the corpus held before. In a
family the first file is the original; a copy is, by chance, *near* (one word in 60 replaced: Jaccard about 0.85), *far*
(one in 12: about 0.4) or *new* (an own permutation: about 0). Words, lengths and languages stay as they were, and bytes
beyond ASCII become underscores. Within a family everything can be compared with everything: that is the truth.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SHARD_BYTES, GROUP_BYTES = 64 << 20, 16 << 20
LEAST_BYTES = 200
"""Files below it are left out: a few short words may be alike by chance."""
NEAR, FAR = 60, 12
WORD = np.zeros(256, bool)
WORD[list(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz")] = True
_ALPHABET = np.flatnonzero(WORD).astype(np.uint8)


def permuted(text: np.ndarray, seed: list[int]) -> np.ndarray:
    """The text with the characters of its words swapped for others."""
    table = np.arange(256, dtype=np.uint8)
    table[_ALPHABET] = np.random.default_rng(seed).permutation(_ALPHABET)
    return table[text]


def replaced(text: np.ndarray, one_in: int, seed: list[int]) -> np.ndarray:
    """The text with one word in so many replaced by another of the same length."""
    chance = np.random.default_rng(seed)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], WORD[text], [False]]).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    chosen = np.flatnonzero(chance.random(len(starts)) < 1 / one_in)
    out = text.copy()
    for n in chosen:
        out[starts[n] : ends[n]] = chance.choice(_ALPHABET, ends[n] - starts[n])
    return out


def copy(text: np.ndarray, family: int, number: int) -> np.ndarray:
    """A copy of a family's file by its number; the original is number 0."""
    own = permuted(text, [family])
    if number == 0:
        return own
    kind = int(np.random.default_rng([family, number]).integers(3))
    if kind == 2:
        return permuted(text, [family, number])
    return replaced(own, (NEAR, FAR)[kind], [family, number, 1])


def make(corpus: Path, out: Path, times: int) -> None:
    """Writes the corpus so many times as large, with the families spread over all shards."""
    texts, langs = [], []
    for path in sorted(corpus.glob("*.parquet")):
        table = pq.read_table(path, columns=["content", "lang"])
        for text, lang in zip(*(table.column(n).to_pylist() for n in ("content", "lang")), strict=True):
            data = np.frombuffer(text.encode(), np.uint8)
            if len(data) >= LEAST_BYTES:
                texts.append(np.where(data < 128, data, ord("_")).astype(np.uint8))
                langs.append(lang)
    out.mkdir(parents=True)
    writer = _Shards(out)
    for number in range(times):
        for family, (text, lang) in enumerate(zip(texts, langs, strict=True)):
            writer.add(copy(text, family, number).tobytes().decode(), lang, f"{number:02}/{family:07}.txt")
    writer.close()


class _Shards:
    """Writes rows as Parquet files of The Stack's columns."""

    def __init__(self, out: Path) -> None:
        self.out, self.number = out, 0
        self.rows: list[tuple[str, str, str]] = []
        self.group = self.shard = 0
        self.writer: pq.ParquetWriter | None = None

    def add(self, text: str, lang: str, path: str) -> None:
        self.rows.append((text, lang, path))
        self.group += len(text)
        if self.group >= GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self.rows:
            return
        texts, langs, paths = zip(*self.rows, strict=True)
        columns = {"content": texts, "lang": langs, "max_stars_repo_path": paths}
        table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
        if self.writer is None:
            self.writer = pq.ParquetWriter(
                self.out / f"data-{self.number:05}.parquet", table.schema, compression="zstd"
            )
        self.writer.write_table(table)
        self.shard += self.group
        self.rows, self.group = [], 0
        if self.shard >= SHARD_BYTES:
            self.writer.close()
            self.writer, self.shard, self.number = None, 0, self.number + 1

    def close(self) -> None:
        self._flush()
        if self.writer is not None:
            self.writer.close()


def main() -> None:
    """Writes a corpus."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--times", type=int, default=4)
    given = parser.parse_args()
    make(given.corpus, given.out, given.times)


if __name__ == "__main__":
    main()
