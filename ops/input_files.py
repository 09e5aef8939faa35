"""The files behind a source's `path`, and the names of the shards that are cut from them.

A file's name in a run is made of its place below the path that was given, so that a folder can be moved, and can grow,
without another name for what was in it before.
"""

from __future__ import annotations

import gzip
import lzma
import os
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import xxhash

from engine import storage
from engine.errors import OpError
from engine.op import Shard
from ops.decode import safe_name

_MAGIC = re.compile(r"[*?\[]")


class Damage(Exception):
    """What is wrong with a file that is not of the format that it should be of."""


_DAMAGE = (
    *(Damage, pa.ArrowException, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile),
    *(PermissionError, IsADirectoryError),
)


@dataclass(frozen=True)
class InputFile:
    """A file that a source reads."""

    url: str
    bytes: int
    version: str
    """A text that changes when the file does."""
    place: str
    """Its path below the folder that was given, or that holds the glob or the file that was given."""
    name: str
    """What its shards' names begin with: readable, and its own whatever other files there are."""

    def shard(self, part: int, size: int, version: str, **at: object) -> Shard:
        """One part of the file as a shard of `size` bytes; `at` is what finds the part in the file."""
        return Shard(f"{self.name}-{part:04d}", version, size, {"url": self.url, "place": self.place, **at})


def find(path: str | Sequence[str], endings: tuple[str, ...], below: str | None = None) -> list[InputFile]:
    """The files at one path or several, each of which is a file, a folder or a glob, local or any fsspec URL.

    Their places are those below the folder `below`, or else below what their path names. A file that two of the paths
    lead to is taken once. OpError where a path leads to no file.
    """
    found: dict[str, InputFile] = {}
    places: set[str] = set()
    for given in map(_normal, [path] if isinstance(path, str) else path):
        root = _root(given if below is None else _normal(below))
        # A glob that has an ending of its own is taken at its word.
        files = storage.find_files(given, () if _MAGIC.search(given) and "." in given.rpartition("/")[2] else endings)
        if not files:
            what = " or ".join(endings)
            raise OpError(f"no file at `{given}`; give a file, a folder that holds {what} files, or a glob of such")
        for file in files:
            if file.url in found:
                continue
            place = _below(file.url, root)
            # Of two roots that hold the same place, the second's files are named by their whole URLs.
            named = file.url if place in places else place
            places.add(place)
            found[file.url] = InputFile(
                file.url, file.bytes, file.version, safe_name(place), _name(place, named, endings)
            )
    return list(found.values())


def _normal(given: str) -> str:
    """A local path without its detours; a URL as it is."""
    return os.path.normpath(storage.local_path(given).expanduser()) if storage.is_local(given) else given


def _root(given: str) -> str:
    """The folder that a path's files are named below, as its file system writes it."""
    fs, path = storage.file_system(given)
    magic = _MAGIC.search(path)
    if magic:
        return path[: magic.start()].rpartition("/")[0]
    return path.rpartition("/")[0] if fs.isfile(path) else path


def _below(url: str, root: str) -> str:
    path = storage.file_system(url)[1]
    root = root.rstrip("/") + "/"
    return path.removeprefix(root) if path.startswith(root) else path.rpartition("/")[2]


def _name(place: str, named: str, endings: Iterable[str]) -> str:
    stem = next((place[: -len(e)] for e in endings if place.lower().endswith(e)), place)
    slug = re.sub(r"[^a-z0-9]+", "-", stem.lower())[-60:].strip("-")
    digest = xxhash.xxh3_64_hexdigest(named.encode("utf-8", "surrogateescape"))[:8]
    return f"{slug}-{digest}" if slug else digest


def is_damage(error: BaseException) -> bool:
    """Whether an error met in reading a file lies in what it holds, or in its rights, rather than on the way there.

    Arrow tells of pages that it cannot decode by its own errors, and by an OSError without a number.
    """
    if isinstance(error, _DAMAGE):
        return True
    return type(error) is OSError and error.errno is None


def changed(shard: Shard) -> OpError:
    """The error that tells that a shard's file is no longer the one that the run began with."""
    return OpError(f"`{shard.at['url']}` changed while the run was under way: run again")
