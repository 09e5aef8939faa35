"""Notebooks as scripts in jupytext's light format: code stays code, and all else is commented.

What is written equals, byte for byte, what jupytext 1.19 writes without metadata, but in OCaml, Mathematica, Maxima and
SAS, whose comments it leaves open around cells. A cell is set apart by a blank line; one that would be read back as
several, or as another kind, stands between `# +` and `# -`. Magics are commented, since no compiler knows them.

Reference:
    https://jupytext.readthedocs.io/en/latest/formats-scripts.html
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

from ops.notebooks import Cell
from ops.script_languages import OF_JUPYTEXT, ScriptLanguage

Lines = list[str]

_BLANK_LINE = re.compile(r"\n[^\S\n]*(?:\n|\Z)")

_OWN_NAMES = {
    "shell": "bash",
    "cpp": "c++",
    "c-sharp": "csharp",
    "f-sharp": "fsharp",
    "r": "R",
    "mathematica": "wolfram language",
}
_KNOWN = {_OWN_NAMES.get(each.name, each.name): each for each in OF_JUPYTEXT}
"""The languages by jupytext's names."""
_OTHER_MAGICS = """
sh python2 python3 js perl html latex markdown pypy ruby script svg octave spark sql cython c# f# cs fs
"""
_CELL_LANGUAGES = frozenset([*_KNOWN, *_OTHER_MAGICS.split()])
"""Cell magics that say which language a cell is in."""
_SYNONYMS = {"octave": "matlab", "cs": "csharp", "c#": "csharp", "fs": "fsharp", "f#": "fsharp"}


def script(cells: Sequence[Cell], language: ScriptLanguage) -> str:
    """The script of a notebook in this language."""
    writer = _Writer(language)
    pieces = [writer.piece(cell) for cell in cells]
    if cells and (header := _header(cells[0])):
        pieces[0] = _Piece([language.commented(line) for line in header], False)
    lines: deque[str] = deque()
    # From the end, since how a cell ends depends on what follows.
    for piece in reversed(pieces):
        text = writer.ended(piece, lines)
        lines.extendleft([""] * writer.blank_lines(text, lines, piece.defines))
        lines.extendleft(reversed(text))
    return "\n".join(lines)


class _Piece(NamedTuple):
    """The lines of a cell as they are written."""

    lines: Lines
    is_code: bool
    defines: bool = False
    """Whether a line may begin a function or class."""


def _split(source: str) -> Lines:
    lines = source.splitlines() or [""]
    return [*lines, ""] if source.endswith("\n") else lines


def _header(cell: Cell) -> Lines | None:
    """The lines of a raw cell that holds YAML, as other tools put it on top."""
    lines = cell.source.strip("\n\t ").splitlines() if cell.kind == "raw" else []
    if len(lines) < 2 or not all(re.match(r"---\s*$", line) for line in (lines[0], lines[-1])):
        return None
    return ["---", *lines[1:-1], "---"]


def _text(lines: Lines) -> str:
    """The lines as a text in which each follows a newline: a look at it spares most cells a look at their lines."""
    return "\n" + "\n".join(lines)


