"""Languages by name: the map's 88 folders, contested extensions, whole names and letter case."""

from __future__ import annotations

import pickle
import re
from pathlib import PurePosixPath

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.op import Ledger
from engine.schema import TEXT
from ops.language import Language, entries, folder_of, folders

STACK86 = """
    ada adb ada ads | agda agda | alloy als | antlr g4 | applescript applescript scpt | assembly asm a51 nasm
    | augeas aug | awk awk auk gawk mawk nawk | batchfile bat cmd | bluespec bsv | c c h | c-sharp cs cake cshtml
    | cpp cpp c++ cc cp cxx h++ hh hpp hxx inl ipp tcc tpp | clojure clj boot cljc cljs cljx | cmake cmake
    | coffeescript coffee _coffee cjsx cson iced | common-lisp lisp asd lsp ny | css css | cuda cu cuh | dart dart
    | dockerfile dockerfile | elixir ex exs | elm elm | emacs-lisp el emacs | erlang erl escript hrl yrl
    | f-sharp fs fsi fsx | fortran f90 f f03 f08 f95 for fpp
    | glsl glsl fp frag fsh fshader geom glslv shader vert vsh vshader | go go | groovy groovy gtpl gvy
    | haskell hs hsc | html html htm xht xhtml | idris idr lidr | isabelle thy | java java | java-server-pages jsp
    | javascript js es6 jsm pac sjs xsjslib | json json | julia jl | kotlin kt kts | lean lean hlean
    | literate-agda lagda | literate-coffeescript litcoffee | literate-haskell lhs | lua lua nse wlua
    | makefile mak mk | maple mpl | markdown md markdown mkd mkdn ron | mathematica mathematica ma mt nb wl
    | matlab matlab | ocaml ml eliom eliomi ml4 mli mll mly | pascal pas dfm lpr | perl pl perl pm psgi t
    | php php ctp phpt | powershell ps1 psd1 psm1 | prolog prolog yap | protocol-buffer proto
    | python py bzl gyp pyde pyw | r r rd rsx | racket scrbl rkt | restructuredtext rst | rmarkdown rmd
    | ruby rb builder gemspec jbuilder podspec rabl rake rbw ru ruby thor | rust rs | sas sas | scala scala sbt
    | scheme scm sld sps | shell sh bash bats command ksh tmux tool zsh | smalltalk st | solidity sol
    | sparql sparql rq | sql pkb pks plb plsql sql cql ddl prc udf db2 | stan stan | standard-ml fun sml
    | stata do ado doh mata matah | systemverilog sv svh vh | tcl tcl adp tm | tcsh tcsh csh
    | tex tex bbx bib cbx dtx ins lbx mkii mkiv mkvi sty | thrift thrift | typescript ts tsx | verilog veo
    | vhdl vhdl vhd vhi vho vhw | visual-basic vb bas frm vba vbhtml vbs | xslt xslt xsl | yacc y yacc
    | yaml yml yaml | zig zig
"""
KEPT = {words[0]: words[1:] for words in map(str.split, STACK86.split("|"))}

WINNERS = {
    "bb": "bitbake", "brd": "eagle", "cake": "c-sharp", "cl": "opencl", "cp": "cpp", "cs": "c-sharp", "ecl": "ecl",
    "f": "fortran", "for": "fortran", "frag": "glsl", "fs": "f-sharp", "g": "g-code", "gd": "gdscript", "h": "c",
    "hh": "cpp", "j": "jasmin", "lisp": "common-lisp", "ls": "livescript", "lsp": "common-lisp", "mm": "objective-c++",
    "nb": "mathematica", "php": "php", "pm": "perl", "pl": "perl", "pod": "pod", "r": "r", "rpy": "ren'py",
    "rs": "rust", "sch": "eagle", "sls": "saltstack", "sql": "sql", "st": "smalltalk", "t": "perl", "ts": "typescript",
    "tsx": "typescript", "vhost": "apacheconf",
}  # fmt: skip
CONTESTED = """
    asc b cgi ch cls d es fcgi fr gml gs inc l m mod moo ms n ncl nl pluginspec pp pro sc tst v fx sublime-build
    sublime-commands sublime-completions sublime-keymap sublime-macro sublime-menu sublime-mousemap sublime-project
    sublime-settings sublime-theme sublime-workspace sublime_metrics sublime_session
"""

EVERYTHING = Language(keep="all", inspection="none")


def named(paths: list[str | None], op: Language = EVERYTHING) -> list[tuple[str | None, str | None]]:
    written, _ = op.drop(pa.array(paths, TEXT))
    return list(zip(written["language"].to_pylist(), written["extension"].to_pylist(), strict=True))


