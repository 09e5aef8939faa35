"""Commits: the history of local repositories, change by change."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
import pygit2
import xxhash

from engine.columns import Bytes
from engine.digest import without_markup
from engine.op import Batch, Losses, Shard
from engine.schema import TEXT
from ops import decode, trees
from ops.commit_changes import COMMIT, pc
from ops.commit_licenses import CommitLicenses
from ops.decode import has_binary_ending, safe_name
from ops.git import Git, name_of
from ops.git_objects import Objects, object_folder
from ops.license_rules import License
from ops.listing import shard_name
from ops.tree_changes import Change, Side, only_change

SHARD_COMMITS = 2048
"""Commits that a shard holds on average."""
BATCH_BYTES = 16 << 20
"""Bytes of files before and after that one batch is made of."""

_COMMIT = re.compile(rb"tree ([0-9a-f]{40})\n((?:parent [0-9a-f]{40}\n)*)")
_AUTHOR = re.compile(rb"^author .*?(-?\d{1,15}) [+-]\d+$", re.MULTILINE)
_ENCODING = re.compile(rb"^encoding (\S+)$", re.MULTILINE)
_TREE_BYTES = 16 << 20
"""Bytes of trees and commits that are held."""
_NAME = 20  # bytes of a hash
_NOTHING = np.zeros(0, np.uint8)


class Commits(Git):
    """Reads the commits of local repositories that change one file, with the file before and after.

    The history is that of `revision`, with all that was merged into it. Each commit is compared with its parent, the
    first one with nothing; a rename changes two files. Left out are merges, commits of several files or none, and
    those whose file is no text. `content` is the file as the commit left it, empty where it was removed; the column
    `commit` holds the file before, the message and the author's time, until `render_commit` makes a text of all.
    `revision_id` is the commit's full hash, and the licence that of the licence files above the file as of that commit.

    Example:
        - commits: {path: ".", revision: main}

    Reference:
        Li et al. 2023, StarCoder, https://arxiv.org/abs/2305.06161, section 3.6
    """

    reasons: ClassVar[tuple[str, ...]] = (
        *("merge", "several_files", "no_change", "mode_change", "symlink", "submodule", "shallow"),
        *("too_large", "binary", "undecodable", "lfs_pointer", "undecodable_message"),
    )
    writes: ClassVar[Mapping[str, pa.DataType]] = {"commit": COMMIT}

    def shards(self) -> Iterator[Shard]:
        labels: set[str] = set()
        for path in self._repositories():
            repository, _, head = self._opened(path, self.revision)
            where = trees.resolved(path)
            name = name_of(repository, where)
            # The name by which a repository may be moved, unless another one has it.
            label = where if name in labels else name
            labels.add(label)
            names = _walked(repository, head)
            share = sum(pack.stat().st_size for pack in object_folder(repository).glob("pack/*.pack")) // len(names) + 1
            for group in _cut(names):
                at = {"repository": where, "repo_name": name, "commits": b"".join(group).hex()}
                version = xxhash.xxh3_128_hexdigest(b"".join(group))
                yield Shard(shard_name(label, group[-1].hex()), version, share * len(group), at)

    def read(self, shard: Shard, losses: Losses, columns: frozenset[str] | None = None) -> Iterator[Batch]:
        names = bytes.fromhex(shard.at["commits"])
        history = _History(pygit2.Repository(shard.at["repository"]), shard.at["repo_name"], self.max_bytes, losses)
        return history.batches(names[at : at + _NAME] for at in range(0, len(names), _NAME))


def _walked(repository: pygit2.Repository, head: bytes) -> list[bytes]:
    """The names of a commit and all that it descends from, each before its parents."""
    order = pygit2.enums.SortMode.TOPOLOGICAL | pygit2.enums.SortMode.TIME
    try:
        return [found.id.raw for found in repository.walk(pygit2.Oid(raw=head), order)]
    except (KeyError, ValueError, OSError, pygit2.GitError):
        # A commit is damaged or missing: what can be reached without it is there still.
        objects, names = Objects(repository, _TREE_BYTES), {head: None}
        todo = [head]
        while todo:
            try:
                parents = _commit(objects, todo.pop()).parents
            except (KeyError, ValueError, pygit2.GitError):
                continue
            todo += [parent for parent in parents if parent not in names]
            names |= dict.fromkeys(parents)
        return list(names)


def _cut(names: Sequence[bytes]) -> Iterator[list[bytes]]:
    """The history in groups, from the newest commit on; whether one ends at a commit only that commit decides."""
    group: list[bytes] = []
    for name in names:
        group.append(name)
        if int.from_bytes(name[:8]) < 2**64 // SHARD_COMMITS:
            yield group
            group = []
    if group:
        yield group


class _Row(NamedTuple):
    """A commit that may become a document, with its files still as bytes."""

    name: str
    path: str
    old: Bytes
    new: Bytes
    message: str
    time: int
    license: License


class _History:
    """Reads commits of one repository, and enters in the losses those that are left out."""

    def __init__(self, repository: pygit2.Repository, repo_name: str, max_bytes: int, losses: Losses) -> None:
        # A tree is needed for two commits; a file's text until the file changes again.
        self.objects, self.files = Objects(repository, _TREE_BYTES), Objects(repository)
        self.licenses = CommitLicenses(self.objects)
        self.is_shallow = repository.is_shallow
        self.ahead: dict[bytes, _Commit] = {}
        self.repo_name, self.max_bytes, self.losses = repo_name, max_bytes, losses

    def batches(self, names: Iterable[bytes]) -> Iterator[Batch]:
        """The documents of these commits, in their order."""
        group: list[_Row] = []
        size = 0
        for name in names:
            row = self._row(name)
            if row is None:
                continue
            group.append(row)
            size += len(row.old) + len(row.new)
            if size > BATCH_BYTES:
                yield from self._documents(group)
                group, size = [], 0
        yield from self._documents(group)

    def _row(self, name: bytes) -> _Row | None:
        shown = name.hex()
        try:
            commit = self.ahead.pop(name, None) or _commit(self.objects, name)
            if len(commit.parents) > 1:
                return self.losses.drop("merge", shown, self.repo_name)
            change = self._change(commit)
            if isinstance(change, str):
                return self.losses.drop(change, shown, self.repo_name)
            path = change.path.decode("utf-8", "surrogateescape")
            shown = f"{shown}:{safe_name(path)}"
            fate = _fate(change, path)
            if fate:
                return self.losses.drop(fate, shown, self.repo_name)
            old, new = self._file(change.old), self._file(change.new)
            if isinstance(old, int) or isinstance(new, int):
                large = max(side for side in (old, new) if isinstance(side, int))
                return self.losses.drop("too_large", shown, self.repo_name, large)
            message, time = _message(commit)
            if message is None:
                return self.losses.drop("undecodable_message", shown, self.repo_name)
            license = self.licenses.of(change)
        except (KeyError, ValueError, pygit2.GitError) as error:
            return self.losses.quarantine(shown, f"an object cannot be read: {error}", self.repo_name)
        return _Row(name.hex(), path, old, new, message, time, license)

    def _change(self, commit: _Commit) -> Change | str:
        """The one change of a commit, or why it is left out."""
        old = None
        if commit.parents:
            try:
                parent = _commit(self.objects, commit.parents[0])
            except (KeyError, pygit2.GitError):
                if self.is_shallow:
                    return "shallow"
                raise
            # Mostly it is the next commit to be read.
            self.ahead = {commit.parents[0]: parent}
            old = parent.tree
        change = only_change(self.objects, old, commit.tree)
        if isinstance(change, int):
            return "several_files" if change else "no_change"
        return change

    def _file(self, side: Side | None) -> Bytes | int:
        return self.files.read(side.name, self.max_bytes) if side is not None else _NOTHING

    def _documents(self, rows: list[_Row]) -> Iterator[Batch]:
        """The rows whose files are text, before and after."""
        if not rows:
            return
        files: Any = [row.old for row in rows] + [row.new for row in rows]
        ends: Any = np.cumsum([0, *map(len, files)], dtype=np.int64)
        whole: Any = np.concatenate(files)
        buffers = [None, pa.py_buffer(ends), pa.py_buffer(whole)]
        text, reason = decode.decode(pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(files), buffers))
        reason = pc.if_else(pc.equal(reason, "empty"), pa.scalar(None, TEXT), reason)
        pointer = pc.fill_null(pc.starts_with(text, decode.LFS_POINTER), pa.scalar(False))
        reason = pc.if_else(pointer, pa.scalar("lfs_pointer", TEXT), reason)
        text = text.fill_null("")
        count = len(rows)
        old, new = text.slice(0, count), text.slice(count)
        same = pc.if_else(pc.equal(old, new), pa.scalar("no_change", TEXT), pa.scalar(None, TEXT))
        reason = pc.coalesce(reason.slice(0, count), reason.slice(count), same)
        for row, why in zip(rows, reason.to_pylist(), strict=True):
            if why is not None:
                size = max(len(row.old), len(row.new))
                self.losses.drop(why, f"{row.name}:{safe_name(row.path)}", self.repo_name, size)
        # The engine counts what markup it replaces in `content`; beside it, it is replaced likewise.
        before, _ = without_markup(old)
        message, _ = without_markup(pa.array([row.message for row in rows], TEXT))
        time = pa.array([row.time for row in rows], pa.int64())
        columns = {
            "content": new,
            "commit": pa.StructArray.from_arrays([before, message, time], fields=list(COMMIT)),
            "path": pa.array([safe_name(row.path) for row in rows], TEXT),
            "repo_name": pa.repeat(pa.scalar(self.repo_name, TEXT), count),
            "revision_id": pa.array([row.name for row in rows], TEXT),
            "license": pa.array([row.license.expression for row in rows], TEXT),
            "license_source": pa.array([row.license.source for row in rows], TEXT),
        }
        batch = pa.RecordBatch.from_pydict(columns).filter(reason.is_null())
        if batch.num_rows:
            yield batch


class _Commit(NamedTuple):
    tree: bytes
    parents: list[bytes]
    raw: bytes


def _commit(objects: Objects, name: bytes) -> _Commit:
    data = objects.read(name)
    raw = b"" if isinstance(data, int) else data.tobytes()
    found = _COMMIT.match(raw)
    if found is None:
        raise ValueError("a commit is damaged")
    parents = [bytes.fromhex(line[7:47].decode()) for line in found[2].splitlines()]
    return _Commit(bytes.fromhex(found[1].decode()), parents, raw)


def _message(commit: _Commit) -> tuple[str | None, int]:
    """The message and the author's time, 0 where there is none.

    The message is text in UTF-8, or else in the encoding that the commit names; None where it is in neither.
    """
    head, _, raw = commit.raw.partition(b"\n\n")
    author, named = _AUTHOR.search(head), _ENCODING.search(head)
    message = None
    for encoding in ("utf-8", named[1].decode("ascii", "replace") if named else "utf-8"):
        try:
            message = raw.decode(encoding)
            break
        except (LookupError, UnicodeError):
            continue
    return message if message is None or "\0" not in message else None, int(author[1]) if author else 0


def _fate(change: Change, path: str) -> str | None:
    """Why a change is left out, as far as modes and names tell."""
    sides = [side for side in (change.old, change.new) if side is not None]
    for kind in ("submodule", "symlink"):
        if any(side.kind == kind for side in sides):
            return kind
    if len(sides) == 2 and sides[0].name == sides[1].name:
        return "mode_change"
    return "binary" if has_binary_ending(path) else None