class _Writer:
    def __init__(self, language: ScriptLanguage) -> None:
        self.language = language
        self.name = _OWN_NAMES.get(language.name, language.name)
        comment = re.escape(language.comment)
        self.marker = re.compile(rf"({comment} |{comment})*({comment}|{comment} )\+")
        self.start = f"{language.comment} +"
        self.end_begins = f"{language.comment} -"
        self.end = language.commented("-")

    # --- cells ---

    def piece(self, cell: Cell) -> _Piece:
        """The lines of a cell, between markers where it takes them, and whether it is treated as code."""
        lines = _split(cell.source)
        name, options = self._magic_language(lines)
        if self.name == name == "go":
            lines = [re.sub(r"^(//\s*)*(%%\s*$|%%\s+-.*$)", r"\1//gonb:\2", line) for line in lines]
        if cell.kind == "markdown":
            lines = self._commented(self._without_magics(lines, _text(lines), name, explicit=False))
            if not options:
                return _Piece(lines, False)
        if cell.kind == "raw":
            options["active"] = ""
        active = cell.kind != "raw" and _usual(name) == self.name
        text = _text(lines)
        written = self._escaped(lines, text, name)
        if cell.kind != "raw":
            written = self._without_magics(written, text, name, explicit=True)
        if not active:
            written = self._commented(written)
        if options or (active and self._asks_for_help(lines, text)) or self._needs_markers(lines, written):
            written = self._between_markers(written, options, "[markdown]" if cell.kind == "markdown" else "")
        defines = any(f"\n{word}" in text for word in _DEFINITION)
        return _Piece(written, True, defines)

    def _between_markers(self, lines: Lines, options: dict[str, Any], kind: str) -> Lines:
        end = "-"
        ends = {line.rstrip() for line in lines if line.startswith(self.end_begins)}
        while f"{self.language.comment} {end}" in ends:
            end += "-"
        if end != "-":
            options["endofcell"] = end
        told = [f"{key}={json.dumps(value)}" for key, value in options.items()]
        start = " ".join(filter(None, ["+", kind, *told]))
        return [self.language.commented(start), *lines, self.language.commented(end)]

    def _magic_language(self, lines: Lines) -> tuple[str, dict[str, Any]]:
        """The language of a cell; a magic that names it is taken off the lines and told in the options."""
        first = lines[0]
        if self.name == "go" and re.match(r"%%\s*$|%%\s+-.*$", first):
            return self.name, {}
        named, arguments = "", ""
        if self.name == "csharp":
            named = first[2:].strip() if first.startswith("#!") else ""
        elif first.startswith("%%"):
            named, _, arguments = first[2:].partition(" ")
        if named not in _CELL_LANGUAGES:
            return self.name, {}
        del lines[0]
        return named, {**({"magic_args": arguments} if arguments else {}), "language": named}

    def _commented(self, lines: Lines) -> Lines:
        sign, end = self.language.comment, f" {self.language.close}" if self.language.close else ""
        empty = sign + end
        return [f"{sign} {line}{end}" if line else empty for line in lines]

    def _escaped(self, lines: Lines, text: str, name: str) -> Lines:
        """The lines with those commented once more that would be taken for markers."""
        if self.start not in text and f"{self.language.comment}+" not in text:
            return lines
        return [
            self.language.commented(line) if not inside and self.marker.match(line) else line
            for line, inside in zip(lines, _quoted(lines, name), strict=True)
        ]

    def _without_magics(self, lines: Lines, text: str, name: str, explicit: bool) -> Lines:
        magics = _magics(_usual(name))
        if magics is None or not magics.may_be_in(text):
            return lines
        out, follows = [], False
        for line, inside in zip(lines, _quoted(lines, name), strict=True):
            if inside or not (follows or magics.match(line, explicit)):
                out.append(line)
                continue
            # What goes on from a magic on the line before is commented where it begins.
            code = line if follows else line.lstrip()
            out.append(line[: len(line) - len(code)] + magics.commented(code))
            follows = magics.is_python and bool(re.match(r".*\\\s*$", line))
        return out

    def _asks_for_help(self, lines: Lines, text: str) -> bool:
        """Whether a line is a magic only because it stands in code: `name?`."""
        magics = _magics(self.name)
        if magics is None or not magics.is_python or "?" not in text:
            return False
        return any(
            not inside and magics.match(line, True) and not magics.match(line, False)
            for line, inside in zip(lines, _quoted(lines, self.name), strict=True)
        )

    def _needs_markers(self, lines: Lines, written: Lines) -> bool:
        """Whether a cell without markers would be read back as something else."""
        if all(line.startswith(self.language.comment) for line in lines):
            return True
        if not _BLANK_LINE.search(_text(written)):
            return False
        end = self._read_end(written)
        if end + 1 < len(written) and not written[end].strip() and written[end + 1].strip():
            end += 1
        return end < len(written)

    def _read_end(self, lines: Lines) -> int:
        """How many lines a reader would take for the first cell, with the blank one behind it."""
        blank = [n for n, line in enumerate(lines) if not line.strip()]
        if blank and blank[0] and self._is_prose(lines[: blank[0]]):
            return blank[0] + 1
        quoted = _quoted(lines, self.name)
        for n in blank:
            follows = next((line for line in lines[n:] if line.strip()), "")
            if quoted[n] or follows[:1].isspace():
                continue
            if n:
                return n + 1
            return 1 if len(lines) > 1 and lines[1].strip() else 2
        return len(lines)

    def _is_prose(self, lines: Lines) -> bool:
        """Whether a paragraph is all comment, and none of it a magic that was commented."""
        comment, magics = self.language.comment, _magics(self.name)
        for line in lines:
            if not line.startswith(comment):
                return False
            if line[len(comment) :].lstrip().startswith(comment):
                continue
            if magics is not None and magics.match(line, False):
                return False
        return True

    # --- between cells ---

    def ended(self, piece: _Piece, following: Sequence[str]) -> Lines:
        """The lines of a cell with its end marker as what follows asks for."""
        lines = piece.lines
        if not piece.is_code or not lines or lines[-1] != self.end:
            return lines
        if not following or following[0].startswith(self.start):
            return lines[:-1]
        apart = self.blank_lines(lines[:-1], following, piece.defines)
        return [*lines[:-1], *[""] * (2 if apart > 1 else 0), lines[-1]]

    def blank_lines(self, lines: Lines, following: Sequence[str], defines: bool) -> int:
        """How many blank lines stand between two cells; in Python two around functions and classes."""
        if not following:
            return 1
        if not lines:
            return 0
        if self.name != "python":
            return 1
        if defines and _ends_with_definition(lines):
            return 2 if _has_code(following) else 1
        ends_with_code = bool(lines[-1].strip()) and not lines[-1].startswith("#")
        return 2 if ends_with_code and _begins_with_definition(following) else 1