def why(paths: list[str | None], op: Language) -> list[str | None]:
    return op.drop(pa.array(paths, TEXT))[1].reason().to_pylist()


def test_the_88_folders_and_their_extensions():
    assert len(KEPT) == 88
    assert folders(stack86=True) == set(KEPT)
    assert len(folders()) == 370
    for folder, extensions in KEPT.items():
        paths = [f"src/name.{extension}" for extension in extensions]
        assert named(paths) == [(folder, extension) for extension in extensions]
        assert why(paths, Language()) == [None] * len(paths)


def test_nothing_else_is_kept():
    known = entries()
    paths = [f"x.{extension}" for extension in known.extension.to_pylist() if extension]
    keeps = [
        PurePosixPath(path).name[2:] for path, reason in zip(paths, why(paths, Language()), strict=True) if not reason
    ]
    assert sorted(keeps) == sorted(extension for extensions in KEPT.values() for extension in extensions)


def test_each_extension_has_one_language():
    extensions = [extension for extension in entries().extension.to_pylist() if extension]
    assert len(extensions) == len(set(extensions)) == 868


@pytest.mark.parametrize(("extension", "folder"), WINNERS.items())
def test_of_contested_extensions_one_language_has_them(extension, folder):
    assert named([f"a/b.{extension}"]) == [(folder, extension)]


def test_the_most_contested_belong_to_none():
    paths = [f"x.{extension}" for extension in CONTESTED.split()]
    assert named(paths) == [(None, None)] * len(paths)
    assert set(why(paths, EVERYTHING)) == {"unknown_extension"}


def test_whole_names_go_first_and_have_no_extension():
    assert named(["Dockerfile", "a/Dockerfile", "b/c/Makefile", "Makefile"]) == [
        ("dockerfile", ""), ("dockerfile", ""), ("makefile", ""), ("makefile", ""),
    ]  # fmt: skip
    assert named(["dockerfile", "MAKEFILE", "Makefile/x", "Dockerfile.txt", "x.dockerfile"]) == [
        (None, None), (None, None), (None, None), ("text", "txt"), ("dockerfile", "dockerfile"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.C", ("cpp", "C")),
        ("a.c", ("c", "c")),
        ("a.H", ("cpp", "H")),
        ("a.h", ("c", "h")),
        ("a.ML", ("standard-ml", "ML")),
        ("a.ml", ("ocaml", "ml")),
        ("a.Ml", ("ocaml", "ml")),
        ("a.PY", ("python", "py")),
        ("a.CPP", ("cpp", "cpp")),
        ("a.R", ("r", "r")),
        ("a.Rmd", ("rmarkdown", "rmd")),
        ("a.E", ("e", "E")),
        ("a.e", ("eiffel", "e")),
        ("theme.tmTheme", ("xml", "tmTheme")),
        ("theme.TMTHEME", (None, None)),
        ("a.É", (None, None)),
    ],
)
def test_letter_case_counts_where_the_map_has_it(path, expected):
    assert named([path]) == [expected]


@pytest.mark.parametrize(
    ("path", "longest", "last"),
    [
        ("CMakeLists.cmake.in", ("cmake", "cmake.in"), (None, None)),
        ("Al.eam.fs", ("formatted", "eam.fs"), ("f-sharp", "fs")),
        ("a.RS.IN", ("rust", "rs.in"), (None, None)),
        ("x.rst.txt", ("restructuredtext", "rst.txt"), ("text", "txt")),
        ("x.y.rst.txt", ("restructuredtext", "rst.txt"), ("text", "txt")),
        ("rst.txt", ("text", "txt"), ("text", "txt")),
        ("a.test.py", ("python", "py"), ("python", "py")),
    ],
)
def test_entries_of_two_parts(path, longest, last):
    assert named([path]) == [longest]
    assert named([path], Language(keep="all", inspection="none", suffix="last")) == [last]


def test_odd_paths():
    assert named([None, "", "/", ".", "..", "a/", "a.", "a.b/c", "x/.py", "README", "a.py/", "ö/ü.py"]) == [
        *[(None, None)] * 8,
        ("python", "py"),
        *[(None, None)] * 2,
        ("python", "py"),
    ]
    assert named([]) == []
    assert named(["a.py", "b.go", "c.rs"][1:]) == [("go", "go"), ("rust", "rs")]


