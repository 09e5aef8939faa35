"""What changed between two trees of Git, as long as it is no more than one path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np

from engine.columns import Bytes
from engine.simd import load32, load64
from ops.git_objects import Objects

_KINDS = {b"40000": "folder", b"120000": "symlink", b"160000": "submodule"}
_NO_TREE = np.zeros(0, np.uint8)
_NAME = 20  # bytes of a hash


class Side(NamedTuple):
    """What stands at a path: its mode as Git writes it, and the name of its object."""

    mode: bytes
    name: bytes

    @property
    def kind(self) -> str:
        """`file`, or what it is in its place."""
        return _KINDS.get(self.mode, "file")


@dataclass(frozen=True)
class Level:
    """One folder above a changed path: the names of its tree before and after, and that of the tree's entry."""

    path: bytes
    old: bytes | None
    new: bytes | None
    entry: bytes


@dataclass(frozen=True)
class Change:
    """The only path that differs, what stood there before and what after, and the folders above, from the root on."""

    path: bytes
    old: Side | None
    new: Side | None
    levels: tuple[Level, ...]


def only_change(objects: Objects, old: bytes | None, new: bytes) -> Change | int:
    """The one path in which two trees differ, or how many there are where it is not one: none, or 2 for several.

    A rename is two paths. Raises KeyError or GitError where a tree cannot be read, ValueError where it is none.
    """
    before, after = old, new
    levels: list[Level] = []
    above = b""
    while True:
        a, b = _tree(objects, before), _tree(objects, after)
        found = np.empty((2, 4), np.int64)
        count = _differences(a, b, found)
        if count < 0:
            raise ValueError("a tree is damaged")
        if count != 1:
            return count
        (name, was), (other, now) = _entry(a, found[0, :2]), _entry(b, found[0, 2:])
        name = name or other
        levels.append(Level(above, before, after, name))
        if not any(side and side.kind == "folder" for side in (was, now)):
            return Change(above + name, was, now, tuple(levels))
        if was and now and was.kind != now.kind:
            return 2
        before, after = was and was.name, now and now.name
        above += name + b"/"


def _tree(objects: Objects, name: bytes | None) -> Bytes:
    data = objects.read(name) if name is not None else _NO_TREE
    assert not isinstance(data, int)
    return data


def _entry(tree: Bytes, at: np.ndarray) -> tuple[bytes, Side | None]:
    begin, end = int(at[0]), int(at[1])
    if begin < 0:
        return b"", None
    mode, _, name = tree[begin:end].tobytes().partition(b" ")
    return name, Side(mode.lstrip(b"0"), tree[end + 1 : end + 1 + _NAME].tobytes())


# --- kernels ------------------------------------------------------------------------------------------------------


@numba.njit(nogil=True, cache=True)
def _end_of_name(tree: Bytes, at: int) -> int:
    # The NUL behind an entry's name, or -1 where the tree ends before the entry does.
    end = at
    while end < len(tree) and tree[end] != 0:
        end += 1
    return end if end + _NAME < len(tree) else -1


@numba.njit(nogil=True, cache=True)
def _same_object(a: Bytes, at: int, b: Bytes, to: int) -> bool:
    same = load64(a, at) == load64(b, to) and load64(a, at + 8) == load64(b, to + 8)
    return same and load32(a, at + 16) == load32(b, to + 16)


@numba.njit(nogil=True, cache=True)
def _name_at(tree: Bytes, at: int, end: int) -> int:
    while at < end and tree[at] != 0x20:
        at += 1
    return at + 1


@numba.njit(nogil=True, cache=True)
def _order(a: Bytes, at: int, end: int, b: Bytes, to: int, stop: int) -> Any:
    # The order of Git's trees, in which the names of folders end in a slash.
    folder_a, folder_b = _is_folder(a, at), _is_folder(b, to)
    n, m = _name_at(a, at, end), _name_at(b, to, stop)
    while n < end and m < stop and a[n] == b[m]:
        n += 1
        m += 1
    left = np.int64(a[n]) if n < end else (0x2F if folder_a else 0)
    right = np.int64(b[m]) if m < stop else (0x2F if folder_b else 0)
    return left - right


@numba.njit(nogil=True, cache=True)
def _is_folder(tree: Bytes, at: int) -> bool:
    # The mode is 40000, or 040000 where a tool of old wrote it.
    at += 1 if tree[at] == 0x30 else 0
    return tree[at] == 0x34


@numba.njit(nogil=True, cache=True)
def _differences(a: Bytes, b: Bytes, found: np.ndarray) -> int:
    # How many entries differ, counted up to two, and where each begins and its name ends on either side, or -1.
    at, to, count = 0, 0, 0
    while at < len(a) or to < len(b):
        end = _end_of_name(a, at) if at < len(a) else 0
        stop = _end_of_name(b, to) if to < len(b) else 0
        if end < 0 or stop < 0:
            return -1
        order = -1 if to >= len(b) else 1 if at >= len(a) else _order(a, at, end, b, to, stop)
        if order == 0:
            same = end - at == stop - to and _same_object(a, end + 1, b, stop + 1)
            n = 0
            while same and at + n < end:
                same = a[at + n] == b[to + n]
                n += 1
            if same:
                at, to = end + 1 + _NAME, stop + 1 + _NAME
                continue
        if count == 2:
            return count
        found[count, 0], found[count, 1] = (at, end) if order <= 0 else (-1, -1)
        found[count, 2], found[count, 3] = (to, stop) if order >= 0 else (-1, -1)
        count += 1
        at = end + 1 + _NAME if order <= 0 else at
        to = stop + 1 + _NAME if order >= 0 else to
    return count