# --- magics -------------------------------------------------------------------------------------------------------


class _Magics:
    """What lines of a language are for Jupyter only."""

    def __init__(self, name: str, language: ScriptLanguage) -> None:
        self.language, self.is_python = language, name == "python"
        comment = re.escape(language.comment)
        sign = {"rust": ":", "csharp": "#!", "go": r"(!|!\*|%|%%|%%%)"}.get(name, "(%|%%|%%%)")
        blank = "" if name in ("rust", "csharp", "go") else r"\s*"
        self.sign = re.compile(rf"{blank}({comment} |{comment})*{sign}[a-zA-Z]")
        self.forced = re.compile(rf"{self.sign.pattern}(.*){comment}\s*escape")
        self.barred = re.compile(rf"{self.sign.pattern}(.*){comment}\s*noescape")
        self.signs = "%!?" if self.is_python else {"rust": ":", "csharp": "#", "go": "!%"}.get(name, "%")

    def may_be_in(self, text: str) -> bool:
        """Whether a text in which each line follows a newline may have magics."""
        return any(sign in text for sign in self.signs) or (self.is_python and bool(_COMMAND_HINT.search(text)))

    def commented(self, code: str) -> str:
        """A magic as a comment of its language, whatever language is around it."""
        return f"{self.language.comment} {code}" + (f" {self.language.close}" if self.language.close else "")

    def match(self, line: str, explicit: bool) -> bool:
        """Whether the line is a magic; `explicit` says that it is known to be of a code cell."""
        if self.sign.match(line):
            return bool(self.forced.match(line)) or not self.barred.match(line)
        if not self.is_python:
            return False
        return any(p.match(line) for p in _PYTHON) or (explicit and bool(_HELP.match(line)))


