"""Licences that files state of themselves."""

from __future__ import annotations

import re
from typing import Literal

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from engine.schema import TEXT
from ops.license_text import of_tag
from ops.spdx import joined
from ops.spdx_header import SpdxHeader

TAG = "SPDX-License-Identifier:"


def mapped(
    content: list[str],
    license: list[str | None] | None = None,
    source: list[str | None] | None = None,
    existing: Literal["replace", "narrow"] = "replace",
) -> list[tuple[str | None, str | None]]:
    none: list[str | None] = [None] * len(content)
    columns = (pa.array(values, TEXT) for values in (content, license or none, source or none))
    written = SpdxHeader(existing=existing).map(*columns)
    assert written["license"].type == written["license_source"].type == TEXT
    return list(zip(written["license"].to_pylist(), written["license_source"].to_pylist(), strict=True))


def test_where_headers_stand():
    assert mapped(
        [
            f"// {TAG} MIT\nint x;",
            f"#!/bin/sh\n# Copyright 2020 x\n# {TAG} (MIT OR Apache-2.0)\n",
            f"<!-- {TAG} GPL-2.0+ -->\r\n<p>",
            f"/* {TAG} MIT */ int x;",
            f"{TAG}ISC",
            "int x;",
            "",
            f"# {TAG} ${{LICENSE}}\n",
            "spdx-license-identifier: MIT\n",
        ]
    ) == [
        ("MIT", "header"),
        ("MIT OR Apache-2.0", "header"),
        ("GPL-2.0-or-later", "header"),
        ("MIT", "header"),
        ("ISC", "header"),
        *[(None, None)] * 4,
    ]


def test_of_several_headers_all_apply():
    two = f"# {TAG} MIT\n# {TAG} Zlib\n"
    assert mapped([two, two + f"# {TAG} {{}}\n", "x"]) == [("MIT AND Zlib", "header"), (None, None), (None, None)]


def test_a_header_lies_whole_within_two_thousand_bytes():
    line = f"# {TAG} MIT OR Apache-2.0\n"
    room = 2_000 - len(line)
    assert mapped(["x" * room + line + "y" * 99]) == [("MIT OR Apache-2.0", "header")]
    assert mapped(["x" * (room + 1) + line + "y" * 99]) == [(None, None)]
    assert mapped(["x" * (room + 1) + line[:-1]]) == [("MIT OR Apache-2.0", "header")]
    # What the head cuts off is not read as a shorter licence.
    assert mapped(["x" * (room + 12) + line + "y" * 99]) == [(None, None)]
    assert mapped([f"# {TAG} ISC\n" + "x" * (room - 10) + line + "y" * 99]) == [("ISC", "header")]
    assert mapped(["é" * 995 + line]) == [(None, None)]


def test_replace_or_narrow():
    content = [
        f"# {TAG} MIT\n",
        f"# {TAG} MIT\n",
        f"# {TAG} MIT OR ISC\n",
        "x",
        f"# {TAG} nonsense\n",
        f"# {TAG} MIT\n",
    ]
    known = [None, "MIT", "GPL-2.0-only OR Zlib", "ISC", "ISC", "no expression ("]
    source = [None, "metadata", "LICENSE", "LICENSE", "metadata", "LICENSE"]
    kept = [("ISC", "LICENSE"), ("ISC", "metadata")]
    assert mapped(content, known, source) == [
        ("MIT", "header"), ("MIT", "header"), ("MIT OR ISC", "header"), *kept, ("MIT", "header"),
    ]  # fmt: skip
    assert mapped(content, known, source, "narrow") == [
        ("MIT", "header"), ("MIT", "header"), ("(GPL-2.0-only OR Zlib) AND (MIT OR ISC)", "header"), *kept,
        ("(no expression () AND (MIT)", "header"),
    ]  # fmt: skip


def reference(text: str) -> str | None:
    head = text.encode()[:2_000]
    whole = len(text.encode()) <= 2_000
    lines = re.split(r"[\r\n]", head.decode(errors="replace"))
    found = [line.split(TAG, 1)[1] for line in (lines if whole else lines[:-1]) if TAG in line]
    known = [of_tag(tag) for tag in found]
    return joined("AND", [k for k in known if k]) if known and all(known) else None


LINES = st.sampled_from(
    [
        "int x;",
        f"// {TAG} MIT",
        f" * {TAG}\tApache-2.0 OR MIT",
        f"# {TAG} Foo",
        "é" * 30,
        "x" * 900,
        f"{TAG} ISC -->",
        "",
    ]
)


@given(st.lists(st.tuples(st.lists(LINES, max_size=6), st.sampled_from(["\n", "\r\n"])), max_size=6), st.booleans())
def test_columns_say_what_rows_say(files: list[tuple[list[str], str]], end: bool):
    content = [mark.join(lines) + (mark if end else "") for lines, mark in files]
    expected = [(found, "header" if found else None) for found in map(reference, content)]
    assert mapped(content) == expected


def test_a_slice_of_a_column():
    content = pa.array([f"# {TAG} ISC\n", f"# {TAG} MIT\n", "x"], TEXT).slice(1)
    written = SpdxHeader().map(content, pa.nulls(2, TEXT), pa.nulls(2, TEXT))
    assert written["license"].to_pylist() == ["MIT", None]
