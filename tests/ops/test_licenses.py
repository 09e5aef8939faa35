"""Which licence governs a file of a package or tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.licenses import License, Licenses, is_license_file, normalise

TEXTS = {path.stem: path.read_bytes() for path in sorted((Path(__file__).parent / "license_texts").glob("*.txt"))}
MIT, ISC, BSD2, ZLIB = TEXTS["MIT"], TEXTS["ISC"], TEXTS["BSD-2-Clause"], TEXTS["Zlib"]
GPL = b"GPL-3.0-or-later"
UNKNOWN = b"Do with it what your heart tells you, but tell mine first.\n"


@pytest.mark.parametrize(
    "path",
    [
        "LICENSE", "LICENCE", "license", "License.md", "LICENSE.txt", "LICENCE.TXT", "LICENSE.rst",
        "LICENSE.html", "COPYING", "COPYING3", "COPYING.LESSER", "COPYING.LIB", "UNLICENSE", "UNLICENSE.md",
        "LICENSE-MIT", "LICENSE-APACHE-2.0.txt", "LICENSE_1_0.txt", "LICENSE.BSD-3-Clause",
        "LICENSE.Apache-2.0.txt", "MIT-LICENSE", "MIT-LICENSE.txt", "GPL-LICENSE.txt", "license.terms",
        "COPYRIGHT", "Copyright.txt", "vendor/x/LICENSE", "LICENSES/MIT.txt", "LICENSES/Apache-2.0",
        "licenses/NUMPY_LICENSE", "debian/copyright", ".reuse/dep5", "REUSE.toml",
        "frob-1.0.dist-info/licenses/LICENSE.APACHE", "frob-1.0.dist-info/licenses/src/x/COPYING",
        "frob.egg-info/LICENSE",
    ],
)  # fmt: skip
def test_license_files(path: str):
    assert is_license_file(path)


@pytest.mark.parametrize(
    "path",
    [
        "NOTICE", "README.md", "license.py", "license.go", "License.java", "LICENSE.json", "licensing.md",
        "copying.c", "copyright.rb", "copyright.html", "LICENSE.md.erb", "main.js.LICENSE.txt",
        "LICENSE-THIRD-PARTY", "LICENSES_bundled.txt", "LICENSE_OF_DEPENDENCIES.md", "LICENSE-docs",
        "license-checker", "licenses/index.js", "licenses/__init__.py", "frob-1.0.dist-info/licenses/AUTHORS",
        "my_license.txt.py", "frob-1.0.dist-info/licenses/NOTICE", "frob-1.0.dist-info/METADATA",
        "licenses/README.md", "src/a.py", "unlicensed.c",
    ],
)  # fmt: skip
def test_other_files(path: str):
    assert not is_license_file(path)


def of(
    path: str = "src/a.py", *, declared: str | None = None, classifiers: tuple[str, ...] = (), **texts: bytes
) -> License:
    return Licenses(declared, classifiers, {name.replace("__", "/"): text for name, text in texts.items()}).of(path)


def test_what_goes_before_what():
    trove = ("License :: OSI Approved :: ISC License (ISCL)",)
    assert of(declared="Apache 2.0", classifiers=trove, LICENSE=MIT) == License("Apache-2.0", "metadata")
    assert of(declared="see there", classifiers=trove, LICENSE=MIT) == License("ISC", "classifiers")
    assert of(declared="see there", LICENSE=MIT) == License("MIT", "LICENSE")
    assert of(LICENSE=UNKNOWN) == License(None, "LICENSE")
    assert of() == License(None, None)
    assert of(LICENSE=b" \n") == License(None, None)


def test_a_text_declared_whole_is_metadata():
    assert of(declared=MIT.decode()) == License("MIT", "metadata")


def test_a_name_without_version_is_made_exact_by_a_text_of_its_family():
    trove = ("License :: OSI Approved :: BSD License",)
    assert of(declared="BSD", LICENSE=BSD2) == License("BSD-2-Clause", "LICENSE")
    assert of(classifiers=trove, LICENSE=BSD2) == License("BSD-2-Clause", "LICENSE")
    assert of(declared="BSD") == License("BSD-3-Clause", "metadata")
    assert of(declared="BSD", LICENSE=MIT) == License("BSD-3-Clause", "metadata")
    assert of(declared="BSD", LICENSE=UNKNOWN) == License("BSD-3-Clause", "metadata")
    assert of(declared="BSD 3-Clause", LICENSE=BSD2) == License("BSD-3-Clause", "metadata")


def test_a_text_in_a_folder_governs_what_lies_below():
    licenses = Licenses(
        declared="MIT",
        texts={"LICENSE": MIT, "vendor/z/LICENSE": ZLIB, "vendor/z/deep/COPYING": UNKNOWN, "vendor/b/LICENSE": b"\n"},
    )
    assert licenses.of("a.py") == License("MIT", "metadata")
    assert licenses.of("vendor/a.c") == License("MIT", "metadata")
    assert licenses.of("vendor/zz/a.c") == License("MIT", "metadata")
    assert licenses.of("vendor/b/a.c") == License("MIT", "metadata")
    assert licenses.of("vendor/z/a.c") == License("Zlib", "vendor/z/LICENSE")
    assert licenses.of("vendor/z/src/b/a.c") == License("Zlib", "vendor/z/LICENSE")
    assert licenses.of("vendor/z/deep/x/a.c") == License(None, "vendor/z/deep/COPYING")


def test_of_texts_side_by_side_all_apply():
    licenses = Licenses(texts={"LICENSE-MIT": MIT, "LICENSE-ISC": ISC, "a/LICENSE": MIT, "a/COPYING": UNKNOWN})
    assert licenses.of("x.rs") == License("ISC AND MIT", "LICENSE-ISC, LICENSE-MIT")
    assert licenses.of("a/x.rs") == License(None, "a/COPYING")


@pytest.mark.parametrize(
    "statement",
    [
        b"This project is dual-licensed under the ISC and MIT licenses.\n\nYou may use it under the terms of either.\n",
        b"Licensed under either of the licenses found in LICENSE-ISC or LICENSE-MIT, at your option.",
    ],
)
def test_a_statement_offers_a_choice(statement: bytes):
    licenses = Licenses(texts={"LICENSE-MIT": MIT, "LICENSE-ISC": ISC, "LICENSE": statement})
    assert licenses.of("x.rs") == License("ISC OR MIT", "LICENSE-ISC, LICENSE-MIT")


def test_a_statement_with_conditions_of_its_own_is_unknown():
    terms = b"See LICENSE-MIT. Either way, the code may not be used commercially."
    assert Licenses(texts={"LICENSE": terms, "LICENSE-MIT": MIT}).of("x") == License(None, "LICENSE")


def test_a_statement_alone_is_unknown():
    assert of(LICENSE=b"Licensed under either of the licenses that we sent you.").expression is None


def test_a_statement_that_only_points_says_nothing_new():
    texts = {
        "LICENSE": b"The code is under LICENSE-MIT, its tables are under LICENSE-ISC.",
        "LICENSE-MIT": MIT,
        "LICENSE-ISC": ISC,
    }
    assert Licenses(texts=texts).of("x").expression == "ISC AND MIT"


def test_the_lesser_gpl_stands_on_the_gpl():
    texts = {"COPYING": b"GPL-3.0-only", "COPYING.LESSER": b"LGPL-3.0-or-later"}
    assert Licenses(texts=texts).of("x") == License("LGPL-3.0-or-later", "COPYING.LESSER")


def test_a_copyright_notice_does_not_spoil_a_licence():
    assert of(LICENSE=MIT, COPYRIGHT=UNKNOWN) == License("MIT", "LICENSE")
    assert of(COPYRIGHT=MIT) == License("MIT", "COPYRIGHT")
    assert of(COPYRIGHT=UNKNOWN) == License(None, "COPYRIGHT")


def test_links_are_followed():
    texts = {"LICENSE": MIT, "packages/a/LICENSE": b"../../LICENSE", "packages/b/LICENSE": b"../LICENSE\n"}
    licenses = Licenses(texts=texts)
    assert licenses.of("packages/a/x.js") == License("MIT", "packages/a/LICENSE")
    assert licenses.of("packages/b/x.js") == License(None, "packages/b/LICENSE")


def test_a_folder_of_texts_tells_only_what_nothing_else_does():
    listed = {"LICENSES/MIT.txt": MIT, "LICENSES/GPL-3.0-only.txt": UNKNOWN}
    assert Licenses(texts=listed).of("a.c").expression == "GPL-3.0-only AND MIT"
    assert Licenses(texts=listed).of("LICENSES/a.c").expression == "GPL-3.0-only AND MIT"
    assert Licenses(texts={**listed, "LICENSE": ISC}).of("a.c") == License("ISC", "LICENSE")
    assert Licenses("ISC", texts=listed).of("a.c") == License("ISC", "metadata")


def test_wheels_keep_licences_by_the_path_of_the_source():
    licenses = Licenses(
        texts={
            "frob-1.0.dist-info/licenses/LICENSE": MIT,
            "frob-1.0.dist-info/licenses/frob/core/LICENSE": ZLIB,
            "frob/_vendor/Nicate-2.1.dist-info/LICENSE": GPL,
        }
    )
    assert licenses.of("frob/a.py") == License("MIT", "frob-1.0.dist-info/licenses/LICENSE")
    assert licenses.of("frob/core/a.py").expression == "Zlib"
    assert licenses.of("frob/_vendor/a.py").expression == "MIT"
    assert licenses.of("frob/_vendor/nicate/a.py").expression == "GPL-3.0-or-later"


DEP5 = b"""Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
License: GPL-2+

