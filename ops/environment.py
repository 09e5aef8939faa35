"""Environment: the code that is installed on this machine, a corpus that needs no network."""

from __future__ import annotations

import platform
import sysconfig
from collections.abc import Iterator
from importlib import metadata
from typing import ClassVar, Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic import PositiveInt

from engine.errors import did_you_mean
from engine.op import Batch, Losses, Shard, Source, fail
from ops import decode, listing, trees
from ops.licenses import Licenses
from ops.packages import of_core_metadata
from ops.trees import Entry, LocalTree

ENGINE = "starcoder-engine"
"""The distribution whose requirements are read; it is none of them."""
STANDARD_LIBRARY = "cpython"
"""The `repo_name` of the standard library."""

_NOT_OF_LIBRARY = frozenset({"site-packages", "dist-packages", "__pycache__"})
# Written by the installer, so that they differ from machine to machine.
_INSTALLERS = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"})


class Environment(Source):
    """Reads the Python standard library and installed packages, with the licences that their metadata declare.

    By default these are the packages that the engine itself requires, and what those require in turn, whatever else is
    installed. `repo_name` is the distribution's name (`cpython` for the standard library), `revision_id` its version.
    A distribution's files are those of its `RECORD` that lie in its own folders: not scripts, compiled bytecode, or
    what the installer wrote for itself.

    Example:
        - environment: {packages: required}
    """

    where: ClassVar[tuple[str, ...]] = ("packages",)
    reasons: ClassVar[tuple[str, ...]] = (*decode.REASONS, *trees.REASONS)

    packages: Literal["required", "all"] | list[str] = "required"
    """`required` by the engine, `all` that are installed, or a list of distributions (`cpython`: standard library)."""
    max_bytes: PositiveInt = 1 << 20
    """Bytes that a file may have; larger ones are dropped unread."""

    def shards(self) -> Iterator[Shard]:
        for name, wanted_by in self._chosen():
            version, entries = _library() if name == STANDARD_LIBRARY else _installed(name, wanted_by)
            at = {"distribution": name, "version": version}
            yield from listing.shards(name, entries, self.max_bytes, version, **at)

    def read(self, shard: Shard, losses: Losses, columns: frozenset[str] | None = None) -> Iterator[Batch]:
        name, version = shard.at["distribution"], shard.at["version"]
        if name == STANDARD_LIBRARY:
            root, here = LocalTree(sysconfig.get_path("stdlib")), platform.python_version()
            licenses = Licenses(declared="PSF-2.0")
        elif version:
            found = metadata.distribution(name)
            root, here = LocalTree(str(found.locate_file(""))), found.version
            package = of_core_metadata((found.read_text("METADATA") or found.read_text("PKG-INFO") or "").encode())
            texts = listing.license_texts(root, shard, self.max_bytes)
            licenses = Licenses(declared=package.license, classifiers=package.classifiers, texts=texts)
            name = package.name or name
        else:
            root, here, licenses = LocalTree(""), version, Licenses()
        if here != version:
            raise fail(self, f"{name} is {here} on this machine and {version} where the run was planned")
        files = listing.raw_files(root, shard, losses, self.max_bytes, licenses, name)
        return decode.batches(files, losses, name, version)

    def _chosen(self) -> Iterator[tuple[str, str]]:
        """Normalised names of the distributions to read, each with what wants it."""
        if self.packages == "required":
            yield STANDARD_LIBRARY, ""
            yield from sorted(self._required().items())
        elif self.packages == "all":
            yield STANDARD_LIBRARY, ""
            yield from ((name, "") for name in _names() if name != ENGINE)
        else:
            known = [STANDARD_LIBRARY, *_names()]
            for given in self.packages:
                name = str(canonicalize_name(given))
                if name not in known:
                    raise fail(self, f"packages: `{given}` is not installed{did_you_mean(name, known)}")
            yield from ((name, "") for name in sorted({str(canonicalize_name(given)) for given in self.packages}))

    def _required(self) -> dict[str, str]:
        """The distributions that the engine's base requirements lead to, each with one that asks for it."""
        todo, seen, wanted = [(ENGINE, "")], set(), {}
        while todo:
            asking, extra = todo.pop()
            for requirement in map(Requirement, _requirements(asking)):
                name = str(canonicalize_name(requirement.name))
                if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
                    continue
                wanted[name] = min(asking, wanted.get(name, asking))
                more = {(name, of) for of in ("", *requirement.extras)} - seen
                seen |= more
                todo += more
        if not wanted:
            raise fail(self, f"{ENGINE} is not installed here, so that its requirements are not known: pip install it")
        wanted.pop(ENGINE, None)
        return wanted


def _requirements(name: str) -> list[str]:
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []  # told when it is to be read


def _names() -> list[str]:
    return sorted({str(canonicalize_name(d.metadata["Name"])) for d in metadata.distributions() if d.metadata["Name"]})


def _library() -> tuple[str, list[Entry]]:
    def choose(folder: str, entries: list[Entry]) -> list[Entry]:
        return [entry for entry in entries if entry.path.rpartition("/")[2] not in _NOT_OF_LIBRARY]

    found = listing.walk(LocalTree(sysconfig.get_path("stdlib")), choose)
    # Without the times: the same version is the same input on every machine.
    return platform.python_version(), [entry._replace(stamp="") if entry.kind == "file" else entry for entry in found]


def _installed(name: str, wanted_by: str) -> tuple[str, list[Entry]]:
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return "", [Entry(name, stamp=f"{wanted_by} requires it, but it is not installed", kind="unreadable")]
    if found.files is None:
        return found.version, [Entry(name, stamp="the distribution has no list of its files", kind="unreadable")]
    entries = [
        Entry(str(file), file.size or 0, file.hash.value if file.hash else "")
        for file in found.files
        if ".." not in file.parts and "__pycache__" not in file.parts and not _is_installers(file.parts)
    ]
    return found.version, sorted(set(entries))


def _is_installers(parts: tuple[str, ...]) -> bool:
    return len(parts) == 2 and parts[0].endswith(".dist-info") and parts[1] in _INSTALLERS