def reference(path: str, longest: bool) -> tuple[str | None, str | None]:
    known = dict(zip(entries().extension.to_pylist(), entries().language.to_pylist(), strict=True))
    name = path.rsplit("/", 1)[-1]
    if name in ("Dockerfile", "Makefile"):
        return name.lower(), ""
    parts = name.split(".")
    for suffix in [".".join(parts[-2:])] * (longest and len(parts) > 2) + parts[-1:] * (len(parts) > 1):
        for spelled in (suffix, re.sub("[A-Z]", lambda found: found[0].lower(), suffix)):
            if spelled and spelled in known:
                return known[spelled], spelled
    return None, None


endings = st.sampled_from([*KEPT["cpp"], "C", "H", "ML", "cmake.in", "eam.fs", "in", "tmTheme", "m", "Dockerfile", ""])


@given(st.lists(st.tuples(st.text("aM./é\x00", max_size=6), endings, st.booleans())), st.booleans())
def test_names_are_read_as_a_plain_reader_would(pieces, longest):
    paths = [f"{name}.{ending.upper() if loud else ending}" for name, ending, loud in pieces]
    op = Language(keep="all", inspection="none", suffix="longest" if longest else "last")
    assert named(paths, op) == [reference(path, longest) for path in paths]


def test_columns_that_begin_in_the_middle_of_a_buffer():
    column = pa.array(["x.go", "y.py", None, "z.rs"], TEXT).slice(1)
    written, _ = EVERYTHING.drop(column)
    assert written["language"].to_pylist() == ["python", None, "rust"]


def test_reasons():
    paths = ["a.py", "b.swift", "c.C", "d.m", "e.rkt", "f.ihlp", "Dockerfile"]
    assert why(paths, Language()) == [
        None, "language_not_kept", "extension_not_kept", "unknown_extension", None, "extension_not_kept", None,
    ]  # fmt: skip
    assert why(["e.rkt", "e.scrbl"], Language(inspection="starcoder")) == ["extension_not_kept", None]
    assert why(paths, Language(inspection="none")) == [
        None, "language_not_kept", None, "unknown_extension", None, None, None,
    ]  # fmt: skip
    assert why(["b.swift", "x.bison", "d.m"], Language(keep="all")) == [None, None, "unknown_extension"]


def test_lists_of_languages():
    op = Language(keep=["python", "swift"])
    assert why(["a.py", "b.swift", "c.go", "d.wsgi"], op) == [None, None, "language_not_kept", "extension_not_kept"]
    assert why(["a.py", "b.swift", "c.go", "d.bison"], Language(keep=["stack86", "swift"])) == [
        None, None, None, "language_not_kept",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (["pyhton"], "no language has the name `pyhton`; did you mean `python`?"),
        (["C++"], "no language has the name `C++`; write `cpp`"),
        (["Jupyter Notebook"], "write `jupyter-notebook`"),
        ("stack68", "`stack68` is not `stack86`, `all` or a list; did you mean `stack86`?"),
        ("python", "one language is a list too: write [python]"),
    ],
)
def test_unknown_languages_are_told_at_once(keep, message):
    with pytest.raises(ValidationError, match=re.escape(message)):
        Language(keep=keep)


def test_what_is_written_stands_in_the_batch():
    batch = pa.record_batch(
        {
            "id": pa.array(["1", "2"], TEXT),
            "content": pa.array(["", ""], TEXT),
            "path": pa.array(["x.py", "y.zzz"], TEXT),
        }
    )
    ledger = Ledger("code")
    left = Language().run(batch, ledger)
    assert left.to_pylist() == [{"id": "1", "content": "", "path": "x.py", "language": "python", "extension": "py"}]
    assert ledger.table().select(["id", "step", "reason"]).to_pylist() == [
        {"id": "2", "step": "language", "reason": "unknown_extension"}
    ]
    assert pickle.loads(pickle.dumps(Language(keep=["go"]))) == Language(keep=["go"])


def test_folders_of_names():
    names = [
        "C#",
        "c-sharp",
        "F#",
        "C++",
        "cpp",
        "Jupyter Notebook",
        "Java_Server_Pages",
        "FORTRAN",
        "PLpgSQL",
        "SQLPL",
    ]
    expected = ["c-sharp", "c-sharp", "f-sharp", "cpp", "cpp", "jupyter-notebook", "java-server-pages", "fortran"]
    assert folder_of(pa.array([*names, "M4Sugar", None, "New Thing", "C#"], TEXT)).to_pylist() == [
        *expected, "sql", "sql", "m4", None, "new-thing", "c-sharp",
    ]  # fmt: skip
    assert folder_of(pa.array([], pa.string())).to_pylist() == []
    assert folder_of(pa.nulls(2)).to_pylist() == [None, None]
