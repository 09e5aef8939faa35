"""Trees of files, local or remote: what lies in a folder, and what a file holds."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from engine.errors import OpError, did_you_mean
from engine.op import Op, fail
from engine.storage import exists, file_system, is_local, local_path, names
from ops.decode import has_binary_ending

REASONS = ("symlink", "not_a_file")
"""Why something in a tree is left out that is no regular file: links are not followed, so loops of them do no harm."""

# Whatever was put in a file's place since it was listed must neither be followed nor block.
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_AT_ONCE = 64  # remote files fetched together

Content = bytes | int | Exception
"""A file's bytes; its size, where that is too large to read; or why it could not be read."""


class Entry(NamedTuple):
    """Something that lies in a tree, by its path below the root."""

    path: str
    size: int = 0
    stamp: str = ""
    """Changes when the content does."""
    kind: str = "file"
    """`file`, `folder`, `unreadable` (`stamp` says why), or the reason for which it is left out."""

    def fate(self, max_bytes: int) -> str:
        """The kind, or the reason for which a file need not be read, as far as name and size tell."""
        if self.kind != "file":
            return self.kind
        if has_binary_ending(self.path):
            return "binary"
        return "too_large" if self.size > max_bytes else "file"


class Tree(Protocol):
    """A folder and all below it."""

    def scan(self, folder: str) -> list[Entry]:
        """What lies in a folder, the root being the empty path. Raises OSError where it cannot be listed."""
        ...

    def read(self, paths: Sequence[str], max_bytes: int) -> Iterator[tuple[str, Content]]:
        """Each file's bytes, in the order of the paths; files over the bound are not read."""
        ...


class LocalTree:
    """A tree on this machine's own file systems."""

    def __init__(self, root: str) -> None:
        self.root = root

    def scan(self, folder: str) -> list[Entry]:
        above = f"{folder}/" if folder else ""
        with os.scandir(os.path.join(self.root, folder)) as found:
            return [_local_entry(above + item.name, item) for item in found]

    def read(self, paths: Sequence[str], max_bytes: int) -> Iterator[tuple[str, Content]]:
        for path in paths:
            try:
                yield path, read_file(os.path.join(self.root, path), max_bytes)
            except OSError as error:
                yield path, error


def _local_entry(path: str, item: os.DirEntry[str]) -> Entry:
    try:
        if item.is_symlink():
            return Entry(path, kind="symlink")
        if item.is_dir(follow_symlinks=False):
            return Entry(path, kind="folder")
        if not item.is_file(follow_symlinks=False):
            return Entry(path, kind="not_a_file")
        found = item.stat(follow_symlinks=False)
    except OSError as error:
        return Entry(path, stamp=told(error), kind="unreadable")
    return Entry(path, found.st_size, str(found.st_mtime_ns))


def read_file(path: str, max_bytes: int) -> bytes | int:
    """The bytes of a local regular file, or its size if that is above the bound. Raises OSError."""
    handle = os.open(path, _FLAGS)
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(0, "is no regular file any more")
        if found.st_size > max_bytes:
            return found.st_size
        data = os.read(handle, found.st_size + 1)
        if len(data) == found.st_size:
            return data
        # It grows, shrinks, or has no size to tell, as in /proc.
        while len(data) <= max_bytes and (more := os.read(handle, 1 << 16)):
            data += more
        return data if len(data) <= max_bytes else len(data)
    finally:
        os.close(handle)


class RemoteTree:
    """A tree on any file system that fsspec knows, listed once."""

    def __init__(self, url: str, depth: int | None = None) -> None:
        self.fs, self.root = file_system(url)
        self.root = self.root.rstrip("/")
        self.depth = depth
        self._folders: dict[str, dict[str, Entry]] | None = None

    def scan(self, folder: str) -> list[Entry]:
        if self._folders is None:
            self._folders = self._listing()
        return list(self._folders.get(folder, {}).values())

    def _listing(self) -> dict[str, dict[str, Entry]]:
        folders: dict[str, dict[str, Entry]] = {}
        found = self.fs.find(self.root, maxdepth=self.depth, withdirs=self.depth is not None, detail=True)
        for name, info in found.items():
            path = name[len(self.root) :].strip("/")
            if not path or name.endswith("/"):
                continue  # the root itself, or the empty object that stands for a folder
            size = int(info.get("size") or 0)
            # A range of an empty object is an error to S3.
            kind = {"file": "file" if size else "empty", "directory": "folder"}.get(info["type"], "not_a_file")
            entry = Entry(path, size, _stamp(info), kind)
            above = path.rpartition("/")[0]
            folders.setdefault(above, {})[path] = entry
            while above and above not in folders.setdefault(above.rpartition("/")[0], {}):
                folders[above.rpartition("/")[0]][above] = Entry(above, kind="folder")
                above = above.rpartition("/")[0]
        return folders

    def read(self, paths: Sequence[str], max_bytes: int) -> Iterator[tuple[str, Content]]:
        for first in range(0, len(paths), _AT_ONCE):
            some = paths[first : first + _AT_ONCE]
            urls = [f"{self.root}/{path}" for path in some]
            for path, data in zip(some, self.fs.cat_ranges(urls, 0, max_bytes + 1, on_error="return"), strict=True):
                yield path, len(data) if isinstance(data, bytes) and len(data) > max_bytes else data


def _stamp(info: Mapping[str, Any]) -> str:
    known = ("ETag", "etag", "md5Hash", "crc32c", "blob_id", "mtime", "LastModified", "last_modified", "created")
    return str(next((info[key] for key in known if info.get(key)), ""))


def tree(root: str, depth: int | None = None) -> Tree:
    """The tree at a path or URL; of a remote one no more than `depth` levels, where that is given."""
    return LocalTree(str(local_path(root))) if is_local(root) else RemoteTree(root, depth)


def resolved(given: str) -> str:
    """A path or URL in full: a local one is absolute."""
    return os.path.normpath(local_path(given).expanduser().absolute()) if is_local(given) else given.rstrip("/")


def shown(given: str) -> str:
    """A path as an error tells it: as given, and resolved where that differs."""
    return f"`{given}`" if given == resolved(given) else f"`{given}` ({resolved(given)})"


def missing(op: Op, given: str) -> OpError:
    """The error to raise for a path that does not exist: as given and resolved, with the nearest name that does."""
    above, name = os.path.split(resolved(given))
    while not exists(above) and os.path.split(above)[1]:
        above, name = os.path.split(above)
    close = did_you_mean(name, names(above))
    return fail(op, f"path {shown(given)} does not exist: there is no `{name}` in {above}{close}")


def told(error: BaseException) -> str:
    """What an error says, without the path of this machine that an OSError adds."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
