"""Git objects that have files of their own, checked as they are read.

libgit2 1.9 waits for ever for the end of such a file where it was cut off; here that is an error like any other.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from engine.columns import Bytes

KINDS = {b"commit": 1, b"tree": 2, b"blob": 3, b"tag": 4}
"""The kinds of objects by the numbers that packs and libgit2 have for them."""
_HEAD = 64
"""Bytes that hold the kind and the size of any object."""


class LooseObjects:
    """The objects in files of their own in one folder of objects."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: bytes, largest: int | None = None) -> tuple[int, Bytes] | int | None:
        """An object's kind and bytes; its size, where that is above `largest`; None where it has no file.

        Raises ValueError or `zlib.error` where the file is damaged, OSError where it cannot be read.
        """
        try:
            with open(self._file(name), "rb") as file:
                return _read(file, largest)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def __contains__(self, name: bytes) -> bool:
        return self._file(name).is_file()

    def _file(self, name: bytes) -> Path:
        shown = name.hex()
        return self._folder / shown[:2] / shown[2:]

    def named(self, prefix: str) -> Iterator[bytes]:
        """The names that begin with these hexadecimal digits, two or more."""
        for file in (self._folder / prefix[:2]).glob(f"{prefix[2:]}*"):
            if len(file.name) == 38:
                yield bytes.fromhex(prefix[:2] + file.name)


def _read(file: IO[bytes], largest: int | None) -> tuple[int, Bytes] | int:
    inflater = zlib.decompressobj()
    head, end, data = inflater.decompress(file.read(1 << 12), _HEAD).partition(b"\0")
    kind, _, told = head.partition(b" ")
    if not end or kind not in KINDS or not told.isdigit() or len(told) > 15:
        raise ValueError("its file does not begin as an object does")
    size = int(told)
    if largest is not None and size > largest:
        return size
    if len(data) <= size:
        # One byte more than there should be, so that the end of the file is looked at too.
        data += inflater.decompress(inflater.unconsumed_tail + file.read(), size - len(data) + 1)
    if len(data) != size or not inflater.eof:
        raise ValueError("its file has another size than it says")
    return KINDS[kind], np.frombuffer(data, np.uint8)
