"""Which licence a text is: texts made from templates, real packages' files, and texts that only look the part."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops import license_text
from ops.license_text import decoded, identify, of_tag, tagged

TEMPLATES = {path.stem: path.read_text() for path in sorted((Path(__file__).parent / "license_texts").glob("*.txt"))}
APACHE = (Path(__file__).parents[2] / "LICENSE").read_text()
YEARS = st.integers(1985, 2030).map(str) | st.just("2011-2024") | st.just("2003, 2007")
HOLDERS = st.sampled_from(["Ada Lovelace", "The Frob Authors", "Ærø Sørensen <æ@example.org>", "ACME, Inc. and others"])


def wrapped(text: str, width: int) -> str:
    return "\n\n".join(textwrap.fill(" ".join(p.split()), width) for p in text.split("\n\n"))


def quoted(mark: str) -> Callable[[str], str]:
    return lambda text: "\n".join(f"{mark}{line}" for line in text.splitlines())


LAYOUTS = st.sampled_from(
    [
        str,
        lambda text: wrapped(text, 50),
        lambda text: wrapped(text, 110),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "# License\n\n" + text,
        lambda text: "\ufeff" + text,
        lambda text: "/*\n" + quoted(" * ")(text) + "\n */\n",
        quoted("> "),
        quoted("# "),
    ]
)


@given(st.sampled_from(sorted(TEMPLATES)), YEARS, HOLDERS, LAYOUTS)
def test_filled_in_templates(id: str, year: str, holder: str, layout: Callable[[str], str]):
    text = layout(TEMPLATES[id].replace("<year>", year).replace("<holder>", holder))
    assert identify(text.encode()) == id


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_codings(coding: str):
    text = TEMPLATES["MIT"].replace("<holder>", "Ærø Sørensen")
    assert identify(text.encode(coding)) == "MIT"
    assert "Ærø Sørensen" in decoded(text.encode(coding))


def test_our_own():
    assert identify(APACHE.encode()) == "Apache-2.0"


@pytest.mark.parametrize("name", ["pydantic", "rich", "fsspec", "zstandard", "pyyaml", "cyclopts", "datasketch"])
def test_base_requirements(name: str):
    """The licence file of a package says what the package declares in SPDX's own words."""
    package = distribution(name)
    declared = package.metadata["License-Expression"] or package.metadata["License"]
    files = [f for f in package.files or [] if "-info/" in str(f) and f.name.startswith(("LICENSE", "LICENCE"))]
    assert [identify(f.read_binary()) for f in files] == [declared]


def test_of_several_texts_all_apply():
    both = f"{TEMPLATES['ISC']}\n----\n\nPortions:\n\n{TEMPLATES['BSD-3-Clause']}\n----\n{TEMPLATES['ISC']}"
    assert identify(both.encode()) == "ISC AND BSD-3-Clause"


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("MIT\n", "MIT"),
        ("Apache 2.0", "Apache-2.0"),
        ("MIT OR Apache-2.0", "MIT OR Apache-2.0"),
        ("The software is under:\n\n  SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note\n\nsee LICENSES.\n",
         "GPL-2.0-only WITH Linux-syscall-note"),
        ("You can do what you like.", None),
        ("", None),
        ("See https://example.org/terms", None),
    ],
)  # fmt: skip
def test_short_statements(text: str, expression: str | None):
    assert identify(text.encode()) == expression


MIT, BSD = TEMPLATES["MIT"], TEMPLATES["BSD-3-Clause"]
COMMONS_CLAUSE = (
    'The Software is provided under the License, subject to the "Commons Clause" License Condition v1.0: the License '
    "does not grant to you the right to Sell the Software.\n\n"
)


@pytest.mark.parametrize(
    "text",
    [
        MIT + "\nThis software is for non-commercial use only.\n",
        "Academic use only.\n\n" + MIT,
        COMMONS_CLAUSE + APACHE,
        APACHE + "\n" + COMMONS_CLAUSE,
        BSD + "\nThe software may not be used by military organisations.\n",
        MIT + "\nUse of this software to train machine learning models is not allowed.\n",
        MIT.replace("without restriction", "for noncommercial purposes"),
        MIT.replace("sublicense, and/or sell", "and sublicense"),
        BSD.replace("with or without", "without"),
        BSD.replace("Redistribution and use", "Redistribution and use for research purposes"),
        MIT[: len(MIT) // 3],
    ],
)
def test_further_conditions_make_a_text_unknown(text: str):
    assert text not in (MIT, BSD, APACHE)
    assert identify(text.encode()) is None


def test_tags_of_a_long_text_are_other_peoples():
    assert identify(("A list of parts.\n" * 200 + "SPDX-License-Identifier: MIT\n").encode()) is None


def test_too_long_a_text_is_unknown():
    assert identify((MIT * 2_000).encode()) is None


def test_equal_texts_are_matched_once(monkeypatch: pytest.MonkeyPatch):
    calls: list[str] = []
    real = license_text.identify_license
    monkeypatch.setattr(license_text, "identify_license", lambda text: calls.append(text) or real(text))
    text = TEMPLATES["ISC"].replace("<holder>", "someone whom no other test names").encode()
    assert [identify(text) for _ in range(3)] == ["ISC"] * 3
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("line", "expression"),
    [
        (" MIT */", "MIT"),
        ("GPL-2.0 WITH Linux-syscall-note -->", "GPL-2.0-only WITH Linux-syscall-note"),
        ("(MIT OR Apache-2.0)", "MIT OR Apache-2.0"),
        ('Apache-2.0+"""', "Apache-2.0+"),
        ("MIT *)", "MIT"),
        ("MIT //", "MIT"),
        ("MIT */ /* more */", "MIT"),
        ("LicenseRef-own ;", "LicenseRef-own"),
        ("${LICENSE}", None),
        ("%s", None),
        ("MIT or something", None),
        ("", None),
    ],
)
def test_tags_in_comments(line: str, expression: str | None):
    assert of_tag(line) == expression


def test_several_tags_all_apply():
    text = "# SPDX-License-Identifier: MIT\n# SPDX-License-Identifier: Zlib OR ISC\n"
    assert tagged(text) == "MIT AND (Zlib OR ISC)"
    assert tagged(text + "SPDX-License-Identifier: Foo") is None
    assert tagged("nothing") is None
