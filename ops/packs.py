"""Git objects read straight from the packs of a repository, many times faster than one by one through libgit2.

A pack keeps most objects as differences from others. What was put together stays in a cache, so that a history read
from its newest commit on costs one difference an object. Whatever no pack of the repository holds, and all that looks
damaged, is left to libgit2, which knows every way in which Git stores objects.

Reference:
    https://git-scm.com/docs/pack-format
"""

from __future__ import annotations

import mmap
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pygit2

from engine.columns import Bytes

CACHE_BYTES = 96 << 20
"""Bytes of objects that are held, as Git itself does."""
_KINDS = range(1, 5)  # commit, tree, blob, tag
_NEAR, _NAMED = 6, 7  # an object as a difference from one at an earlier place, or of a name

Entry = tuple[int, int, int, int, int]
"""An object in a pack: its place, kind and size, where its bytes begin, and where that from which it differs is, or its
name."""

_NAME = 20
_FANOUT, _NAMES = 8, 8 + 256 * 4
_INDEX_MAGIC = b"\xfftOc\0\0\0\2"
_LARGEST = 1 << 28
"""Bytes of the largest object that is put together here: what a damaged size claims is not allocated."""
_DEEPEST = 10_000
"""Differences on the way to an object; Git makes no more than 4,095."""


class Objects:
    """The objects of a repository by their 20-byte names, as arrays that nobody may write to."""

    def __init__(self, repository: pygit2.Repository, cache_bytes: int = CACHE_BYTES) -> None:
        self._odb, self._cache_bytes = repository.odb, cache_bytes
        self._folder = object_folder(repository)
        self._packs = [pack for path in sorted(self._folder.glob("pack/*.idx")) if (pack := _open(path))]
        self._cache: OrderedDict[tuple[int, int], Bytes] = OrderedDict()
        self._held = 0

    def read(self, name: bytes, largest: int | None = None) -> Bytes | int:
        """An object's bytes, or its size where that is above `largest`.

        Raises KeyError, ValueError or GitError where it cannot be read.
        """
        for number, pack in enumerate(self._packs):
            entry = pack.entry(name)
            if entry[0] >= 0:
                try:
                    return self._unpacked(number, entry, largest)
                except (zlib.error, ValueError):
                    break
        # By its hexadecimal name, and never by `read_header`: where an object is damaged, pygit2 1.21 writes beyond a
        # buffer to tell so of an `Oid`, and corrupts memory when it is asked for a size.
        shown: Any = name.hex()
        if largest is not None and (size := self._loose_size(shown)) > largest:
            return size
        try:
            data = np.frombuffer(self._odb.read(shown)[1], np.uint8)
            return data if largest is None or len(data) <= largest else len(data)
        except MemoryError:
            raise ValueError("the object is damaged, or larger than memory") from None

    def _loose_size(self, name: str) -> int:
        """The size that an object of its own file says that it has; 0 where there is no such file."""
        try:
            with open(self._folder / name[:2] / name[2:], "rb") as file:
                head = zlib.decompressobj().decompress(file.read(256), 64)
            return int(head[: head.index(b"\0")].split()[1])
        except (OSError, zlib.error, ValueError, IndexError):
            return 0

    def _unpacked(self, number: int, entry: Entry, largest: int | None) -> Bytes | int:
        pack, cache, waiting = self._packs[number], self._cache, []
        while True:
            place, kind, size, begin, base = entry
            found = cache.get((number, place))
            if found is not None:
                cache.move_to_end((number, place))
                break
            difference = kind in (_NEAR, _NAMED)
            if largest is not None and not waiting and not difference and size > largest:
                return size
            data = pack.inflated(begin, size)
            if not difference:
                if kind not in _KINDS:
                    raise ValueError("no object begins here")
                found = data
                self._keep(number, place, found)
                break
            if largest is not None and not waiting and (whole := _size_after(data)) > largest:
                return whole
            waiting.append((place, data))
            if len(waiting) > _DEEPEST:
                raise ValueError("objects differ from one another in a circle")
            entry = _entry_at(pack.data, base) if kind == _NEAR else pack.entry(pack.data[base : base + _NAME])
            if entry[0] < 0:
                raise ValueError("the object that this one differs from is not in the pack")
        if largest is not None and not waiting and len(found) > largest:
            return len(found)
        while waiting:
            place, data = waiting.pop()
            good, found = _patched(found, data)
            if not good:
                raise ValueError("a difference cannot be applied")
            found.flags.writeable = False
            self._keep(number, place, found)
        return found

    def _keep(self, number: int, place: int, data: Bytes) -> None:
        if len(data) > self._cache_bytes // 4:
            return
        self._cache[number, place] = data
        self._held += len(data)
        while self._held > self._cache_bytes:
            self._held -= len(self._cache.popitem(last=False)[1])


class _Pack:
    """A pack and its index, both mapped into memory."""

    def __init__(self, index: Bytes, data: Bytes) -> None:
        self.index, self.data = index, data
        self.view = data.data

    def entry(self, name: bytes | Bytes) -> Entry:
        """The entry of an object; its place is -1 where there is none."""
        return _find(self.index, self.data, np.frombuffer(name, np.uint8))

    def inflated(self, begin: int, size: int) -> Bytes:
        """The bytes that begin there compressed."""
        room = min(size, _LARGEST) or 1
        try:
            data = zlib.decompress(self.view[begin : begin + size + (size >> 6) + 64], bufsize=room)
        except zlib.error:
            # Somebody compressed it into more than it was.
            data = zlib.decompress(self.view[begin:], bufsize=room)
        if len(data) != size:
            raise ValueError("the object has another size than it says")
        return np.frombuffer(data, np.uint8)


