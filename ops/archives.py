"""Archives: source packages as they are published, read in place."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

from pydantic import PositiveInt

from engine.op import Batch, Losses, Shard, Source, fail
from engine.storage import exists, is_local, join, local_path, open_read
from ops import decode, members, trees
from ops.decode import RawFile, has_binary_ending, safe_name
from ops.input_files import InputFile, find
from ops.licenses import Licenses, is_license_file
from ops.members import ENDINGS, Member
from ops.packages import CHANGELOG, Package, described, metadata_name, of_file_name

_HELD = 32 << 20  # bytes of members kept from the first reading, so that most archives are read once
_TEXTS = 32 << 20  # bytes of licence and metadata files kept of one archive

DSC = ".dsc"
"""Name ending of the file that describes a Debian source."""
_DEBIAN = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9+.-]+)_(?P<version>[^_/]+?)"
    r"(?:(?P<orig>\.orig(?:-(?P<part>[A-Za-z0-9-]+))?)?\.tar\.\w+|(?P<debian>\.debian\.tar\.\w+|\.dsc))"
)


class Archives(Source):
    """Reads the files in archives: wheels, sdists, npm packages, crates, gems, Debian sources, and any zip or tar.

    Each archive is a package: its metadata (`PKG-INFO`, `METADATA`, `package.json`, `Cargo.toml`, `debian/changelog`)
    give `repo_name`, `revision_id` and the licence, else its file name and its licence files do. Paths are relative to
    the package: a folder in which all members lie is left out of them. The `.orig` and `.debian` tarballs of a Debian
    source are one package. A broken archive goes to quarantine from where it breaks, a broken member by itself; links
    and devices are left out.

    Example:
        - archives: {path: "downloads/*.whl"}
    """

    reasons: ClassVar[tuple[str, ...]] = (*decode.REASONS, *members.REASONS)

    path: str | list[str]
    """Archive, folder that is searched for archives, glob, or a list of these; local or a URL."""
    max_bytes: PositiveInt = 1 << 20
    """Bytes that a member may have; larger ones are dropped unread."""

    def shards(self) -> Iterator[Shard]:
        for name, parts in _packages(self._found()).items():
            version = " ".join(part.version for part in parts)
            at = {"name": os.path.basename(name), "parts": [[part.url, part.bytes] for part in parts]}
            yield Shard(parts[-1].name, version, sum(part.bytes for part in parts), at)

    def read(self, shard: Shard, losses: Losses, columns: frozenset[str] | None = None) -> Iterator[Batch]:
        package = _Package(shard.at["name"], shard.at["parts"], self.max_bytes)
        said = package.described()
        licenses = Licenses(declared=said.license, classifiers=said.classifiers, texts=package.license_texts)
        return decode.batches(package.files(losses, licenses, said.name), losses, said.name, said.version)

    def _found(self) -> list[InputFile]:
        paths: list[str] = []
        for given in [self.path] if isinstance(self.path, str) else self.path:
            path = str(local_path(given).expanduser()) if is_local(given) else given
            if not exists(path) and not any(c in path for c in "*?["):
                raise trees.missing(self, given)
            paths.append(path)
            if path.endswith(DSC) and exists(path):
                beside = [join(os.path.split(path)[0] or ".", name) for name in _named_in(path)]
                paths += [part for part in beside if exists(part)]
        found = [file for file in find(paths, (*ENDINGS, DSC)) if file.url.lower().endswith((*ENDINGS, DSC))]
        if not found:
            raise fail(self, f"path `{self.path}` holds no archive; known are {', '.join(ENDINGS)}")
        return found


# --- which archives make a package ------------------------------------------------------------------------------


def _packages(found: Sequence[InputFile]) -> dict[str, list[InputFile]]:
    """The files of each package, by the URL that names it: an archive's own, or that of a Debian source's version."""
    packages = {file.url: [file] for file in found}
    sources: dict[tuple[str, str], list[tuple[InputFile, re.Match[str]]]] = {}
    for file in found:
        folder, name = os.path.split(file.url)
        if match := _DEBIAN.fullmatch(name):
            sources.setdefault((folder, match["name"]), []).append((file, match))
    for (folder, source), files in sources.items():
        versions = {m["version"] for _, m in files if m["debian"]} or {m["version"] for _, m in files if m["orig"]}
        for version in versions:
            upstream = version.rpartition("-")[0]
            own = [
                (f, m) for f, m in files if m["version"] == version or (m["version"] == upstream and not m["debian"])
            ]
            own.sort(key=lambda item: (bool(item[1]["debian"]), item[0].url))
            for file, _ in own:
                packages.pop(file.url, None)
            packages[join(folder, f"{source}_{version}")] = [file for file, _ in own]
    return dict(sorted(packages.items()))


def _named_in(dsc: str) -> list[str]:
    """The tarballs that a Debian source's description lists."""
    with open_read(dsc) as file:
        text = file.read(1 << 20).decode("utf-8", "replace")
    listed = re.findall(r"^ [0-9a-f]{32,64} +\d+ +([^\s/]+)$", text, re.MULTILINE)
    return [name for name in dict.fromkeys(listed) if name.endswith(ENDINGS)]


