"""How comments and strings are written in each language: the table that `ops/comment_scan.py` reads.

A language is a list of regions. Outside of all of them, the first that opens at a place takes the text up to where it
closes; only comments count. Strings and regular expressions are listed because nothing opens a comment in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

ANYWHERE, LINE_START, COLUMN_ONE, WORD_START, OPERAND, CHARACTER = range(6)
"""Where a region may open: at any place; first on its line, or in its first column; behind a blank or a bracket; where
a value is due (a `/` that is no division); where a character in quotes closes again (a `'` that is no lifetime)."""

END_OF_LINE = ""
WIDTH = 6
"""Bytes that an opening or closing may have."""


@dataclass(frozen=True)
class Region:
    """A comment or a string: what opens and closes it and where."""

    opens: str
    closes: str
    comment: bool
    where: int = ANYWHERE
    nests: bool = False
    escape: str = ""
    """The character that takes its meaning from the next one."""
    lines: bool = True
    """Whether it may go over several lines; one that may not and does not close is no region at all."""
    brackets: bool = False
    """Whether it cannot close within `[...]`, as regular expressions cannot."""


def line(opens: str, where: int = ANYWHERE) -> Region:
    """A comment up to the end of its line."""
    return Region(opens, END_OF_LINE, True, where)


def block(opens: str, closes: str, nests: bool = False, where: int = ANYWHERE) -> Region:
    """A comment between two marks."""
    return Region(opens, closes, True, where, nests)


def quote(opens: str, closes: str = "", lines: bool = False, escape: str = "\\", where: int = ANYWHERE) -> Region:
    """A string between two marks, which are the same unless the second is given."""
    return Region(opens, closes or opens, False, where, escape=escape, lines=lines)


SLASHES, STARS, NESTED_STARS = line("//"), block("/*", "*/"), block("/*", "*/", nests=True)
C = (SLASHES, STARS)
DOUBLE, SINGLE, LETTER = quote('"'), quote("'"), quote("'", where=CHARACTER)
QUOTES = (DOUBLE, SINGLE)
TRIPLE = (quote('"""', lines=True), quote("'''", lines=True))
LONG, TRIPLE_RAW = quote('"', lines=True), quote('"""', lines=True, escape="")
BACKTICK, RAW = quote("`", lines=True), quote("`", lines=True, escape="")
PLAIN = (quote('"', escape="", lines=True), quote("'", escape="", lines=True))
REGEX = Region("/", "/", False, OPERAND, escape="\\", lines=False, brackets=True)
HASH, SHELL_HASH = line("#"), line("#", WORD_START)
DASHES, PERCENT, SEMICOLON = line("--"), line("%"), line(";")
ML = block("(*", "*)", nests=True)
MULTIPLY = Region("(*)", END_OF_LINE, False)  # F#'s operator opens no comment
MARKUP = block("<!--", "-->")
LISP = (SEMICOLON, block("#|", "|#", nests=True), LONG)
HASKELL = (block("{-", "-}", nests=True), DASHES, DOUBLE)
PODS = tuple(block(opens, "\n=cut", where=COLUMN_ONE) for opens in ("=pod", "=head", "=over", "=begin", "=item"))
YAML_QUOTES = (quote('"', where=WORD_START), quote("'", escape="", where=WORD_START))

