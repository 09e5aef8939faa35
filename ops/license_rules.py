"""Licences said by file pattern: Debian's `debian/copyright` and REUSE's `REUSE.toml` and `.reuse/dep5`."""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ops.license_text import decoded, identify
from ops.spdx import joined, normalise, spelled, understood, vague


@dataclass(frozen=True)
class License:
    """What governs a file, and who says so."""

    expression: str | None
    """One SPDX expression; null if unknown."""
    source: str | None
    """`metadata`, `classifiers`, or the path of the licence file that says it (of several, joined by commas)."""


@dataclass(frozen=True)
class Rule:
    """What is said of the files that match."""

    files: re.Pattern[str]
    license: License
    everything: bool
    """Whether it is said of all files, so that whatever lies closer to one knows better."""


def is_rules_file(path: str) -> bool:
    """Whether a file of this name holds rules, if it keeps to their form."""
    return re.search(r"(?:^|/)(?:debian/copyright|\.reuse/dep5|REUSE\.toml)$", path) is not None


def rules(path: str, text: bytes) -> list[Rule] | None:
    """The rules of a file, in its order, in which the last that matches holds; None where it is not in such a form."""
    if path.endswith("REUSE.toml"):
        return _reuse(path, text)
    folder = posixpath.dirname(posixpath.dirname(path))
    written = decoded(text)
    if not re.match(r"\s*Format(?:-Specification)?:", written):
        return None
    paragraphs = [_fields(p) for p in re.split(r"\n[ \t]*(?:\n|$)+", written.replace("\r\n", "\n"))]
    texts = {_short(p["license"]).lower(): p["license"] for p in paragraphs if "license" in p and "files" not in p}
    found = []
    for fields in paragraphs:
        if "files" in fields and "license" in fields:
            globs = fields["files"].split()
            expression = _of_short_name(fields["license"], texts)
            everything = "*" in globs and not folder
            found.append(Rule(_pattern(folder, map(_debian_glob, globs)), License(expression, path), everything))
    return found


# --- debian/copyright ---------------------------------------------------------------------------------------------


def _fields(paragraph: str) -> dict[str, str]:
    """A paragraph's fields by lower-case name; lines that begin with a space go on with the field before."""
    pairs = re.findall(r"^([A-Za-z][\w-]*):[ \t]*(.*(?:\n[ \t].*)*)", paragraph, re.MULTILINE)
    return {name.lower(): value.strip() for name, value in pairs}


def _short(license: str) -> str:
    return " ".join(license.partition("\n")[0].split())


def _of_short_name(license: str, texts: dict[str, str]) -> str | None:
    """The expression of a License field: a name, or several with `or` and `and`; or else of the text under a name."""
    short = _short(license)

    def named(name: str) -> str | None:
        if re.search(r"\s(?:or|and)\s|,", name):
            return None
        known = normalise(name.partition("~")[0])
        if known is not None and not vague(name):
            return known
        own = license if name == short else ""
        text = own.partition("\n")[2] or texts.get(name.lower(), "").partition("\n")[2]
        return identify(text.encode()) or known

    return understood(short, named)


def _debian_glob(glob: str) -> str:
    """`*` and `?` match any characters, slashes too; a backslash takes their meaning away."""
    parts = re.findall(r"\\.|.", glob.removeprefix("./"))
    return "".join({"*": ".*", "?": "."}.get(p) or re.escape(p[-1]) for p in parts)


# --- REUSE ----------------------------------------------------------------------------------------------------------


def _reuse(path: str, text: bytes) -> list[Rule] | None:
    try:
        annotations = tomllib.loads(decoded(text)).get("annotations")
    except (tomllib.TOMLDecodeError, RecursionError):
        return None
    if not isinstance(annotations, list):
        return None
    found = []
    for said in annotations:
        globs, ids = (list(_strings(said, key)) for key in ("path", "SPDX-License-Identifier"))
        each = [spelled(i) for i in ids]
        if globs and each:
            expression = joined("AND", [e for e in each if e]) if all(each) else None
            folder = posixpath.dirname(path)
            everything = "**" in globs and not folder
            found.append(Rule(_pattern(folder, map(_reuse_glob, globs)), License(expression, path), everything))
    return found


def _strings(table: Any, key: str) -> Iterator[str]:
    value = table.get(key) if isinstance(table, dict) else None
    yield from (v for v in (value if isinstance(value, list) else [value]) if isinstance(v, str))


def _reuse_glob(glob: str) -> str:
    """`*` matches within a folder, `**` across folders; a backslash takes their meaning away."""
    parts = re.findall(r"\\.|\*\*/?|.", glob)
    return "".join({"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*"}.get(p) or re.escape(p[-1]) for p in parts)


def _pattern(folder: str, globs: Iterable[str]) -> re.Pattern[str]:
    below = re.escape(f"{folder}/") if folder else ""
    return re.compile(f"{below}(?:{'|'.join(globs)})", re.DOTALL)
