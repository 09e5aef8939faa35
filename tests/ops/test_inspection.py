"""The table of StarCoder's visual inspection, spelled out again here."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.schema import TEXT
from ops.inspection import bounds, kept

LINES_OFF = {
    "assembly": "asm",
    "bluespec": "bsv",
    "cmake": "cmake",
    "markdown": "md markdown mkd mkdn ron",
    "mathematica": "ma nb",
    "matlab": "matlab",
    "r": "r",
    "restructuredtext": "rst",
    "rmarkdown": "rmd",
    "json": "json",
    "sql": "sql",
    "stata": "do ado",
    "tex": "tex bbx bib cbx dtx ins lbx mkii mkiv mkvi sty",
    "visual-basic": "frm",
}
ALPHABETIC = {
    0.25: {
        "ada": "ads",
        "augeas": "aug",
        "glsl": "fp",
        "maple": "mpl",
        "mathematica": "ma nb wl",
        "matlab": "matlab",
        "scheme": "scm sld sps",
        "sql": "prc",
        "systemverilog": "sv",
        "vhdl": "vhd",
        "visual-basic": "bas",
        "yacc": "y",
    },
    0.5: {"json": "json", "yaml": "yml yaml"},
}
ALPHANUMERIC_OFF = {"mathematica": "ma nb", "sas": "sas", "visual-basic": "frm"}

REFUSED = {
    "c": "cats w", "c-sharp": "csx", "clojure": "cl2", "common-lisp": "sexp", "erlang": "xrl", "fortran": "f77",
    "glsl": "frg geo vrx", "groovy": "grt", "mathematica": "cdf nbp wlt", "pascal": "dpr", "perl": "al ph plx",
    "racket": "rkt rktd rktl", "restructuredtext": "rest", "sql": "pls pck tab", "standard-ml": "sig",
    "stata": "ihlp sthlp", "tex": "aux ltx toc", "vhdl": "vhf vht", "visual-basic": "frx", "yacc": "yy",
}  # fmt: skip
UNLISTED = {
    "c": "idc", "cpp": "C H", "clojure": "cljs.hl cljscm hic", "cmake": "cmake.in", "emacs-lisp": "emacs.desktop",
    "glsl": "gshader", "html": "html.hl", "javascript": "_js bones jake jsb jscad jsfl jss njs ssjs xsjs",
    "json": "geojson lock topojson", "kotlin": "ktm", "lua": "pd_lua rbxs", "makefile": "mkfile", "markdown": "mkdown",
    "php": "aw php3 php4 php5 phps", "python": "lmi pyp pyt tac wsgi xpy", "restructuredtext": "rest.txt rst.txt",
    "ruby": "god irbrc mspec rbuild rbx watchr", "rust": "rs.in", "scheme": "ss", "shell": "sh.in", "sql": "viw",
    "standard-ml": "ML", "vhdl": "vhs", "yaml": "reek rviz sublime-syntax syntax yaml-tmlanguage",
}  # fmt: skip


def pairs(table: dict[str, str]) -> list[tuple[str, str]]:
    return [(language, extension) for language, extensions in table.items() for extension in extensions.split()]


def columns(rows: list[tuple[str | None, str | None]]) -> tuple[pa.Array, pa.Array]:
    return pa.array([language for language, _ in rows], TEXT), pa.array([extension for _, extension in rows], TEXT)


ORDINARY = [("python", "py"), ("c", "h"), ("dockerfile", ""), ("makefile", ""), ("swift", "swift"), (None, None)]


def test_the_line_tests_are_off_for_30_extensions():
    off = pairs(LINES_OFF)
    assert len(off) == 30
    for measure, default in (("longest_line", 1000), ("mean_line", 100)):
        assert bounds(measure, *columns(off), default).to_pylist() == [None] * 30
        assert bounds(measure, *columns(ORDINARY), default).to_pylist() == [default] * len(ORDINARY)


def test_only_fsh_has_a_line_bound_of_its_own():
    rows = columns([("glsl", "fsh"), ("glsl", "frag")])
    assert bounds("longest_line", *rows, 1000).to_pylist() == [500, 1000]
    assert bounds("mean_line", *rows, 100).to_pylist() == [100, 100]
    assert bounds("longest_line", *rows, None).to_pylist() == [500, None]


def test_the_alphabetic_test_is_on_for_19_extensions():
    assert [len(pairs(table)) for table in ALPHABETIC.values()] == [16, 3]
    for bound, table in ALPHABETIC.items():
        rows = columns(pairs(table))
        assert set(bounds("alphabetic", *rows, None).to_pylist()) == {bound}
    assert bounds("alphabetic", *columns(ORDINARY), None).null_count == len(ORDINARY)
    assert bounds("alphabetic", *columns(ORDINARY), 0.3).to_pylist() == [0.3] * len(ORDINARY)


def test_the_alphanumeric_test_is_off_for_four_extensions():
    off = pairs(ALPHANUMERIC_OFF)
    assert bounds("alphanumeric", *columns(off), 0.25).to_pylist() == [None] * 4
    assert bounds("alphanumeric", *columns(ORDINARY), 0.25).to_pylist() == [0.25] * len(ORDINARY)


@given(
    st.lists(
        st.sampled_from(
            [*pairs(LINES_OFF), *pairs(ALPHABETIC[0.25]), *pairs(ALPHANUMERIC_OFF), ("glsl", "fsh"), *ORDINARY]
        )
    )
)
def test_bounds_go_row_by_row(rows):
    def expected(measure, row):
        language, extension = row
        listed = lambda table: extension in table.get(language, "").split()  # noqa: E731
        if measure in ("longest_line", "mean_line"):
            off = listed(LINES_OFF)
            return None if off else 500 if measure == "longest_line" and extension == "fsh" else 77
        if measure == "alphanumeric":
            return None if listed(ALPHANUMERIC_OFF) else 77
        return next((bound for bound, table in ALPHABETIC.items() if listed(table)), 77)

    for measure in ("longest_line", "mean_line", "alphanumeric", "alphabetic"):
        answer = bounds(measure, *columns(rows), 77)
        assert answer.type == pa.float64()
        assert answer.to_pylist() == [expected(measure, row) for row in rows]


@pytest.mark.parametrize("encode", [lambda c: c, lambda c: c.dictionary_encode(), lambda c: c.cast(pa.string())])
def test_any_encoding_of_text_will_do(encode):
    language, extension = columns([("sql", "sql"), ("sql", "prc")])
    assert bounds("longest_line", encode(language), encode(extension), 10).to_pylist() == [None, 10]


def test_refused_and_unlisted_extensions_are_not_kept():
    out = [*pairs(REFUSED), *pairs(UNLISTED)]
    for inspection in ("starcoder", "recommended"):
        lost = {
            row for row, is_kept in zip(out, kept(inspection, *columns(out)).to_pylist(), strict=True) if not is_kept
        }
        assert set(out) - lost == ({("racket", "rkt")} if inspection == "recommended" else set())
    assert kept("none", *columns(out)).to_pylist() == [True] * len(out)


def test_listed_extensions_and_languages_that_nobody_looked_at_are_kept():
    rows = [*ORDINARY, *pairs(LINES_OFF), *pairs(ALPHABETIC[0.5]), ("racket", "scrbl"), ("prolog", "yap")]
    assert kept("starcoder", *columns(rows)).to_pylist() == [True] * len(rows)
