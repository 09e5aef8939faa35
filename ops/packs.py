"""Packs: the files in which Git keeps most objects, many of them as differences from others.

Whatever looks damaged raises, and nothing is read beyond the end of a file.

Reference:
    https://git-scm.com/docs/pack-format
"""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np

from engine.columns import Bytes
from ops.loose_objects import KINDS

WORDS = {number: word for word, number in KINDS.items()}
"""What Git calls the kinds of objects."""
NEAR, NAMED = 6, 7
"""An object as a difference from one at an earlier place, or of a name."""

Entry = tuple[int, int, int, int, int]
"""An object in a pack: its place, kind and size, where its bytes begin, and where that from which it differs is, or its
name."""

_NAME = 20
_FANOUT, _NAMES = 8, 8 + 256 * 4
_INDEX_MAGIC = b"\xfftOc\0\0\0\2"
_LARGEST = 1 << 28
"""Bytes of the largest object that is put together here: what a damaged size claims is not allocated."""


class Pack:
    """A pack and its index, both mapped into memory."""

    def __init__(self, index: Bytes, data: Bytes) -> None:
        self.index, self.data = index, data
        self.view = data.data

    def entry(self, name: bytes | Bytes) -> Entry:
        """The entry of an object; its place is -1 where there is none."""
        return _find(self.index, self.data, np.frombuffer(name, np.uint8))

    def __contains__(self, name: bytes) -> bool:
        return self.entry(name)[0] >= 0

    def named(self, prefix: str) -> Iterator[bytes]:
        """The names that begin with these hexadecimal digits, two or more."""
        first = int(prefix[:2], 16)
        low, high = (_big(self.index, _FANOUT + 4 * n, 4) if n >= 0 else 0 for n in (first - 1, first))
        count = _big(self.index, _NAMES - 4, 4)
        names = self.index[_NAMES + _NAME * low : _NAMES + _NAME * min(high, count)].tobytes()
        for at in range(0, len(names), _NAME):
            if (name := names[at : at + _NAME]).hex().startswith(prefix):
                yield name

    def base(self, entry: Entry) -> Entry:
        """The entry of the object that this one differs from."""
        _, kind, _, _, base = entry
        return _entry_at(self.data, base) if kind == NEAR else self.entry(self.data[base : base + _NAME])

    def size(self, entry: Entry) -> int:
        """The bytes of an object as its entry has them, or the head of a difference."""
        _, kind, size, begin, _ = entry
        if kind in WORDS:
            return size
        head = zlib.decompressobj().decompress(self.view[begin : begin + 64], 20)
        if kind not in (NEAR, NAMED) or (whole := size_after(np.frombuffer(head, np.uint8))) < 0:
            raise ValueError("no object begins here")
        return whole

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


def open_pack(index: Path) -> Pack | None:
    """The pack beside an index, or None where one of them cannot be read or is no such file."""
    try:
        pack = Pack(_second_version(_mapped(index)), _mapped(index.with_suffix(".pack")))
    except (OSError, ValueError):
        return None
    if len(pack.index) < _NAMES or pack.index[: len(_INDEX_MAGIC)].tobytes() != _INDEX_MAGIC:
        return None
    count = int.from_bytes(pack.index[_NAMES - 4 : _NAMES].tobytes())
    return pack if len(pack.index) >= _NAMES + count * (_NAME + 8) + 2 * _NAME and len(pack.data) > 32 else None


def _second_version(index: Bytes) -> Bytes:
    """An index of the first version, without magic number and checksums of objects, as one of the second."""
    fanout = _NAMES - _FANOUT
    if len(index) < fanout or index[: len(_INDEX_MAGIC)].tobytes() == _INDEX_MAGIC:
        return index
    count = int.from_bytes(index[fanout - 4 : fanout].tobytes())
    rows = index[fanout : fanout + count * (4 + _NAME)]
    if len(index) != fanout + count * (4 + _NAME) + 2 * _NAME:
        return index
    rows = rows.reshape(count, 4 + _NAME)
    magic, checks = np.frombuffer(_INDEX_MAGIC, np.uint8), np.zeros(4 * count, np.uint8)
    parts = [magic, index[:fanout], rows[:, 4:].ravel(), checks, rows[:, :4].ravel(), index[-2 * _NAME :]]
    return np.concatenate(parts)


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
    if kind == NAMED:
        return (place, kind, size, at + _NAME, at) if at + _NAME < last else none
    base = -1
    if kind == NEAR:
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
def size_after(difference: Bytes) -> int:
    """The bytes of the object that a difference makes, below none where it is damaged."""
    _, at = _number(difference, 0)
    return _number(difference, at)[0]


@numba.njit(nogil=True, cache=True)
def patched(base: Bytes, difference: Bytes) -> tuple[bool, Bytes]:
    """Whether the difference fits the object that it is from, and the object that it makes of it."""
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
