"""The licence of a file as of a commit: that of the licence files beside and above it in the commit's own tree."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numba
import numpy as np
import pygit2

from engine.columns import Bytes
from ops.decode import safe_name
from ops.git_objects import Objects
from ops.license_rules import License
from ops.licenses import Licenses, is_license_file
from ops.tree_changes import Change, Side

_LONGEST = 1 << 20
"""Bytes that a licence file may have."""
_MOST = 64
"""Entries of a folder that are looked at more closely."""

Files = tuple[tuple[bytes, bytes], ...]
"""Names and objects of the licence files in a folder."""


class CommitLicenses:
    """Licences of files in the trees of a history, which hardly differ from one commit to the next."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._files: dict[bytes, Files] = {}
        self._licenses: dict[Files, Licenses] = {}

    def of(self, change: Change) -> License:
        """The licence of the changed file."""
        found: list[tuple[bytes, bytes]] = []
        for level in change.levels:
            if level.new is None:
                continue
            files = self._in(level.new)
            found += [(level.path + name, of) for name, of in files]
            # The trees before and after differ in this entry only.
            if level.old is not None and not _is_hint(level.entry):
                self._files[level.old] = files
        key = tuple(found)
        if key not in self._licenses:
            self._licenses[key] = Licenses(texts={safe_name(_text(path)): self._read(of) for path, of in key})
        return self._licenses[key].of(safe_name(_text(change.path)))

    def _in(self, tree: bytes) -> Files:
        files = self._files.get(tree)
        if files is None:
            files = self._files[tree] = tuple(self._found(tree, b""))
        return files

    def _found(self, tree: bytes, above: bytes) -> Iterator[tuple[bytes, bytes]]:
        data = self._objects.read(tree)
        assert not isinstance(data, int)
        places = np.empty((_MOST, 2), np.int64)
        for begin, end in places[: _suspects(data, _FIRST, places)].tolist():
            mode, _, name = data[begin:end].tobytes().partition(b" ")
            of = data[end + 1 : end + 21].tobytes()
            kind = Side(mode.lstrip(b"0"), of).kind
            if kind == "folder" and not above and re.fullmatch(rb"(?i)licen[cs]es?", name):
                yield from self._found(of, name + b"/")
            elif kind == "file" and is_license_file(_text(above + name)):
                yield above + name, of

    def _read(self, name: bytes) -> bytes:
        try:
            data = self._objects.read(name, _LONGEST)
        except (KeyError, pygit2.GitError):
            return b""
        return b"" if isinstance(data, int) else data.tobytes()


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _is_hint(name: bytes) -> bool:
    lower = name.lower()
    return b"licen" in lower or b"copy" in lower or b"reuse" in lower


_FIRST = np.frombuffer(b"licecopyreus", np.uint8)
"""With which four bytes the words begin that names of licence files have."""


@numba.njit(nogil=True, cache=True)
def _suspects(tree: Bytes, hints: Bytes, out: np.ndarray) -> int:
    # How many entries have a name in which a hint begins, in upper or lower case, and where entry and name end.
    at, count = 0, 0
    while at < len(tree) and count < len(out):
        end, found = at, False
        while end < len(tree) and tree[end] != 0:
            byte = tree[end] | 0x20
            if byte == 0x6C or byte == 0x63 or byte == 0x72:
                for first in range(0, len(hints), 4):
                    n = 0
                    while n < 4 and end + n < len(tree) and tree[end + n] | 0x20 == hints[first + n]:
                        n += 1
                    found = found or n == 4
            end += 1
        if end + 21 > len(tree):
            break
        if found:
            out[count, 0], out[count, 1] = at, end
            count += 1
        at = end + 21
    return count