_PYTHON = (
    # `?name` and `!command`
    re.compile(r"\s*(?:(?:# |#)+\s*)?(\?|!)\s*[A-Za-z\.\~\$\\\/\{\}]"),
    # `files = !ls`
    re.compile(r"(# |#)*\s*([a-zA-Z_][a-zA-Z_$0-9]*)\s*=\s*(%|%%|%%%|!)[a-zA-Z](.*)"),
    # commands that IPython knows without a sign
    re.compile(r"(# |#)*(cat|cd|cp|mv|rm|rmdir|mkdir|copy|ddir|echo|ls|ldir|ren)($|\s$|\s[^=,])"),
)
_HELP = re.compile(r"\s*(# )*[^\s]*\?\s*$")
_COMMAND_HINT = re.compile(r"\n(?:# |#)*(?:c[adop]|mv|rm|mk|ddir|echo|l[ds]|ren)")


@cache
def _magics(name: str) -> _Magics | None:
    if name in ("matlab", "sas", "jenner", "logtalk") or name not in _KNOWN:
        return None
    return _Magics(name, _KNOWN[name])


def _usual(name: str) -> str:
    return _SYNONYMS.get(name.lower(), name)


# --- strings of several lines -------------------------------------------------------------------------------------


def _quoted(lines: Lines, name: str) -> list[bool]:
    """Which lines begin inside a string of several lines, as jupytext has it: between triple quotes."""
    text = "\n".join(lines)
    if name == "R" or ('"""' not in text and "'''" not in text):
        return [False] * len(lines)
    comment = _KNOWN[name].comment if name in _KNOWN else None
    out, quote = [], ""
    for line in lines:
        out.append(bool(quote))
        if quote or comment is None or not line.lstrip().startswith(comment):
            quote = _quote_after(line, quote, comment)
    return out


@cache
def _signs(comment: str | None) -> re.Pattern[str]:
    return re.compile("[\"']" + (f"|{re.escape(comment)}" if comment else ""))


def _quote_after(line: str, quote: str, comment: str | None) -> str:
    """The triple quotes that are open at the end of a line, if any."""
    single, last = "", -1
    for sign in _signs(comment).finditer(line):
        at, char = sign.start(), sign[0]
        if char not in ('"', "'"):
            if not single and not quote:
                break
            continue
        if line[at - 1 : at] == "\\":
            continue
        if single:
            single = "" if single == char else single
        elif at >= max(2, last + 3) and line[at - 2 : at + 1] == 3 * char:
            if quote in ("", char):
                quote, last = "" if quote else char, at
        elif not quote:
            single = char
    return quote


# --- definitions in Python ----------------------------------------------------------------------------------------

_DEFINITION = ("def ", "async ", "class ")


def _begins_with_definition(lines: Iterable[str]) -> bool:
    quote, blank = "", False
    for line in lines:
        inside = bool(quote)
        if inside or (('"""' in line or "'''" in line) and not line.lstrip().startswith("#")):
            quote = _quote_after(line, quote, "#")
        was_blank, blank = blank, not line.strip()
        if inside:
            continue
        if blank:
            if was_blank:
                return False
        elif line.startswith(_DEFINITION):
            return True
        elif not line.startswith(("#", "@", " ", ")")):
            return False
    return False


def _ends_with_definition(lines: Lines) -> bool:
    outside = [line for line, inside in zip(lines, _quoted(lines, "python"), strict=True) if not inside]
    blank = False
    for line in reversed(outside):
        was_blank, blank = blank, not line.strip()
        if blank:
            if was_blank:
                return False
        elif not line.startswith(("#", " ", ")")):
            return line.startswith(_DEFINITION)
    return False


def _has_code(lines: Iterable[str]) -> bool:
    blank = False
    for line in lines:
        was_blank, blank = blank, not line.strip()
        if blank and was_blank:
            return False
        if not blank and not line.lstrip().startswith("#"):
            return True
    return False
