"""Git: the files of a revision, read from the objects of a local repository; the work tree is not looked at."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import ClassVar

import pygit2
from pydantic import PositiveInt

from engine.errors import OpError, did_you_mean
from engine.op import Batch, Losses, Shard, Source, fail
from engine.storage import exists, file_system, join
from ops import decode, listing, trees
from ops.licenses import Licenses
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
            commit, root = self._commit(path, self.revision)
            where = trees.resolved(path)
            name = name_of(root.repository, where)
            # The name by which a repository may be moved, unless another one has it.
            label = where if name in labels else name
            labels.add(label)
            at = {"repository": where, "commit": str(commit.id), "repo_name": name}
            entries = list(listing.walk(root))
            yield from listing.shards(label, entries, self.max_bytes, str(commit.id), **at)

    def read(self, shard: Shard, losses: Losses, columns: frozenset[str] | None = None) -> Iterator[Batch]:
        commit, root = self._commit(shard.at["repository"], shard.at["commit"])
        repo_name = shard.at["repo_name"]
        licenses = Licenses(texts=listing.license_texts(root, shard, self.max_bytes))
        files = listing.raw_files(root, shard, losses, self.max_bytes, licenses, repo_name)
        return decode.batches(files, losses, repo_name, str(commit.id))

    def _repositories(self) -> Iterator[str]:
        for given in [self.path] if isinstance(self.path, str) else self.path:
            path = trees.resolved(given)
            found = (
                [path] if exists(path) else [p for p in sorted(file_system(path)[0].glob(path)) if _is_repository(p)]
            )
            if not found:
                raise trees.missing(self, given)
            yield from found

    def _commit(self, path: str, revision: str) -> tuple[pygit2.Commit, _CommitTree]:
        try:
            repository = pygit2.Repository(path)
        except pygit2.GitError as error:
            raise fail(self, f"path {trees.shown(path)} is no Git repository: {error}") from None
        try:
            commit = repository.revparse_single(revision).peel(pygit2.Commit)
        except (KeyError, ValueError, pygit2.GitError) as error:
            raise self._no_revision(repository, path, revision, error) from None
        return commit, _CommitTree(repository, commit)

    def _no_revision(self, repository: pygit2.Repository, path: str, revision: str, error: Exception) -> OpError:
        if repository.head_is_unborn and revision == "HEAD":
            return fail(self, f"the repository {path} has no commit yet")
        known = [name.split("/", 2)[-1] for name in repository.references]
        close = did_you_mean(revision, [*known, "HEAD"])
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


_KINDS = {pygit2.enums.FileMode.LINK: "symlink", pygit2.enums.FileMode.COMMIT: "submodule"}


class _CommitTree:
    """The tree of a commit. Object hashes are the stamps; sizes come from the objects' headers."""

    def __init__(self, repository: pygit2.Repository, commit: pygit2.Commit) -> None:
        self.repository = repository
        self.odb = repository.odb
        self.trees: dict[str, pygit2.Tree] = {"": commit.tree}

    def scan(self, folder: str) -> list[Entry]:
        above = f"{folder}/" if folder else ""
        try:
            return [self._entry(above + _name(item), item) for item in self._tree(folder)]
        except (KeyError, pygit2.GitError) as error:
            raise OSError(0, f"the tree cannot be read: {error}") from None

    def _entry(self, path: str, item: pygit2.Object) -> Entry:
        if item.filemode == pygit2.enums.FileMode.TREE:
            return Entry(path, kind="folder")
        if item.filemode in _KINDS:
            return Entry(path, stamp=str(item.id), kind=_KINDS[item.filemode])
        try:
            _, size = self.odb.read_header(item.id)
        except (KeyError, pygit2.GitError) as error:
            return Entry(path, stamp=f"the object cannot be read: {error}", kind="unreadable")
        return Entry(path, size, str(item.id))

    def _tree(self, folder: str) -> pygit2.Tree:
        if folder not in self.trees:
            above, _, name = folder.rpartition("/")
            found = {_name(item): item.id for item in self._tree(above)}[name]
            self.trees[folder] = self.repository[found].peel(pygit2.Tree)
        return self.trees[folder]

    def read(self, paths: Sequence[str], max_bytes: int) -> Iterator[tuple[str, Content]]:
        folder, objects = None, {}
        for path in paths:
            above, _, name = path.rpartition("/")
            try:
                if above != folder:
                    folder, objects = above, {_name(item): item.id for item in self._tree(above)}
                yield path, self.odb.read(objects[name])[1]
            except (KeyError, pygit2.GitError) as error:
                yield path, error


def _name(item: pygit2.Object) -> str:
    return (item.raw_name or b"").decode("utf-8", "surrogateescape")
