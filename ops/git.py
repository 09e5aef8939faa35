"""Git: the files of a revision, read from the objects of a local repository; the work tree is not looked at."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from typing import ClassVar

import pygit2
from pydantic import PositiveInt

from engine.errors import OpError, did_you_mean
from engine.op import Batch, Losses, Shard, Source, fail
from engine.storage import exists, file_system, join
from ops import decode, listing, repositories, trees
from ops.git_objects import Objects
from ops.licenses import Licenses
from ops.loose_objects import KINDS
from ops.tree_changes import Side
from ops.trees import Content, Entry


class Git(Source):
    """Reads the files that a commit of a local repository holds, bare or not, from the object database.

    `revision_id` is the commit's full hash and `repo_name` what the address of the remote `origin` names
    (`owner/name`), or the folder's name where there is none. Submodules and symbolic links are left out, as are the
    pointers that stand for files in Git LFS. Licences are those of the licence files in the folders above a file.

    Example:
        - git: {path: ".", revision: main}
    """

    where: ClassVar[tuple[str, ...]] = ("path", "revision")
    reasons: ClassVar[tuple[str, ...]] = (*decode.REASONS, "symlink", "submodule")

    path: str | list[str]
    """Folder of a repository, a glob of such folders, or a list of them."""
    revision: str = "HEAD"
    """Branch, tag, hash or any other name of a commit that Git understands."""
    max_bytes: PositiveInt = 1 << 20
    """Bytes that a file may have; larger ones are dropped unread."""

    def shards(self) -> Iterator[Shard]:
        labels: set[str] = set()
        for path in self._repositories():
            repository, objects, commit = self._opened(path, self.revision)
            root = _CommitTree(objects, commit)
            where = trees.resolved(path)
            name = name_of(repository, where)
            # The name by which a repository may be moved, unless another one has it.
            label = where if name in labels else name
            labels.add(label)
            at = {"repository": where, "commit": commit.hex(), "repo_name": name}
            entries = list(listing.walk(root))
            yield from listing.shards(label, entries, self.max_bytes, commit.hex(), **at)

    def read(self, shard: Shard, losses: Losses, columns: frozenset[str] | None = None) -> Iterator[Batch]:
        _, objects, commit = self._opened(shard.at["repository"], shard.at["commit"])
        root, repo_name = _CommitTree(objects, commit), shard.at["repo_name"]
        licenses = Licenses(texts=listing.license_texts(root, shard, self.max_bytes))
        files = listing.raw_files(root, shard, losses, self.max_bytes, licenses, repo_name)
        return decode.batches(files, losses, repo_name, commit.hex())

    def _repositories(self) -> Iterator[str]:
        for given in [self.path] if isinstance(self.path, str) else self.path:
            path = trees.resolved(given)
            found = (
                [path] if exists(path) else [p for p in sorted(file_system(path)[0].glob(path)) if _is_repository(p)]
            )
            if not found:
                raise trees.missing(self, given)
            yield from found

    def _opened(self, path: str, revision: str) -> tuple[pygit2.Repository, Objects, bytes]:
        """A repository, its objects, and the name of the commit that a revision of it is."""
        try:
            repository, objects = repositories.opened(path)
        except pygit2.GitError as error:
            raise fail(self, f"path {trees.shown(path)} is no Git repository: {error}") from None
        try:
            return repository, objects, repository.revparse_single(revision).peel(pygit2.Commit).id.raw
        except OSError as error:
            raise fail(self, f"the commit `{revision}` of {path} cannot be read: {trees.told(error)}") from None
        except (KeyError, ValueError, pygit2.GitError) as error:
            raise self._no_revision(repository, path, revision, error) from None

    def _no_revision(self, repository: pygit2.Repository, path: str, revision: str, error: Exception) -> OpError:
        known = ["HEAD"]
        with contextlib.suppress(KeyError, ValueError, OSError, pygit2.GitError):
            if repository.head_is_unborn and revision == "HEAD":
                return fail(self, f"the repository {path} has no commit yet")
            known += [name.split("/", 2)[-1] for name in repository.references]
        if revision in known:
            return fail(self, f"the commit `{revision}` of {path} cannot be read: it is not in the repository")
        close = did_you_mean(revision, known)
        return fail(self, f"the repository {path} has no commit `{revision}`{close} ({error})")


def _is_repository(path: str) -> bool:
    return exists(join(path, ".git")) or exists(join(path, "HEAD"))


def name_of(repository: pygit2.Repository, path: str) -> str:
    """What the address of the remote `origin` names, such as `owner/name`; else the name of the folder."""
    urls = [remote.url for remote in repository.remotes if remote.name == "origin" and remote.url]
    for url in urls:
        address = re.fullmatch(r"(?:[a-z+]+://[^/]+/|[^/:]+:)(.+?)(?:\.git)?/*", url)
        if address and not url.startswith("file:"):
            return address[1].strip("/")
    return os.path.basename(path.removesuffix("/.git")).removesuffix(".git") or "repository"


_ENTRY = re.compile(rb"([0-7]{5,6}) ([^\0]+)\0(.{20})", re.DOTALL)
_TREE_OF_COMMIT = re.compile(rb"tree ([0-9a-f]{40})\n")


class _CommitTree:
    """The tree of a commit. Object hashes are the stamps; sizes are those that the objects tell of themselves."""

    def __init__(self, objects: Objects, commit: bytes) -> None:
        self.objects, self.commit = objects, commit
        self.trees: dict[str, dict[str, Side]] = {}

    def scan(self, folder: str) -> list[Entry]:
        above = f"{folder}/" if folder else ""
        try:
            return [self._entry(above + name, side) for name, side in self._tree(folder).items()]
        except (KeyError, ValueError) as error:
            raise OSError(0, f"the tree cannot be read: {error}") from None

    def _entry(self, path: str, side: Side) -> Entry:
        if side.kind == "folder":
            return Entry(path, kind="folder")
        if side.kind != "file":
            return Entry(path, stamp=side.name.hex(), kind=side.kind)
        try:
            return Entry(path, self.objects.size(side.name), side.name.hex())
        except (KeyError, ValueError) as error:
            return Entry(path, stamp=f"the object cannot be read: {error}", kind="unreadable")

    def _tree(self, folder: str) -> dict[str, Side]:
        """What lies in a folder, by name. Raises KeyError where there is none, ValueError where it is damaged."""
        if folder not in self.trees:
            above, _, name = folder.rpartition("/")
            of = self._tree(above)[name].name if folder else self._root()
            kind, data = self.objects.checked(of)
            if kind != KINDS[b"tree"]:
                raise ValueError(f"the object {of.hex()} is no tree")
            self.trees[folder] = dict(_sides(data.tobytes()))
        return self.trees[folder]

    def _root(self) -> bytes:
        _, data = self.objects.checked(self.commit)
        found = _TREE_OF_COMMIT.match(data.tobytes())
        if found is None:
            raise ValueError(f"the commit {self.commit.hex()} names no tree")
        return bytes.fromhex(found[1].decode())

    def read(self, paths: Sequence[str], max_bytes: int) -> Iterator[tuple[str, Content]]:
        for path in paths:
            above, _, name = path.rpartition("/")
            try:
                yield path, self.objects.checked(self._tree(above)[name].name)[1].tobytes()
            except (KeyError, ValueError) as error:
                yield path, error


def _sides(tree: bytes) -> Iterator[tuple[str, Side]]:
    """The entries of a tree. Raises ValueError where it is damaged."""
    at = 0
    while at < len(tree):
        found = _ENTRY.match(tree, at)
        if found is None:
            raise ValueError("an entry of the tree is damaged")
        yield found[2].decode("utf-8", "surrogateescape"), Side(found[1].lstrip(b"0"), found[3])
        at = found.end()