def object_folder(repository: pygit2.Repository) -> Path:
    """Where a repository keeps its objects, and its packs below."""
    folder = Path(repository.path)
    common = folder / "commondir"  # of a work tree beside the first
    return (folder / common.read_text().strip() if common.is_file() else folder) / "objects"


def _open(index: Path) -> _Pack | None:
    try:
        pack = _Pack(_mapped(index), _mapped(index.with_suffix(".pack")))
    except (OSError, ValueError):
        return None
    if len(pack.index) < _NAMES or pack.index[: len(_INDEX_MAGIC)].tobytes() != _INDEX_MAGIC:
        return None
    count = int.from_bytes(pack.index[_NAMES - 4 : _NAMES].tobytes())
    return pack if len(pack.index) >= _NAMES + count * (_NAME + 8) + 2 * _NAME and len(pack.data) > 32 else None


def _mapped(path: Path) -> Bytes:
    with open(path, "rb") as file:
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)


# --- kernels ------------------------------------------------------------------------------------------------------


@numba.njit(nogil=True, cache=True)
def _big(data: Bytes, at: Any, width: int) -> Any:
    value = 0
    for n in range(width):
        value = value << 8 | np.int64(data[at + n])
    return value


@numba.njit(nogil=True, cache=True)
def _entry_at(data: Bytes, place: Any) -> Any:
    none = (-1, 0, 0, 0, 0)
    last = len(data) - _NAME
    if place < 12 or place >= last:
        return none
    byte = np.int64(data[place])
    kind, size, shift, at = byte >> 4 & 7, byte & 15, 4, place + 1
    while byte & 128:
        if at >= last or shift > 56:
            return none
        byte = np.int64(data[at])
        size |= (byte & 127) << shift
        shift += 7
        at += 1
    if kind == _NAMED:
        return (place, kind, size, at + _NAME, at) if at + _NAME < last else none
    base = -1
    if kind == _NEAR:
        byte = np.int64(data[at])
        back = byte & 127
        at += 1
        while byte & 128:
            if at >= last or back > 1 << 48:
                return none
            byte = np.int64(data[at])
            back = (back + 1) << 7 | byte & 127
            at += 1
        base = place - back
        if back <= 0 or base < 12:
            return none
    return place, kind, size, at, base


@numba.njit(nogil=True, cache=True)
def _find(index: Bytes, data: Bytes, name: Bytes) -> Any:
    low = _big(index, _FANOUT + 4 * (np.int64(name[0]) - 1), 4) if name[0] else 0
    high = _big(index, _FANOUT + 4 * np.int64(name[0]), 4)
    count = _big(index, _FANOUT + 4 * 255, 4)
    while low < high <= count:
        middle = (low + high) // 2
        at, n = _NAMES + _NAME * middle, 0
        while n < _NAME and index[at + n] == name[n]:
            n += 1
        if n == _NAME:
            offsets = _NAMES + count * (_NAME + 4)
            place = _big(index, offsets + 4 * middle, 4)
            if place >> 31:
                far = offsets + 4 * count + 8 * (place & 0x7FFFFFFF)
                place = _big(index, far, 8) if far + 8 <= len(index) else -1
            return _entry_at(data, place)
        if index[at + n] < name[n]:
            low = middle + 1
        else:
            high = middle
    return -1, 0, 0, 0, 0


@numba.njit(nogil=True, cache=True)
def _number(data: Bytes, at: int) -> Any:
    value, shift = 0, 0
    while at < len(data) and shift < 57:
        byte = np.int64(data[at])
        value |= (byte & 127) << shift
        shift += 7
        at += 1
        if not byte & 128:
            return value, at
    return -1, at


@numba.njit(nogil=True, cache=True)
def _size_after(difference: Bytes) -> int:
    _, at = _number(difference, 0)
    return _number(difference, at)[0]


@numba.njit(nogil=True, cache=True)
def _patched(base: Bytes, difference: Bytes) -> tuple[bool, Bytes]:
    # Whether the difference fits the object that it is from, and the object that it makes of it.
    before, at = _number(difference, 0)
    after, at = _number(difference, at)
    if before != len(base) or after < 0 or after > _LARGEST:
        return False, np.empty(0, np.uint8)
    out = np.empty(after, np.uint8)
    to, end = 0, len(difference)
    while at < end:
        command = np.int64(difference[at])
        at += 1
        begin, length = 0, command
        source = difference
        if command & 128:
            length = 0
            for n in range(7):
                if command >> n & 1:
                    if at >= end:
                        return False, out
                    byte = np.int64(difference[at])
                    at += 1
                    if n < 4:
                        begin |= byte << (8 * n)
                    else:
                        length |= byte << (8 * (n - 4))
            length = length if length else 0x10000
            source = base
        else:
            begin = at
            at += length
        if length == 0 or begin + length > len(source) or to + length > after:
            return False, out
        out[to : to + length] = source[begin : begin + length]
        to += length
    return to == after, out