REGIONS: dict[str, tuple[Region, ...]] = {
    "c cpp cuda glsl hlsl opencl objective-c objective-c++ arduino": (*C, quote('R"(', ')"', True, ""), *QUOTES),
    "java processing": (*C, TRIPLE[0], *QUOTES),
    "groovy": (*C, *TRIPLE, *QUOTES, REGEX),
    "javascript typescript": (line("#!", COLUMN_ONE), *C, *QUOTES, BACKTICK, REGEX),
    "actionscript antlr haxe protocol-buffer solidity vala yacc": (*C, *QUOTES),
    "bluespec systemverilog verilog": (*C, DOUBLE),
    "c-sharp": (*C, TRIPLE_RAW, *(quote(q, '"', True, "") for q in ('@"', '$@"')), *QUOTES),
    "go": (*C, *QUOTES, RAW),
    "rust": (SLASHES, NESTED_STARS, *(quote(a, b, True, "") for a, b in (('r"', '"'), ('r#"', '"#'))), LONG, LETTER),
    "kotlin scala swift": (SLASHES, NESTED_STARS, TRIPLE_RAW, DOUBLE, LETTER),
    "dart": (SLASHES, NESTED_STARS, *TRIPLE, *QUOTES),
    "d": (*C, block("/+", "+/", nests=True), LONG, RAW, LETTER),
    "zig": (SLASHES, Region("\\\\", END_OF_LINE, False), *QUOTES),
    "php": (quote("?>", "<?", True, ""), quote("#[", "]", True, ""), *C, HASH, LONG, quote("'", lines=True)),
    "css": (STARS, *QUOTES),
    "scss less stylus": (quote("url(", ")", escape=""), *C, *QUOTES),
    "stan thrift": (*C, HASH, *QUOTES),
    "alloy": (*C, DASHES),
    "ruby": (block("=begin", "\n=end", where=COLUMN_ONE), HASH, LONG, quote("'", lines=True), REGEX),
    "crystal": (HASH, LONG, LETTER, REGEX),
    "perl": (*PODS, SHELL_HASH, *QUOTES),
    "shell tcsh": (SHELL_HASH, DOUBLE, quote("'", escape="")),
    "powershell": (block("<#", "#>"), SHELL_HASH, quote('"', escape="`"), quote("'", escape="")),
    "makefile sparql turtle": (SHELL_HASH,),
    "dockerfile tcl": (line("#", LINE_START),),
    "cmake": (block("#[[", "]]"), HASH, LONG),
    "yaml": (SHELL_HASH, *YAML_QUOTES),
    "toml": (HASH, *TRIPLE, DOUBLE, quote("'", escape="")),
    "r": (HASH, LONG, quote("'", lines=True), quote("`", escape="")),
    "julia": (block("#=", "=#", nests=True), HASH, TRIPLE[0], LONG, LETTER),
    "elixir": (HASH, *TRIPLE, LONG, SINGLE),
    "coffeescript": (block("###", "###"), HASH, *TRIPLE, LONG, quote("'", lines=True), quote("///", lines=True), REGEX),
    "awk": (HASH, DOUBLE, REGEX),
    "nix": (HASH, STARS, quote("''", lines=True, escape=""), LONG),
    "sql": (DASHES, STARS, *PLAIN, quote("`", escape="")),
    "haskell purescript": (*HASKELL, LETTER),
    "agda elm idris": HASKELL,
    "lean": (block("/-", "-/", nests=True), DASHES, LONG),
    "lua": (block("--[[", "]]"), block("--[=[", "]=]"), DASHES, quote("[[", "]]", True, ""), *QUOTES),
    "ada": (DASHES, quote('"', escape=""), LETTER),
    "vhdl": (DASHES, STARS, quote('"', escape=""), LETTER),
    "applescript": (ML, DASHES, HASH, DOUBLE),
    "ocaml augeas": (ML, LONG, LETTER),
    "standard-ml isabelle mathematica": (ML, LONG),
    "f-sharp": (MULTIPLY, ML, SLASHES, TRIPLE_RAW, quote('@"', '"', True, ""), LONG, LETTER),
    "pascal": (SLASHES, block("{", "}"), block("(*", "*)"), quote("'", escape="")),
    "maple": (ML, HASH, DOUBLE, quote("`")),
    "tex": (PERCENT,),
    "erlang": (PERCENT, LONG, SINGLE),
    "prolog": (PERCENT, STARS, *QUOTES),
    "matlab octave": (block("%{", "%}", where=LINE_START), PERCENT, quote('"'), quote("'", escape="", where=OPERAND)),
    "common-lisp scheme racket": LISP,
    "clojure emacs-lisp": (SEMICOLON, LONG),
    "assembly": (SEMICOLON, *QUOTES),
    "visual-basic": (line("'"), *(line(r, LINE_START) for r in ("Rem ", "REM ", "rem ")), quote('"', escape="")),
    "batchfile": tuple(line(r, LINE_START) for r in ("::", "rem ", "REM ", "Rem ", "@rem ", "@REM ", "@Rem ")),
    "html xml xslt svg markdown": (MARKUP,),
    "java-server-pages": (block("<%--", "--%>"), MARKUP),
    "smalltalk": (Region('"', '"', True), quote("'", escape="", lines=True)),
    "stata": (line("*", LINE_START), *C, DOUBLE),
    "sas": (block("*", ";", where=LINE_START), block("%*", ";"), STARS, *PLAIN),
    "viml": (line('"', LINE_START),),
}

