"""Which repositories are kept out of training, whole and in every version, to validate on.

A repository is named by `repo_name` in lower case without the version that may end it, or where there is none by the
top folder of the path; so it is one in every stream. Repositories are taken in the order of a hash of that name.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from engine import storage
from engine.columns import one_array
from engine.digest import digests
from engine.op import Workers
from engine.schema import TEXT

pc: Any = pyarrow.compute

ROWS_AT_ONCE = 1 << 22
"""Repositories, counted by file, that are looked at together."""
_VERSION = r"[-_@ ]+v?\d+(\.\d+)*([-._+]?(a|b|c|rc|alpha|beta|dev|post|pre|final|release|snapshot)[-._]?\d*)*$"


def repositories(repo_name: pa.Array, path: pa.Array) -> pa.Array:
    """The name under which each document's repository is judged."""
    name = pc.replace_substring_regex(pc.utf8_lower(repo_name.cast(TEXT)), _VERSION, "")
    folder = pc.replace_substring_regex(pc.fill_null(path.cast(TEXT), ""), r"(?s)^([^/]*)/.*$", r"\1/")
    folder = pc.if_else(pc.ends_with(folder, "/"), pc.utf8_lower(folder), "")
    return pc.if_else(pc.fill_null(pc.equal(name, ""), True), folder, name)


def marks(names: pa.Array) -> Any:
    """A 64-bit hash of each name."""
    coded = pc.dictionary_encode(names)
    return digests(one_array(coded.dictionary))[:, 0][coded.indices.to_numpy()]


@dataclass(frozen=True)
class HeldOut:
    """The repositories kept out: those whose hash is at most `last`, but for `large` ones, and those `named`."""

    last: int = -1
    large: tuple[int, ...] = ()
    named: tuple[int, ...] = ()
    repositories: int = 0
    bytes: int = 0

    def holds(self, repo_name: pa.Array, path: pa.Array) -> Any:
        """For each document whether its repository is kept out."""
        if self.last < 0 and not self.named:
            return np.zeros(len(repo_name), bool)
        found = marks(repositories(repo_name, path))
        if self.named:
            return np.isin(found, np.array(self.named, np.uint64))
        return (found <= np.uint64(self.last)) & ~np.isin(found, np.array(self.large, np.uint64))


def hold_out(wanted: float | tuple[str, ...], files: Sequence[str], scratch: str, pool: Workers) -> HeldOut:
    """What a share of the bytes, or a list of repositories, keeps out of the documents of these files.

    A share is filled in the order of hashes until it is reached; a repository that alone has more is passed over.
    Raises ValueError where nothing is found to keep out, or nothing to keep.
    """
    jobs = [(url, storage.join(scratch, f"{n}.npy")) for n, url in enumerate(files)]
    counted = [found for _, found in pool.map(_count, jobs, threads=True)]
    rows, total = (sum(c[k] for c in counted) for k in (0, 1))
    parts = [url for _, url in jobs]
    chosen = _named(wanted, parts) if isinstance(wanted, tuple) else _first(wanted, parts, rows, total)
    if chosen.bytes >= total:
        raise ValueError("validation would hold every document, and nothing be left to train on")
    return chosen


def _count(job: tuple[str, str]) -> tuple[int, int]:
    """Writes the hash of each repository of a file with its bytes; how many they are, and the bytes of all."""
    url, out = job
    table = storage.read_parquet(url, ["repo_name", "path", "length_bytes"])
    found = marks(repositories(*(one_array(table.column(c)) for c in ("repo_name", "path"))))
    mark, place = np.unique(found, return_inverse=True)
    sizes = np.zeros(len(mark), np.uint64)
    np.add.at(sizes, place, pc.fill_null(table.column("length_bytes"), 0).to_numpy().astype(np.uint64))
    buffer = io.BytesIO()
    np.save(buffer, np.stack([mark, sizes], axis=1))
    storage.write_bytes(out, buffer.getvalue())
    return len(mark), int(sizes.sum())


def _read(parts: Sequence[str], low: int, high: int) -> tuple[Any, Any]:
    """The repositories with a hash from `low` to `high`, ascending, and the bytes of each in all files."""
    found = []
    for url in parts:
        rows = np.load(io.BytesIO(storage.read_bytes(url)))
        lo, hi = (
            np.searchsorted(rows[:, 0], np.uint64(low), "left"),
            np.searchsorted(rows[:, 0], np.uint64(high), "right"),
        )
        found.append(rows[lo:hi])
    rows = np.concatenate(found) if found else np.zeros((0, 2), np.uint64)
    mark, place = np.unique(rows[:, 0], return_inverse=True)
    sizes = np.zeros(len(mark), np.int64)
    np.add.at(sizes, place, rows[:, 1].astype(np.int64))
    return mark, sizes


def _first(share: float, parts: Sequence[str], rows: int, total: int) -> HeldOut:
    aim = share * total
    ranges = max(1, -(-rows // ROWS_AT_ONCE))
    edges = [(n << 64) // ranges for n in range(ranges + 1)]
    last, taken, held, large = -1, 0, 0, []
    for low, high in pairwise(edges):
        mark, sizes = _read(parts, low, high - 1)
        for name, size in zip(mark.tolist(), sizes.tolist(), strict=True):
            if held >= aim:
                break
            if size > aim:
                large.append(name)
            else:
                last, taken, held = name, taken + 1, held + size
        if held >= aim:
            break
    if not held:
        raise ValueError(
            f"validation would be empty: none of the {len(large):,} repositories has less than {share:.2%} of the "
            "bytes; give a larger share, or name repositories"
        )
    return HeldOut(last, tuple(n for n in large if n <= last), (), taken, held)


def _named(names: Sequence[str], parts: Sequence[str]) -> HeldOut:
    column = pa.array(list(names), TEXT)
    wanted = np.unique(marks(repositories(column, pa.nulls(len(column), TEXT))))
    read = functools.partial(_read, parts)
    found = [(name, sizes) for name in wanted.tolist() for _, sizes in [read(name, name)] if len(sizes)]
    if not found:
        raise ValueError(f"validation would be empty: no document is of {', '.join(names)}")
    return HeldOut(-1, (), tuple(n for n, _ in found), len(found), sum(int(s.sum()) for _, s in found))
