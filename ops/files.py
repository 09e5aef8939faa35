"""Files: raw files of a tree, by a folder, a glob or a list, local or remote."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from fsspec.core import has_magic
from fsspec.utils import glob_translate
from pathspec import GitIgnoreSpec
from pydantic import PositiveInt

from engine.op import Batch, Losses, Shard, Source, fail
from engine.storage import file_info, file_system, is_local, join
from ops import decode, listing, trees
from ops.licenses import Licenses
from ops.trees import Entry, Tree

_VERSION_CONTROL = frozenset({".git", ".hg", ".svn", ".bzr", ".jj"})


class Files(Source):
    """Reads raw files: a folder with all below it, a glob, single files, or a list of these.

    Paths are local or any URL that fsspec opens. A folder is one repository: it gives `repo_name`, and paths are
    relative to it. A glob that matches folders (`clones/*`) makes each of them a repository; files that a
    glob matches belong to the folder before its first wildcard, and one with `**` matches files only. Symbolic links
    are not followed (`symlink`), sockets, devices and fifos not opened (`not_a_file`). What cannot be read goes to
    quarantine. Licences are those of the licence files in the folders above a file.

    Example:
        - files: {path: "src", gitignore: true}
    """

    reasons: ClassVar[tuple[str, ...]] = (*decode.REASONS, *trees.REASONS)

    path: str | list[str]
    """Folder, glob, file, or a list of them; local or a URL such as `s3://bucket/folder`."""
    repo_name: str | None = None
    """Name of the repository that the files belong to; by default the name of the folder that is read."""
    gitignore: bool = False
    """Whether to leave out what the `.gitignore` files in the tree exclude."""
    hidden: bool = False
    """Whether to read files and folders whose names begin with a dot; those of version control are never read."""
    max_bytes: PositiveInt = 1 << 20
    """Bytes that a file may have; larger ones are dropped unread."""

    def shards(self) -> Iterator[Shard]:
        roots: dict[str, dict[str, Entry]] = {}
        labels: dict[str, str] = {}
        for given in [self.path] if isinstance(self.path, str) else self.path:
            found = 0
            for root, label, entries in self._listings(given):
                # The name by which a folder may be moved, unless another one has it.
                labels.setdefault(root, root if label in labels.values() else label)
                roots.setdefault(root, {}).update((entry.path, entry) for entry in entries)
                found += len(entries)
            if not found:
                raise fail(self, f"path {trees.shown(given)} matches no file; {self._left_out()}")
        for root, found_there in roots.items():
            entries = sorted(found_there.values(), key=lambda entry: entry.path)
            yield from listing.shards(labels[root], entries, self.max_bytes, root=root)

    def read(self, shard: Shard, losses: Losses, columns: frozenset[str] | None = None) -> Iterator[Batch]:
        root = trees.tree(shard.at["root"])
        repo_name = self.repo_name or os.path.basename(shard.at["root"]) or None
        licenses = Licenses(texts=listing.license_texts(root, shard, self.max_bytes))
        files = listing.raw_files(root, shard, losses, self.max_bytes, licenses, repo_name)
        return decode.batches(files, losses, repo_name)

    def _left_out(self) -> str:
        kinds = [] if self.hidden else ["names that begin with a dot"]
        kinds += ["what .gitignore excludes"] if self.gitignore else []
        return f"left out are {' and '.join(kinds)}" if kinds else "nothing is left out but version control"

    def _listings(self, given: str) -> Iterator[tuple[str, str, list[Entry]]]:
        """The roots that a path stands for, each with a name for its shards and what is listed below it."""
        url = trees.resolved(given)
        fs, path = file_system(url)
        if fs.isdir(path):
            yield url, os.path.basename(url), self._below(url)
        elif fs.exists(path):
            # A link that is named itself is meant.
            url = os.path.realpath(url) if is_local(url) and Path(url).is_symlink() else url
            info = file_info(url)
            above, name = os.path.split(url)
            kind = "file" if fs.isfile(path) else "not_a_file"
            yield above, os.path.basename(above), [Entry(name, info.bytes, info.version, kind)]
        elif has_magic(url):
            yield from self._globbed(url)
        else:
            raise trees.missing(self, given)

    def _below(self, url: str) -> list[Entry]:
        root = trees.tree(url)
        return list(listing.walk(root, _Chosen(root, self.gitignore, self.hidden)))

    def _globbed(self, url: str) -> Iterator[tuple[str, str, list[Entry]]]:
        parts = url.split("/")
        first = next(n for n, part in enumerate(parts) if has_magic(part))
        base = "/".join(parts[:first]) or "/"
        try:
            glob = _Glob(parts[first:])
        except ValueError as error:
            raise fail(self, f"path `{url}` is no glob: {error}") from None
        root = trees.tree(base, glob.depth)
        chosen = _Chosen(root, self.gitignore, self.hidden)
        yield base, os.path.basename(base), list(listing.walk(root, lambda f, entries: glob(chosen(f, entries))))
        for folder in sorted(glob.folders):
            below = join(base, folder)
            yield below, folder, self._below(below)


class _Glob:
    """Which entries a glob matches or leads through; folders that it matches are set aside, to be roots themselves."""

    def __init__(self, parts: list[str]) -> None:
        self.whole = re.compile(glob_translate("/".join(parts)))
        self.names = [re.compile(glob_translate(part)) for part in parts[: (*parts, "**").index("**")]]
        self.depth = None if "**" in parts else len(parts)
        self.folders: list[str] = []

    def __call__(self, entries: list[Entry]) -> list[Entry]:
        return [entry for entry in entries if self._takes(entry)]

    def _takes(self, entry: Entry) -> bool:
        if entry.kind != "folder":
            return bool(self.whole.match(entry.path))
        level = entry.path.count("/")
        if level < len(self.names) and not self.names[level].match(os.path.basename(entry.path)):
            return False
        if self.depth == level + 1:
            self.folders.append(entry.path)
            return False
        return True


class _Chosen:
    """What of a folder is read: without hidden names and, on request, without what is ignored there or above."""

    def __init__(self, root: Tree, gitignore: bool, hidden: bool) -> None:
        self.root, self.gitignore, self.hidden = root, gitignore, hidden
        self.rules: dict[str, tuple[tuple[int, GitIgnoreSpec], ...]] = {}

    def __call__(self, folder: str, entries: list[Entry]) -> list[Entry]:
        if self.gitignore:
            self.rules[folder] = self._rules(folder, entries)
            entries = [entry for entry in entries if not self._is_ignored(entry, self.rules[folder])]
        start = len(folder) + 1 if folder else 0
        if self.hidden:
            return [entry for entry in entries if entry.path[start:] not in _VERSION_CONTROL]
        return [entry for entry in entries if not entry.path.startswith(".", start)]

    def _rules(self, folder: str, entries: list[Entry]) -> tuple[tuple[int, GitIgnoreSpec], ...]:
        above = self.rules[folder.rpartition("/")[0]] if folder else ()
        own = f"{folder}/.gitignore" if folder else ".gitignore"
        if not any(entry.path == own and entry.kind == "file" for entry in entries):
            return above
        (_, content), *_ = self.root.read([own], 1 << 20)
        lines = content.decode("utf-8-sig", "surrogateescape").split("\n") if isinstance(content, bytes) else []
        return (*above, (len(folder) + 1 if folder else 0, _spec([line.removesuffix("\r") for line in lines])))

    @staticmethod
    def _is_ignored(entry: Entry, rules: tuple[tuple[int, GitIgnoreSpec], ...]) -> bool:
        # Nearer files decide before farther ones.
        for start, spec in reversed(rules):
            verdict = spec.check_file(entry.path[start:] + ("/" if entry.kind == "folder" else "")).include
            if verdict is not None:
                return verdict
        return False


def _spec(lines: list[str]) -> GitIgnoreSpec:
    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError:
        # Git passes over a line that is no pattern.
        return GitIgnoreSpec([p for line in lines for p in _patterns(line)])


def _patterns(line: str) -> list:
    try:
        return list(GitIgnoreSpec.from_lines([line]).patterns)
    except ValueError:
        return []
