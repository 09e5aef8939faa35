"""SPDX expressions, and what people write instead."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from license_expression import get_spdx_licensing

import ops.spdx
from ops.spdx import canonical, joined, normalise, of_classifiers, parse, spelled, vague

LICENSING = get_spdx_licensing()
IDS = ["MIT", "Apache-2.0", "BSD-3-Clause", "GPL-2.0-only", "LicenseRef-own", "GPL-3.0-only WITH GCC-exception-3.1"]


def expressions(leaves: list[str]) -> st.SearchStrategy[str]:
    """Expressions over these leaves, in random case of the operators and with parentheses where they are needed."""
    words = st.sampled_from([" AND ", " OR ", " and ", " or "])
    return st.recursive(
        st.sampled_from(leaves),
        lambda inner: st.tuples(inner, words, inner).map(lambda t: f"({t[0]}){t[1]}({t[2]})"),
        max_leaves=6,
    )


@given(expressions(IDS))
def test_spelling_keeps_the_meaning(text: str):
    ours = spelled(text)
    assert ours is not None
    assert LICENSING.is_equivalent(ours, text)
    assert spelled(ours) == ours
    assert " and " not in ours and " or " not in ours


@given(st.text(max_size=60) | st.text("()ANDORWITH MIT+-.", max_size=40))
def test_no_text_makes_the_parsers_raise(text: str):
    parse(text)
    for known in (spelled(text), normalise(text)):
        assert known is None or spelled(known) == known


@given(st.lists(st.sampled_from(IDS[:4]), min_size=1, max_size=6), st.sampled_from(["AND", "OR"]))
def test_joined_names_each_once_in_order(ids: list[str], word: str):
    assert joined(word, ids) == f" {word} ".join(dict.fromkeys(ids))


def test_joined_keeps_a_choice_together():
    assert joined("AND", ["MIT OR ISC", "Zlib", "(MIT OR X11)"]) == "(MIT OR ISC) AND Zlib AND (MIT OR X11)"
    assert joined("AND", ["MIT AND ISC", "Zlib", "MIT"]) == "MIT AND ISC AND Zlib"
    assert joined("AND", ["no expression (", "MIT"]) == "(no expression () AND (MIT)"
    assert joined("OR", ["MIT AND ISC", "Zlib"]) == "(MIT AND ISC) OR Zlib"


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("mit", "MIT"),
        ("GPL-2.0+", "GPL-2.0-or-later"),
        ("GPL-3.0", "GPL-3.0-only"),
        ("apache-2.0+", "Apache-2.0+"),
        ("GPL-2.0-with-classpath-exception", "GPL-2.0-only"),
        ("LicenseRef-scancode-public-domain", "LicenseRef-scancode-public-domain"),
        ("DocumentRef-a:LicenseRef-b", "DocumentRef-a:LicenseRef-b"),
        ("Classpath-exception-2.0", None),
        ("NOASSERTION", None),
        ("Foo-1.0", None),
    ],
)
def test_canonical_ids(name: str, id: str | None):
    assert canonical(name) == id


@pytest.mark.parametrize(
    "text",
    [
        "",
        "MIT AND",
        "(MIT",
        "MIT)",
        "MIT MIT",
        "()",
        "MIT WITH",
        "Foo",
        "MIT OR Foo",
        "MIT WITH Foo",
        "((((",
        "x" * 9_999,
    ],
)
def test_what_is_no_expression(text: str):
    assert spelled(text) is None


SAID = [
    ("MIT", "MIT"),
    ("MIT License", "MIT"),
    ("The MIT License (MIT)", "MIT"),
    ("MIT License (Expat)", "MIT"),
    ("Expat", "MIT"),
    ("MIT/X11", "MIT"),
    ("BSD", "BSD-3-Clause"),
    ("BSD 3-Clause", "BSD-3-Clause"),
    ("3-Clause BSD License", "BSD-3-Clause"),
    ("BSD (3-clause)", "BSD-3-Clause"),
    ("new BSD License", "BSD-3-Clause"),
    ("Simplified BSD", "BSD-2-Clause"),
    ("Apache 2.0", "Apache-2.0"),
    ("Apache License, Version 2.0", "Apache-2.0"),
    ("Apache License Version 2.0", "Apache-2.0"),
    ("Apache 2.0 License", "Apache-2.0"),
    ("Apache Software License", "Apache-2.0"),
    ("ASL 2.0", "Apache-2.0"),
    ("https://www.apache.org/licenses/LICENSE-2.0", "Apache-2.0"),
    ("Apache-2.0 OR BSD-2-Clause", "Apache-2.0 OR BSD-2-Clause"),
    ("BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0", "BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0"),
    ("(MIT OR Apache-2.0)", "MIT OR Apache-2.0"),
    ("MIT/Apache-2.0", "MIT OR Apache-2.0"),
    ("MIT OR Apache 2.0", "MIT OR Apache-2.0"),
    ("MIT, BSD or Apache 2", "MIT OR BSD-3-Clause OR Apache-2.0"),
    ("MIT and BSD 2-Clause", "MIT AND BSD-2-Clause"),
    ("MIT, ISC", "MIT AND ISC"),
    ("MPL 1.1/GPL 2.0/LGPL 2.1", "MPL-1.1 OR GPL-2.0-only OR LGPL-2.1-only"),
    ("GPLv2", "GPL-2.0-only"),
    ("GPLv2+", "GPL-2.0-or-later"),
    ("GPL v3 or later", "GPL-3.0-or-later"),
    ("GPL-2 or later or MIT", "GPL-2.0-or-later OR MIT"),
    ("GNU LGPL v2.1 or any later version", "LGPL-2.1-or-later"),
    ("LGPLv3", "LGPL-3.0-only"),
    ("GNU AGPLv3", "AGPL-3.0-only"),
    ("GNU General Public License v3 or later (GPLv3+)", "GPL-3.0-or-later"),
    ("GPLv2 with linking exception", "GPL-2.0-only"),
    ("GPL", "GPL-1.0-or-later"),
    ("GPL (>= 2) | file LICENSE", "GPL-2.0-or-later"),
    ("MIT + file LICENSE", "MIT"),
    ("GPL-2 | GPL-3", "GPL-2.0-only OR GPL-3.0-only"),
    ("Expat, and GPL-1+ or Artistic", "MIT AND (GPL-1.0-or-later OR Artistic-1.0-Perl)"),
    ("same terms as Perl", "Artistic-1.0-Perl OR GPL-1.0-or-later"),
    ("zlib/libpng License", "Zlib"),
    ("PSF", "PSF-2.0"),
    ("Public Domain", "LicenseRef-scancode-public-domain"),
    ("Apache 2.0 with LLVM exception", "Apache-2.0 WITH LLVM-exception"),
    ('{"type": "MIT", "url": "https://example.org/LICENSE"}', "MIT"),
    ('[{"type": "MIT"}, {"type": "Apache-2.0"}]', "MIT OR Apache-2.0"),
    ("UNLICENSED", "LicenseRef-scancode-proprietary-license"),
    ("Proprietary", "LicenseRef-scancode-proprietary-license"),
    ("UNKNOWN", None),
    ("SEE LICENSE IN terms.txt", None),
    ("License", None),
    ("Dual License", None),
    ("Version 2.0", None),
    ("MIT (non-commercial use only)", None),
    ("MIT with Commons Clause", None),
    ("MIT and something of ours", None),
    ("[1, {}]", None),
    ("{", None),
]


@pytest.mark.parametrize(("text", "expression"), SAID)
def test_what_packages_say(text: str, expression: str | None):
    assert normalise(text) == expression


def test_which_names_leave_the_version_open():
    assert all(vague(text) for text in ["BSD", "BSD License", "GPL", "LGPL", "Apache Software License", "MPL"])
    assert not any(vague(text) for text in ["MIT", "BSD-2-Clause", "GPLv3", "Apache 2.0", "MPL-2.0", "0BSD", "", "Foo"])


@pytest.mark.parametrize(
    ("classifiers", "expression"),
    [
        (["License :: OSI Approved :: MIT License"], "MIT"),
        (["License :: OSI Approved", "License :: OSI Approved :: ISC License (ISCL)"], "ISC"),
        (["License :: OSI Approved :: GNU Lesser General Public License v2 or later (LGPLv2+)"], "LGPL-2.0-or-later"),
        (["License :: OSI Approved :: GNU Library or Lesser General Public License (LGPL)"], "LGPL-2.0-or-later"),
        (["License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)"], "MPL-2.0"),
        (["License :: OSI Approved :: University of Illinois/NCSA Open Source License"], "NCSA"),
        (["License :: CC0 1.0 Universal (CC0 1.0) Public Domain Dedication"], "CC0-1.0"),
        (
            ["License :: OSI Approved :: MIT License", "License :: OSI Approved :: Apache Software License"],
            "MIT AND Apache-2.0",
        ),
        (["License :: Free for non-commercial use"], "LicenseRef-scancode-proprietary-license"),
        (["License :: OSI Approved :: MIT License", "License :: Freely Distributable"], None),
        (["License :: OSI Approved"], None),
        (["Programming Language :: Python"], None),
        ([], None),
    ],
)
def test_classifiers(classifiers: list[str], expression: str | None):
    assert of_classifiers(classifiers) == expression


def test_every_name_in_the_table_stands_for_its_licence():
    table = json.loads((Path(ops.spdx.__file__).parent / "data" / "license_names.json").read_text(encoding="utf-8"))
    for part in ("names", "vague"):
        for expression, names in table[part].items():
            assert spelled(expression) == expression
            for name in names:
                assert normalise(name) == expression, name
                assert vague(name) == (part == "vague"), name


def test_threads_parse_one_at_a_time(monkeypatch):
    class Counting:
        inside = most = 0

        def parse(self, text):
            self.inside += 1
            self.most = max(self.most, self.inside)
            time.sleep(0.002)
            self.inside -= 1
            return text

    library = Counting()
    monkeypatch.setattr(ops.spdx, "licensing", lambda: library)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(parse.__wrapped__, [f"MIT{n}" for n in range(16)]))
    assert library.most == 1