_LISPS = ("clojure", "common-lisp", "emacs-lisp", "racket", "scheme")
ESCAPES = {
    **dict.fromkeys((*_LISPS, "makefile", "perl", "ruby", "shell", "tcsh", "tex"), "\\"),
    "erlang": "$",
    "powershell": "`",
}
"""What takes the meaning from the next character outside of strings too: `\\%`, `\\#`, `#\\"`."""

BEGINNINGS = {"php": "<?"}
"""What a file's code begins with, where text may stand before."""

LANGUAGES = tuple(name for names in REGIONS for name in names.split())
"""The languages of the table, by The Stack's folder names; Python's comments have a kernel of their own."""


@dataclass(frozen=True)
class Tables:
    """The regions as arrays: a row for each language, and in it a column for each region, longest openings first."""

    begins: np.ndarray[Any, Any]
    """Whether a byte may begin a region or is an escape, by language and byte."""
    marks: np.ndarray[Any, Any]
    """The bytes of what opens (0) and closes (1) a region."""
    widths: np.ndarray[Any, Any]
    """How many bytes those are; 0 for a region that is not there, or closes with its line."""
    traits: np.ndarray[Any, Any]
    """`comment, where, nests, escape, lines, brackets` of each region."""
    escapes: np.ndarray[Any, Any]
    """The byte that escapes outside of regions, 0 where there is none."""
    first: np.ndarray[Any, Any]
    """The bytes that a language's code begins with, zeros where it begins at once."""


@cache
def tables() -> Tables:
    """The table in the form that the kernel reads."""
    rows: list[list[Region]] = [
        sorted(REGIONS[names], key=lambda r: -len(r.opens)) for names in REGIONS for _ in names.split()
    ]
    shape = len(rows), max(map(len, rows))
    begins, escapes = np.zeros((len(rows), 256), np.bool_), np.zeros(len(rows), np.uint8)
    marks, widths = np.zeros((*shape, 2, WIDTH), np.uint8), np.zeros((*shape, 2), np.int64)
    traits, first = np.zeros((*shape, 6), np.int64), np.zeros((len(rows), 2), np.uint8)
    for n, (name, regions) in enumerate(zip(LANGUAGES, rows, strict=True)):
        escapes[n] = ord(ESCAPES.get(name, "\0"))
        begins[n, escapes[n]] = escapes[n] != 0
        first[n] = list(BEGINNINGS.get(name, "\0\0").encode())
        for k, region in enumerate(regions):
            begins[n, ord(region.opens[0])] = True
            for side, mark in enumerate((region.opens, region.closes)):
                widths[n, k, side] = len(mark)
                marks[n, k, side, : len(mark)] = list(mark.encode())
            escape = ord(region.escape or "\0")
            traits[n, k] = region.comment, region.where, region.nests, escape, region.lines, region.brackets
    return Tables(begins, marks, widths, traits, escapes, first)
