"""What packages say of themselves: every metadata file in its old and new forms, and any bytes in their place."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.packages import (
    READERS,
    Package,
    described,
    metadata_name,
    of_core_metadata,
    of_file_name,
    of_package_json,
    of_r_description,
)
from ops.spdx import understood


def test_core_metadata() -> None:
    text = (
        b"Name: x\nVersion: 1\nLicense: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License\n"
        b"Classifier: Other\n\nLicense: of the description\n"
    )
    assert of_core_metadata(text) == Package("x", "1", None, ("License :: OSI Approved :: MIT License",))
    assert of_core_metadata(b"License: MIT\nLicense-Expression: ISC\n").license == "ISC"


@pytest.mark.parametrize(
    ("fields", "license"),
    [
        ({"license": "MIT"}, "MIT"),
        ({"license": {"type": "ISC", "url": "x"}}, "ISC"),
        ({"licenses": [{"type": "MIT"}, {"type": "Apache-2.0"}]}, "MIT OR Apache-2.0"),
        ({"license": ["MIT", "GPL-2.0"]}, "MIT OR GPL-2.0"),
        ({"license": None}, None),
        ({"license": False}, None),
        ({"license": {"url": "x"}}, None),
        ({}, None),
    ],
)
def test_package_json(fields: dict[str, object], license: str | None) -> None:
    assert of_package_json(json.dumps({"name": "x", "version": "1", **fields}).encode()) == Package("x", "1", license)


@pytest.mark.parametrize(
    ("stem", "package"),
    [
        ("requests-2.31.0", Package("requests", "2.31.0")),
        ("python-dateutil-2.8.2", Package("python-dateutil", "2.8.2")),
        ("d3-geo-3.1.2", Package("d3-geo", "3.1.2")),
        ("foo-2d-1.0-beta.1", Package("foo-2d", "1.0-beta.1")),
        ("release-v20230101", Package("release", "20230101")),
        ("main", Package("main")),
    ],
)
def test_file_names(stem: str, package: Package) -> None:
    assert of_file_name(stem) == package


def test_the_earlier_files_know_better() -> None:
    files = {
        "package.json": b'{"name": "x-js", "version": "9", "license": "MIT"}',
        "PKG-INFO": b"Name: x\nVersion: 1\n",
    }
    assert described(files) == Package("x", "1", "MIT")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("PKG-INFO", "PKG-INFO"),
        ("x-1.dist-info/METADATA", "METADATA"),
        ("x.egg-info/PKG-INFO", "PKG-INFO"),
        ("sub/package.json", None),
        ("debian/changelog", "debian/changelog"),
        ("changelog", None),
    ],
)
def test_metadata_lies_at_the_root(path: str, name: str | None) -> None:
    assert metadata_name(path) == name


@given(
    st.sampled_from(sorted(READERS)),
    st.one_of(st.binary(), st.text().map(str.encode), st.from_type(type(None)).map(lambda _: b"[]")),
)
def test_any_bytes_are_put_up_with(name: str, data: bytes) -> None:
    assert isinstance(described({name: data}), Package)


@pytest.mark.parametrize(
    ("field", "license"),
    [
        ("MIT + file LICENSE", "MIT"),
        ("GPL (>= 2)", "GPL-2.0-or-later"),
        ("GPL-2 | GPL-3", "GPL-2.0-only OR GPL-3.0-only"),
        ("GPL-3", "GPL-3.0-only"),
        ("LGPL (>= 2.1)", "LGPL-2.1-or-later"),
        ("AGPL-3 + file LICENSE", "AGPL-3.0-only"),
        ("Apache License (== 2.0)", "Apache-2.0"),
        ("Apache License (>= 2)", "Apache-2.0"),
        ("BSD_3_clause + file LICENCE", "BSD-3-Clause"),
        ("CC0", "CC0-1.0"),
        ("MPL-2.0", "MPL-2.0"),
        ("GPL (>= 2) |\n    BSD_2_clause + file LICENSE", "GPL-2.0-or-later OR BSD-2-Clause"),
        ("file LICENSE", None),
        ("GPL-2 | file LICENSE", None),
    ],
)
def test_r_description(field: str, license: str | None) -> None:
    text = f"Package: tools4r\nVersion: 1.2-3\nTitle: Some\n    Tools\nLicense: {field}\nEncoding: UTF-8\n"
    assert of_r_description(text.encode()) == Package("tools4r", "1.2-3", license)
    assert license is None or understood(license)
    assert metadata_name("DESCRIPTION") == "DESCRIPTION"


def test_a_description_of_something_else_says_nothing() -> None:
    assert of_r_description(b"This is a package.\nLicense: MIT\n") == Package()
    assert of_r_description(b"Package: x\n") == Package("x")
