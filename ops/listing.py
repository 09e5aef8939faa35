"""Listings of trees: walked in the order of the paths, cut into shards, and read.

A listing is cut where its own paths say so, never by a running total: a file more or less touches the shard that it
falls into and no other, and no worker count comes in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import xxhash

from engine.op import Losses, Shard
from ops.decode import RawFile, safe_name
from ops.licenses import Licenses, is_license_file
from ops.trees import Entry, Tree, told

SHARD_BYTES = 16 << 20
"""Bytes that a shard of a tree holds on average."""
_FILE_COST = 4096  # what opening a file costs, in bytes read


def walk(root: Tree, choose: Callable[[str, list[Entry]], list[Entry]] | None = None) -> Iterator[Entry]:
    """All that lies in a tree except folders, in the order of the paths.

    `choose(folder, entries)` may leave out some of what lies in a folder; a folder left out is not entered. One that
    cannot be listed is an entry of the kind `unreadable`.
    """
    todo = [Entry("", kind="folder")]
    while todo:
        entry = todo.pop()
        if entry.kind != "folder":
            yield entry
            continue
        try:
            found = root.scan(entry.path)
        except OSError as error:
            yield Entry(entry.path or ".", stamp=told(error), kind="unreadable")
            continue
        found = choose(entry.path, found) if choose else found
        # With a slash behind folders, the order is that of the whole paths.
        todo += sorted(found, key=lambda e: e.path + "/" if e.kind == "folder" else e.path, reverse=True)


def cut(entries: Iterable[Entry], max_bytes: int) -> Iterator[list[Entry]]:
    """The listing in groups of about `SHARD_BYTES` to be read; whether one ends at an entry only that entry decides."""
    group: list[Entry] = []
    for entry in entries:
        group.append(entry)
        share = ((entry.size if entry.fate(max_bytes) == "file" else 0) + _FILE_COST) / SHARD_BYTES
        if xxhash.xxh64_intdigest(_encoded(entry.path)) < share * 2**64:
            yield group
            group = []
    if group:
        yield group


def _encoded(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def shards(name: str, entries: Sequence[Entry], max_bytes: int, stamp: str = "", **at: Any) -> Iterator[Shard]:
    """The shards of one listing, each named after `name` and its last path.

    `at` is passed on, and joined by what `raw_files` needs: the shard's files to read, what is left out unread, and the
    licence files of the folders above.
    """
    homes = [(_home(e.path), e) for e in entries if is_license_file(e.path) and e.fate(max_bytes) == "file"]
    for group in cut(entries, max_bytes):
        fates = [(entry, entry.fate(max_bytes)) for entry in group]
        above = _folders_above(group)
        licenses = [entry for folder, entry in homes if folder in above]
        listed = "".join(f"{e.path}\0{e.size}\0{e.stamp}\0{e.kind}\n" for e in [*group, *licenses])
        yield Shard(
            shard_name(name, group[-1].path),
            xxhash.xxh3_128_hexdigest(_encoded(stamp + listed)),
            sum(entry.size for entry, fate in fates if fate == "file"),
            {
                **at,
                "files": [_carried(entry.path) for entry, fate in fates if fate == "file"],
                "others": [_left_out(entry, fate) for entry, fate in fates if fate != "file"],
                "licenses": [_carried(entry.path) for entry in licenses],
            },
        )


# Folders whose licence files speak for the folder that they lie in.
_LICENSE_FOLDER = re.compile(r"(?:^|/)(?:licen[cs]es?|debian|[^/]+\.(?:dist|egg)-info)(?:/.*)?$", re.IGNORECASE)


def _home(path: str) -> str:
    return _LICENSE_FOLDER.sub("", path.rpartition("/")[0])


def _left_out(entry: Entry, fate: str) -> list[Any]:
    return [safe_name(entry.path), fate, entry.stamp if fate == "unreadable" else entry.size]


def shard_name(name: str, path: str) -> str:
    """A name that any file system takes: the readable part of `name`, and a hash of both.

    `owner/repository` has no part that is readable: who asks to be forgotten is not to stay in the names of files.
    """
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[-60:] if "/" not in name else "repository"
    return f"{readable or 'root'}-{xxhash.xxh3_64_hexdigest(_encoded(f'{name}/{path}'))}"


def _folders_above(entries: Iterable[Entry]) -> set[str]:
    folders: set[str] = set()
    for entry in entries:
        folder = entry.path.rpartition("/")[0]
        while folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return folders


def _carried(path: str) -> str:
    # A file name may hold bytes that no UTF-8 text can; a shard's place must be plain text. One character a byte.
    return path if path.isascii() else _encoded(path).decode("latin-1")


def _native(path: str) -> str:
    return path if path.isascii() else path.encode("latin-1").decode("utf-8", "surrogateescape")


# --- reading ----------------------------------------------------------------------------------------------------


def license_texts(root: Tree, shard: Shard, max_bytes: int) -> dict[str, bytes]:
    """The licence files in the folders above a shard's files, by their paths; one that cannot be read is left out."""
    paths = [_native(path) for path in shard.at["licenses"]]
    return {path: data for path, data in root.read(paths, max_bytes) if isinstance(data, bytes)}


def raw_files(
    root: Tree, shard: Shard, losses: Losses, max_bytes: int, licenses: Licenses, repo_name: str | None
) -> Iterator[RawFile]:
    """The bytes of a shard's files with their licences; what has none is entered in the losses."""
    for path, fate, note in shard.at["others"]:
        if fate == "unreadable":
            losses.quarantine(path, note, repo_name)
        else:
            losses.drop(fate, path, repo_name, note or None)
    for path, content in root.read([_native(path) for path in shard.at["files"]], max_bytes):
        if isinstance(content, bytes):
            license = licenses.of(path)
            yield RawFile(path, content, license.expression, license.source)
        elif isinstance(content, int):
            losses.drop("too_large", safe_name(path), repo_name, content)
        else:
            losses.quarantine(safe_name(path), told(content), repo_name)