Files: lib/*
License: Expat

Files: lib/odd/*
License: Unheard-of
"""


def test_debian_copyright_goes_before_texts_where_it_says_more_than_all():
    source = "debian/copyright"
    licenses = Licenses(texts={"debian/copyright": DEP5, "LICENSE": ISC, "lib/LICENSE": ISC, "vendor/LICENSE": ISC})
    assert licenses.of("a.c") == License("GPL-2.0-or-later", source)
    assert licenses.of("lib/a.c") == License("MIT", source)
    assert licenses.of("lib/odd/a.c") == License(None, source)
    assert licenses.of("vendor/a.c") == License("ISC", "vendor/LICENSE")
    assert Licenses("Zlib", texts={"debian/copyright": DEP5}).of("a.c") == License("Zlib", "metadata")
    assert Licenses("Zlib", texts={"debian/copyright": DEP5}).of("lib/a.c") == License("MIT", source)


def test_the_rules_that_lie_deeper_go_first():
    deep = b'[[annotations]]\npath = "**"\nSPDX-License-Identifier = "ISC"\n'
    wide = b'[[annotations]]\npath = "a/**"\nSPDX-License-Identifier = "Zlib"\n'
    for texts in ({"REUSE.toml": wide, "a/b/REUSE.toml": deep}, {"a/b/REUSE.toml": deep, "REUSE.toml": wide}):
        licenses = Licenses("MIT", texts=texts)
        assert licenses.of("a/b/c.py") == License("ISC", "a/b/REUSE.toml")
        assert licenses.of("a/c.py") == License("Zlib", "REUSE.toml")
        assert licenses.of("c.py") == License("MIT", "metadata")


def test_debian_copyright_in_prose_is_read_as_a_text():
    assert Licenses(texts={"debian/copyright": MIT}).of("a.c") == License("MIT", "debian/copyright")
    assert Licenses(texts={"debian/copyright": UNKNOWN, "LICENSE": ISC}).of("a.c") == License("ISC", "LICENSE")


def test_the_order_of_the_texts_does_not_matter():
    texts = {"LICENSE-MIT": MIT, "LICENSE-ISC": ISC, "v/LICENSE": ZLIB, "debian/copyright": DEP5}
    one, other = Licenses(texts=texts), Licenses(texts=dict(reversed(texts.items())))
    for path in ("a", "v/a", "lib/a", "lib/odd/x"):
        assert one.of(path) == other.of(path)


def test_normalise_is_here_too():
    assert normalise("MIT License") == "MIT"
