"""A file's lines, in blocks that kernels can read: in bounded memory, and in parts that begin and end between lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.columns import OVERREAD, Bytes
from ops.input_files import Damage

BLOCK_BYTES = 8 << 20
"""Bytes of lines that are read at a time."""
_MARKS = ((b"\xff\xfe", "UTF-16 or UTF-32"), (b"\xfe\xff", "UTF-16"), (b"\0\0\xfe\xff", "UTF-32"))
_UTF8_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Block:
    """Whole lines, `data[:stop]`, of which the last has its newline; good until the next block is asked for."""

    data: Bytes
    stop: int
    byte: int
    """Where `data[0]` stands in the file, unpacked."""
    left_out: int = 0
    """Bytes of the one line that this block stands for, which is too long to be read."""


class _Feed:
    """A file's bytes in a buffer: `data[:size]` are those from `byte` on."""

    def __init__(self, file: Any, byte: int) -> None:
        self.file, self.byte, self.size, self.over = file, byte, 0, False
        self.data = bytearray(BLOCK_BYTES + OVERREAD + 1)

    @property
    def room(self) -> int:
        return len(self.data) - OVERREAD - 1

    def fill(self) -> bool:
        """Reads what there is room for; answers whether there is anything."""
        with memoryview(self.data) as view:
            while self.size < self.room and not self.over:
                came = self.file.readinto(view[self.size : self.room])
                self.size, self.over = self.size + came, not came
        return self.size > 0

    def grow(self, most: int) -> bool:
        """Makes room for more; answers whether there may be."""
        if self.room >= most:
            return False
        self.data = self.data[: self.size] + bytearray(min(2 * self.room, most) + OVERREAD + 1 - self.size)
        return True

    def drop(self, count: int) -> None:
        """Lets go of the first bytes."""
        count = min(count, self.size)
        self.data[: self.size - count] = self.data[count : self.size]
        self.size, self.byte = self.size - count, self.byte + count

    def skip_line(self) -> int:
        """Lets go of what there is up to a newline; answers how many bytes that was, less the newline."""
        skipped = 0
        while self.fill():
            found = self.data.find(b"\n", 0, self.size)
            skipped += found if found >= 0 else self.size
            self.drop(found + 1 if found >= 0 else self.size)
            if found >= 0:
                break
        return skipped


def blocks(file: Any, begin: int, end: int | None, longest: int) -> Iterator[Block]:
    """The lines of a file that begin in `[begin, end)`; one with more than `longest` bytes is left out."""
    feed = _Feed(file, max(0, begin - 1))
    if begin:
        # A line that begins with this part has its newline before it.
        file.seek(begin - 1)
        feed.skip_line()
    elif feed.fill():
        feed.drop(_mark(bytes(feed.data[:4])))
    while (end is None or feed.byte < end) and feed.fill():
        stop = 0
        if end is not None and feed.byte + feed.size >= end:
            stop = feed.data.find(b"\n", end - 1 - feed.byte, feed.size) + 1
        stop = stop or feed.data.rfind(b"\n", 0, feed.size) + 1
        if not stop and feed.over:
            stop = feed.size + 1
            feed.data[feed.size] = 10
        if stop:
            yield Block(np.frombuffer(feed.data, np.uint8), stop, feed.byte)
            feed.drop(stop)
        elif not feed.grow(longest):
            byte = feed.byte
            yield Block(np.zeros(OVERREAD, np.uint8), 0, byte, feed.skip_line())


def _mark(head: bytes) -> int:
    """The bytes of a byte order mark, if it is that of UTF-8; Damage if it is another's."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            raise Damage(f"it is {encoding}, where UTF-8 belongs")
    return len(_UTF8_MARK) if head.startswith(_UTF8_MARK) else 0
