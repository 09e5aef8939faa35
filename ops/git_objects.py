"""Git objects read straight from the files of a repository, many times faster than one by one through libgit2.

What was put together from differences stays in a cache, so that a history read from its newest commit on costs one
difference an object. Nothing is left to libgit2, which a damaged repository can bring down: what is damaged here is an
error of the object, unless another pack or file has it whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import zlib
from collections import OrderedDict
from pathlib import Path

import pygit2

from engine.columns import Bytes
from ops.loose_objects import LooseObjects
from ops.packs import NAMED, NEAR, WORDS, Entry, Pack, open_pack, patched, size_after

CACHE_BYTES = 96 << 20
"""Bytes of objects that are held, as Git itself does."""
_DEEPEST = 10_000
"""Differences on the way to an object; Git makes no more than 4,095."""


class MissingObject(KeyError):
    """No object has this name."""

    def __str__(self) -> str:
        return str(self.args[0])


class Objects:
    """The objects of a repository by their 20-byte names, as arrays that nobody may write to."""

    def __init__(self, repository: pygit2.Repository, cache_bytes: int = CACHE_BYTES) -> None:
        self._cache_bytes = cache_bytes
        self._folders = _object_folders(object_folder(repository))
        self._loose = [LooseObjects(folder) for folder in self._folders]
        self._packs: list[Pack] = []
        self._known: set[Path] = set()
        self._open_packs()
        self._cache: OrderedDict[tuple[int, int], tuple[int, Bytes]] = OrderedDict()
        self._held = 0

    def _open_packs(self) -> bool:
        """Whether there were packs to open that have come since."""
        new = [p for folder in self._folders for p in sorted(folder.glob("pack/*.idx")) if p not in self._known]
        self._known.update(new)
        packs = [pack for path in new if (pack := open_pack(path))]
        self._packs += packs
        return bool(packs)

    def read(self, name: bytes, largest: int | None = None) -> Bytes | int:
        """An object's bytes, or its size where that is above `largest`.

        Raises KeyError where it is missing and ValueError where it is damaged.
        """
        found = self._found(name, largest)
        return found if isinstance(found, int) else found[1]

    def size(self, name: bytes) -> int:
        """The bytes of an object, as it says itself; no more of it is read. Raises as `read` does."""
        for pack in self._packs:
            entry = pack.entry(name)
            if entry[0] >= 0:
                with contextlib.suppress(zlib.error, ValueError):
                    return pack.size(entry)
        found = self._found(name, -1)
        return found if isinstance(found, int) else len(found[1])

    def checked(self, name: bytes) -> tuple[int, Bytes]:
        """An object's kind, as packs number them, and its bytes, which are those that the name was made of.

        Raises as `read` does, and ValueError where the bytes are others.
        """
        found = self._found(name, None)
        assert not isinstance(found, int)
        kind, data = found
        head = b"%s %d\0" % (WORDS[kind], len(data))
        made = hashlib.sha1(head, usedforsecurity=False)
        made.update(data.data)
        if made.digest() != name:
            raise ValueError(f"the object {name.hex()} is damaged: its name is not that of its bytes")
        return kind, data

    def named(self, prefix: str) -> set[bytes]:
        """The names of all objects that begin with these hexadecimal digits."""
        places = (*self._packs, *self._loose)
        return {name for place in places for name in place.named(prefix)}

    def __contains__(self, name: bytes) -> bool:
        return any(name in place for place in (*self._packs, *self._loose))

    def _found(self, name: bytes, largest: int | None) -> tuple[int, Bytes] | int:
        damage: Exception | None = None
        for number, pack in enumerate(self._packs):
            entry = pack.entry(name)
            if entry[0] >= 0:
                try:
                    return self._unpacked(number, entry, largest)
                except (zlib.error, ValueError) as error:
                    damage = damage or error
        for loose in self._loose:
            try:
                found = loose.read(name, largest)
            except (zlib.error, ValueError, OSError) as error:
                damage = damage or error
                continue
            if found is not None:
                return found
        if damage is not None:
            raise ValueError(f"the object {name.hex()} is damaged: {damage}") from None
        # It may have been packed meanwhile.
        if self._open_packs():
            return self._found(name, largest)
        raise MissingObject(f"the object {name.hex()} is missing")

    def _unpacked(self, number: int, entry: Entry, largest: int | None) -> tuple[int, Bytes] | int:
        pack, cache, waiting = self._packs[number], self._cache, []
        while True:
            place, kind, size, begin, _ = entry
            found = cache.get((number, place))
            if found is not None:
                cache.move_to_end((number, place))
                break
            difference = kind in (NEAR, NAMED)
            if largest is not None and not waiting and not difference and size > largest:
                return size
            data = pack.inflated(begin, size)
            if not difference:
                if kind not in WORDS:
                    raise ValueError("no object begins here")
                found = kind, data
                self._keep(number, place, kind, data)
                break
            if largest is not None and not waiting and (size := size_after(data)) > largest:
                return size
            waiting.append((place, data))
            if len(waiting) > _DEEPEST:
                raise ValueError("objects differ from one another in a circle")
            entry = pack.base(entry)
            if entry[0] < 0:
                raise ValueError("the object that this one differs from is not in the pack")
        kind, whole = found
        if largest is not None and not waiting and len(whole) > largest:
            return len(whole)
        while waiting:
            place, data = waiting.pop()
            good, whole = patched(whole, data)
            if not good:
                raise ValueError("a difference cannot be applied")
            whole.flags.writeable = False
            self._keep(number, place, kind, whole)
        return kind, whole

    def _keep(self, number: int, place: int, kind: int, data: Bytes) -> None:
        if len(data) > self._cache_bytes // 4:
            return
        self._cache[number, place] = kind, data
        self._held += len(data)
        while self._held > self._cache_bytes:
            self._held -= len(self._cache.popitem(last=False)[1][1])


def object_folder(repository: pygit2.Repository) -> Path:
    """Where a repository keeps its objects, and its packs below."""
    folder = Path(repository.path)
    common = folder / "commondir"  # of a work tree beside the first
    return (folder / common.read_text().strip() if common.is_file() else folder) / "objects"


def _object_folders(first: Path) -> list[Path]:
    """A folder of objects, and those that it borrows from."""
    folders = [first]
    for folder in folders:
        try:
            lines = (folder / "info" / "alternates").read_bytes().splitlines()
        except OSError:
            continue
        for line in lines:
            other = Path(os.path.normpath(folder / os.fsdecode(line)))
            if line and not line.startswith(b"#") and other not in folders:
                folders.append(other)
    return folders
