"""debian/copyright and REUSE.toml."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.license_rules import is_rules_file, rules

COPYRIGHT = b"""Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: frob
Source: https://example.org/frob

Files: *
Copyright: 2019 Ada
License: GPL-2+ or Artistic

Files: src/*.c
       include/*
Copyright: 2020 Bea
License: BSD-3-clause~frob

Files:
 src/vendor/zlib/*
 src/v?ndor/x\\*y
Copyright: 1995 Jean-loup
License: Zlib-like
 This software is provided 'as-is', without any express or implied
 warranty. In no event will the authors be held liable for any damages
 arising from the use of this software.
 .
 Permission is granted to anyone to use this software for any purpose,
 including commercial applications, and to alter it and redistribute it
 freely, subject to the following restrictions:
 .
 1. The origin of this software must not be misrepresented; you must not
 claim that you wrote the original software. If you use this software in a
 product, an acknowledgment in the product documentation would be appreciated
 but is not required.
 2. Altered source versions must be plainly marked as such, and must not be
 misrepresented as being the original software.
 3. This notice may not be removed or altered from any source distribution.

Files: doc/*
Copyright: 2020 Bea
License: Frob-doc

Files: lib/*
Copyright: 2021 Cid
License: Expat, and BSD or Unheard-of

Files: tools/*
Copyright: 2021 Cid
License: BSD

License: Frob-doc
 SPDX-License-Identifier: CC0-1.0

License: BSD
 Redistribution and use in source and binary forms, with or without modification, are permitted provided that the
 following conditions are met:
 .
 1. Redistributions of source code must retain the above copyright notice, this list of conditions and the following
 disclaimer.
 2. Redistributions in binary form must reproduce the above copyright notice, this list of conditions and the
 following disclaimer in the documentation and/or other materials provided with the distribution.
 .
 THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS" AND ANY EXPRESS OR IMPLIED WARRANTIES,
 INCLUDING, BUT NOT LIMITED TO, THE IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR PURPOSE ARE
 DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT HOLDER OR CONTRIBUTORS BE LIABLE FOR ANY DIRECT, INDIRECT, INCIDENTAL,
 SPECIAL, EXEMPLARY, OR CONSEQUENTIAL DAMAGES (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR
 SERVICES; LOSS OF USE, DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER CAUSED AND ON ANY THEORY OF LIABILITY,
 WHETHER IN CONTRACT, STRICT LIABILITY, OR TORT (INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE
 OF THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.
"""

REUSE = b"""version = 1

[[annotations]]
path = ["**"]
SPDX-License-Identifier = "MIT"

[[annotations]]
path = ["data/*.json", "docs/**/*.md"]
SPDX-License-Identifier = ["CC0-1.0", "ISC"]

[[annotations]]
path = 'odd/\\*'
SPDX-License-Identifier = "Unheard-of"
"""


def last(path: str, text: bytes, file: str) -> tuple[str | None, bool]:
    """What the last rule that matches says, and whether it is said of everything."""
    found = rules(path, text)
    assert found is not None
    rule = [r for r in found if r.files.fullmatch(file)][-1]
    assert rule.license.source == path
    return rule.license.expression, rule.everything


@pytest.mark.parametrize(
    ("file", "expression", "everything"),
    [
        ("README", "GPL-2.0-or-later OR Artistic-1.0-Perl", True),
        ("src/a.h", "GPL-2.0-or-later OR Artistic-1.0-Perl", True),
        ("src/a.c", "BSD-3-Clause", False),
        ("src/deep/er/a.c", "BSD-3-Clause", False),
        ("include/a.h", "BSD-3-Clause", False),
        ("src/vendor/zlib/inflate.c", "Zlib", False),
        ("src/vendor/x*y", "Zlib", False),
        ("doc/a.md", "CC0-1.0", False),
        ("lib/a.c", None, False),
        ("tools/a.c", "BSD-2-Clause", False),
    ],
)
def test_debian_copyright(file: str, expression: str | None, everything: bool):
    assert last("debian/copyright", COPYRIGHT, file) == (expression, everything)
    assert last("debian/copyright", COPYRIGHT.replace(b"\n", b"\r\n"), file) == (expression, everything)
    assert last(".reuse/dep5", COPYRIGHT, file) == (expression, everything)
    # Below a folder nothing is said of the whole tree.
    assert last("sub/debian/copyright", COPYRIGHT, f"sub/{file}") == (expression, False)


@pytest.mark.parametrize(
    ("file", "expression", "everything"),
    [
        ("a/b.py", "MIT", True),
        ("data/a.json", "CC0-1.0 AND ISC", False),
        ("data/deep/a.json", "MIT", True),
        ("docs/a.md", "CC0-1.0 AND ISC", False),
        ("docs/x/y/a.md", "CC0-1.0 AND ISC", False),
        ("odd/*", None, False),
        ("odd/x", "MIT", True),
    ],
)
def test_reuse_toml(file: str, expression: str | None, everything: bool):
    assert last("REUSE.toml", REUSE, file) == (expression, everything)
    assert last("sub/REUSE.toml", REUSE, f"sub/{file}") == (expression, False)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("debian/copyright", b"This is frob, written by Ada.\n\nIt is under the GPL.\n"),
        ("debian/copyright", b""),
        ("REUSE.toml", b"version = "),
        ("REUSE.toml", b"version = 1"),
        ("REUSE.toml", b"annotations = 3"),
    ],
)
def test_other_forms_are_no_rules(path: str, text: bytes):
    assert rules(path, text) is None


def test_odd_annotations_are_passed_over():
    assert rules("REUSE.toml", b"annotations = [1, {path = 3}, {path = 'a'}, {SPDX-License-Identifier = 'MIT'}]") == []


def test_which_files_hold_rules():
    assert all(
        map(is_rules_file, ["debian/copyright", "x/debian/copyright", ".reuse/dep5", "REUSE.toml", "a/REUSE.toml"])
    )
    assert not any(map(is_rules_file, ["copyright", "debian/copyright.txt", "MYREUSE.toml", "dep5", "reuse.toml"]))


@given(
    st.text("ab*?/.", min_size=1, max_size=8).filter(lambda g: "[" not in g),
    st.text("ab/.", min_size=1, max_size=8),
)
def test_debian_globs_are_those_of_fnmatch(glob: str, file: str):
    text = f"Format: x\n\nFiles: {glob}\nCopyright: x\nLicense: MIT\n".encode()
    found = rules("debian/copyright", text) or []
    expected = fnmatch.fnmatchcase(file, glob.removeprefix("./"))
    assert [bool(rule.files.fullmatch(file)) for rule in found] == [expected]


@given(st.binary(max_size=200), st.sampled_from(["debian/copyright", "REUSE.toml"]))
def test_no_bytes_make_it_raise(data: bytes, path: str):
    rules(path, data)
    rules(path, b"Format: x\n\nFiles: *\nLicense: " + data)
