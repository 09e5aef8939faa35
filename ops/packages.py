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


_R_LICENSES = {
    "agpl-3": "AGPL-3.0-only",
    "apache license (== 2.0)": "Apache-2.0",
    "apache license (== 2)": "Apache-2.0",
    "apache license (>= 2.0)": "Apache-2.0",
    "apache license (>= 2)": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "bsd_2_clause": "BSD-2-Clause",
    "bsd_3_clause": "BSD-3-Clause",
    "cc0": "CC0-1.0",
    "cc by 4.0": "CC-BY-4.0",
    "gpl": "GPL-1.0-or-later",
    "gpl-2": "GPL-2.0-only",
    "gpl-3": "GPL-3.0-only",
    "lgpl-2": "LGPL-2.0-only",
    "lgpl-2.1": "LGPL-2.1-only",
    "lgpl-3": "LGPL-3.0-only",
}
"""What R calls licences, in small letters; what is not here has SPDX's own name, or none."""


def of_r_description(data: bytes) -> Package:
    """What an R package's `DESCRIPTION` says; `GPL (>= 2) | file LICENSE` names alternatives, files say no more."""
    text = data.decode("utf-8", "replace").replace("\r\n", "\n")
    fields = dict(re.findall(r"^([A-Za-z][\w@/-]*):[ \t]*(.*(?:\n[ \t]+.*)*)", text, re.MULTILINE))
    if "Package" not in fields:
        return Package()
    licenses = [_of_r(part) for part in " ".join(fields.get("License", "").split()).split("|")]
    # Where one alternative is in a file alone, the file is to be read.
    license = " OR ".join(licenses) if all(licenses) else None
    return Package(_text(fields["Package"]), _text(fields.get("Version")), license or None)


def _of_r(license: str) -> str:
    """One of R's alternatives under SPDX's name; nothing where only a file says it."""
    bare = re.sub(r"(?:^|\+)\s*file LICEN[CS]E\s*$", "", license.strip(), flags=re.IGNORECASE).strip()
    if later := re.fullmatch(r"(A?L?GPL)(?: version)? \(>= ?(\d)(\.\d)?(?:\.\d)?\)", bare, re.IGNORECASE):
        return f"{later[1].upper()}-{later[2]}{later[3] or '.0'}-or-later"
    return _R_LICENSES.get(bare.lower(), bare)


CHANGELOG = "debian/changelog"

READERS: Mapping[str, Callable[[bytes], Package]] = {
    CHANGELOG: of_changelog,
    "metadata.gz": of_gem,
    "METADATA": of_core_metadata,
    "PKG-INFO": of_core_metadata,
    "package.json": of_package_json,
    "Cargo.toml": of_cargo_toml,
    "DESCRIPTION": of_r_description,
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