# --- reading one ------------------------------------------------------------------------------------------------


class _Package:
    """One package's members, of which a first reading finds out what is said of all of them.

    What is read by then is kept for the second reading if it is little, so that most archives are unpacked once.
    """

    def __init__(self, name: str, parts: Sequence[tuple[str, int]], max_bytes: int) -> None:
        self.name, self.max_bytes = name, max_bytes
        self.parts = [(url, size) for url, size in parts if not url.endswith(DSC)]
        self.dsc = [url for url, _ in parts if url.endswith(DSC)]
        self.debian = not name.lower().endswith(ENDINGS)
        self.tops: dict[str, str] = {}
        self.license_texts: dict[str, bytes] = {}
        self.metadata: dict[str, bytes] = {}
        self.held: list[tuple[str, Member]] | None = []
        for url, size in self.parts:
            self._survey(url, size)

    def _survey(self, url: str, size: int) -> None:
        evidence: dict[str, bytes] = {}
        tops: set[str] = set()
        held = sum(len(member.data or b"") for _, member in self.held or ())
        for member in _members(url, size, self.max_bytes, lambda path: self._wanted(path) or _is_evidence(path)):
            if member.path:
                tops.add(member.path.partition("/")[0] if "/" in member.path else "")
            if member.data is not None and _is_evidence(member.path) and sum(map(len, evidence.values())) < _TEXTS:
                evidence[member.path] = member.data
            if self.held is not None:
                self.held.append((url, member))
                held += len(member.data or b"") + 200
                self.held = self.held if held < _HELD else None
        self.tops[url] = tops.pop() if len(tops) == 1 and ".debian.tar" not in url else ""
        for path, data in evidence.items():
            self._learn(self._path(url, path), data)

    def _wanted(self, path: str) -> bool:
        return self.held is not None and not has_binary_ending(path)

    def _learn(self, path: str, data: bytes) -> None:
        known = metadata_name(path)
        if known is not None and (known == path or known not in self.metadata):
            self.metadata[known] = data
        if is_license_file(path):
            self.license_texts[path] = data

    def _path(self, url: str, path: str) -> str:
        """Where a member lies in the package: without the folder that holds all, in that of its Debian component."""
        top = self.tops[url]
        path = path[len(top) + 1 :] if top else path
        match = _DEBIAN.fullmatch(os.path.basename(url)) if self.debian else None
        return f"{match['part']}/{path}" if match and match["part"] and path else path

    def described(self) -> Package:
        """What the package's metadata say of it, completed by its name; a Debian source is named by Debian alone."""
        changelog = self.metadata.pop(CHANGELOG, b"")
        upstream, named = described(self.metadata), _of_name(self.name)
        return described({CHANGELOG: changelog}) | named | upstream if self.debian else upstream | named

    def files(self, losses: Losses, licenses: Licenses, repo_name: str | None) -> Iterator[RawFile]:
        """The members' bytes with their licences; what has none is entered in the losses."""
        for name, error in self._missing():
            losses.quarantine(name, error, repo_name)
        for url, member in self._members():
            path = safe_name(self._path(url, member.path))
            if member.error is not None:
                losses.quarantine(path or os.path.basename(url), member.error, repo_name)
            elif has_binary_ending(path) and member.reason in (None, "too_large"):
                losses.drop("binary", path, repo_name, member.size)
            elif member.data is None:
                losses.drop(member.reason or "binary", path, repo_name, member.size)
            else:
                license = licenses.of(path)
                yield RawFile(path, member.data, license.expression, license.source)

    def _missing(self) -> Iterator[tuple[str, str]]:
        there = {os.path.basename(url) for url, _ in self.parts}
        for dsc in self.dsc:
            name = os.path.basename(dsc)
            try:
                yield from ((n, f"{name} lists it, but it is not there") for n in _named_in(dsc) if n not in there)
            except OSError as error:
                yield name, trees.told(error)

    def _members(self) -> Iterator[tuple[str, Member]]:
        if self.held is not None:
            held, self.held = self.held[::-1], None
            while held:
                yield held.pop()
            return
        for url, size in self.parts:
            for member in _members(url, size, self.max_bytes, lambda path: not has_binary_ending(path)):
                yield url, member


def _members(url: str, size: int, max_bytes: int, wanted: Callable[[str], bool]) -> Iterator[Member]:
    try:
        with open_read(url) as file:
            yield from members.members(os.path.basename(url), file, size, max_bytes, wanted)
    except OSError as error:
        yield Member("", error=trees.told(error))


def _is_evidence(path: str) -> bool:
    return is_license_file(path) or bool(metadata_name(path) or metadata_name(path.partition("/")[2]))


def _of_name(name: str) -> Package:
    """What an archive's file name says, or the name of a Debian source, which has no ending."""
    ending = next((ending for ending in ENDINGS if name.lower().endswith(ending)), "")
    stem = name[: len(name) - len(ending)]
    if ending in ("", ".whl"):
        name, _, rest = stem.partition("-" if ending else "_")
        return Package(name, (rest.partition("-")[0] if ending else rest) or None)
    return of_file_name(stem)
