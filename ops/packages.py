"""What a package says of itself: name, version and licence, out of the files in which its tools keep them."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from typing import Any


@dataclass(frozen=True)
class Package:
    """A package's name, version, and licence in its own words; None is what it does not say."""

    name: str | None = None
    version: str | None = None
    license: str | None = None
    classifiers: tuple[str, ...] = ()

    def __or__(self, other: Package) -> Package:
        """This package, completed by what the other one says."""
        said = self.license or self.classifiers
        return Package(
            self.name or other.name,
            self.version or other.version,
            self.license if said else other.license,
            self.classifiers if said else other.classifiers,
        )


def of_core_metadata(data: bytes) -> Package:
    """What a Python distribution's `METADATA` or `PKG-INFO` says."""
    fields = BytesHeaderParser().parsebytes(data)
    license = _text(fields.get("License-Expression")) or _text(fields.get("License"))
    classifiers = tuple(str(c) for c in fields.get_all("Classifier") or () if str(c).startswith("License ::"))
    return Package(_text(fields.get("Name")), _text(fields.get("Version")), license, classifiers)


def of_package_json(data: bytes) -> Package:
    """What an npm package's `package.json` says, older forms of the licence field included."""
    fields = _mapping(json.loads(data))
    named = fields.get("license") or fields.get("licenses")
    each = [_mapping(item).get("type", item) for item in (named if isinstance(named, list) else [named])]
    license = " OR ".join(text for text in map(_text, each) if text)
    return Package(_text(fields.get("name")), _text(fields.get("version")), license or None)


def of_cargo_toml(data: bytes) -> Package:
    """What a crate's `Cargo.toml` says; `MIT/Apache-2.0` is the older spelling of `MIT OR Apache-2.0`."""
    fields = _mapping(tomllib.loads(data.decode()).get("package"))
    license = _text(fields.get("license"))
    return Package(
        _text(fields.get("name")), _text(fields.get("version")), license and re.sub(r"\s*/\s*", " OR ", license)
    )


def of_gem(data: bytes) -> Package:
    """What a gem's unpacked `metadata.gz` says. Its YAML names Ruby classes, so it is read by lines."""
    text = data.decode("utf-8", "replace")
    listed = re.search(r"^licenses:\n((?:- .+\n)+)", text, re.MULTILINE)
    licenses = re.findall(r"^- (.+)$", listed[1], re.MULTILINE) if listed else []
    version = re.search(r"^version: \S+\n  version: (.+)$", text, re.MULTILINE)
    name = re.search(r"^name: (.+)$", text, re.MULTILINE)
    bare = [found.strip("'\" ") for found in licenses]
    said = [found and found[1].strip("'\" ") for found in (name, version)]
    return Package(said[0], said[1], " OR ".join(bare) or None)


def of_changelog(data: bytes) -> Package:
    """What the newest entry of a `debian/changelog` says."""
    entry = re.match(rb"\s*([a-z0-9][a-z0-9+.-]*) \(([^)\s]+)\)", data)
    return Package(entry[1].decode(), entry[2].decode()) if entry else Package()


def of_file_name(stem: str) -> Package:
    """What the name of an archive says, without its ending: `name-version`, where the version begins with a digit."""
    parts = re.fullmatch(r"(.+?)[-_]v?(\d+(?:\.\w[\w.+~!-]*|[-+~!]\w[\w.+~!-]*)?|[0-9a-f]{40})", stem)
    return Package(parts[1], parts[2]) if parts else Package(stem)


CHANGELOG = "debian/changelog"

READERS: Mapping[str, Callable[[bytes], Package]] = {
    CHANGELOG: of_changelog,
    "metadata.gz": of_gem,
    "METADATA": of_core_metadata,
    "PKG-INFO": of_core_metadata,
    "package.json": of_package_json,
    "Cargo.toml": of_cargo_toml,
}
"""How to read each metadata file, by its path in the package; the earlier ones know better."""


def metadata_name(path: str) -> str | None:
    """The entry of `READERS` for a file, by its path in the package; None for other files."""
    name = re.sub(r"^[^/]+\.(?:dist|egg)-info/", "", path)
    return name if name in READERS else None


def described(files: Mapping[str, bytes]) -> Package:
    """What a package's metadata files say together; what is broken says nothing."""
    package = Package()
    for name, reader in READERS.items():
        if name in files:
            try:
                package |= reader(files[name])
            except (ValueError, RecursionError):  # no JSON, TOML or UTF-8
                continue
    return package


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    """A field's text; None for what is empty or no text."""
    text = str(value).strip() if value is not None and not isinstance(value, dict | list | bool) else ""
    return text if text != "UNKNOWN" and text else None
