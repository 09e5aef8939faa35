"""Languages in which a notebook can be written as a script: their names, extensions and comments."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple


class ScriptLanguage(NamedTuple):
    """A language that can carry the rest of a notebook in its comments."""

    name: str
    """As The Stack's folders have it, where they do."""
    extensions: tuple[str, ...]
    """Endings of its files without their dot; the first is the one that is written."""
    comment: str
    close: str = ""
    """What ends a comment that does not end with its line."""
    names: tuple[str, ...] = ()
    """What kernels and cell magics call it besides, in lower case."""
    labels: tuple[str, ...] = ()
    """What Magika calls it, where that is not its name."""

    @property
    def extension(self) -> str:
        return self.extensions[0]

    def commented(self, line: str) -> str:
        """The line as a comment."""
        end = f" {self.close}" if self.close else ""
        return f"{self.comment} {line}{end}" if line else f"{self.comment}{end}"


_L = ScriptLanguage
OF_JUPYTEXT = (
    _L("python", ("py",), "#", names=("python2", "python3", "ipython", "pypy")),
    _L("coconut", ("coco",), "#"),
    _L("r", ("r", "R"), "#", names=("ir",)),
    _L("julia", ("jl",), "#"),
    _L("cpp", ("cpp", "cc", "cxx"), "//", names=("c++", "c++11", "c++14", "c++17", "c++20", "c++23", "xcpp")),
    _L("scheme", ("scm", "ss"), ";;", names=("calysto_scheme",)),
    _L("clojure", ("clj",), ";;"),
    _L("shell", ("sh",), "#", names=("bash", "sh", "zsh")),
    _L("powershell", ("ps1",), "#"),
    _L("q", ("q",), "/"),
    _L("matlab", ("m",), "%", names=("octave",)),
    _L("mathematica", ("wolfram", "wl"), "(*", "*)", names=("wolfram language", "wolfram")),
    _L("idl", ("pro",), ";", names=("gdl",)),
    _L("javascript", ("js", "mjs"), "//", names=("js", "node", "ecmascript")),
    _L("typescript", ("ts", "tsx"), "//"),
    _L("scala", ("scala", "sc"), "//"),
    _L("rust", ("rs",), "//"),
    _L("robotframework", ("robot", "resource"), "#", names=("robot framework",)),
    _L("c-sharp", ("cs", "csx"), "//", names=("c#", "csharp"), labels=("cs",)),
    _L("f-sharp", ("fsx", "fs"), "//", names=("f#", "fsharp")),
    _L("sos", ("sos",), "#"),
    _L("java", ("java",), "//"),
    _L("groovy", ("groovy",), "//", labels=("groovy", "gradle")),
    _L("sage", ("sage",), "#", names=("sagemath",)),
    _L("ocaml", ("ml",), "(*", "*)"),
    _L("haskell", ("hs",), "--"),
    _L("tcl", ("tcl",), "#"),
    _L("maxima", ("mac",), "/*", "*/"),
    _L("gnuplot", ("gp",), "#"),
    _L("stata", ("do",), "//"),
    _L("sas", ("sas",), "/*", "*/"),
    _L("jenner", ("jenner",), "/*", "*/"),
    _L("xonsh", ("xsh",), "#"),
    _L("logtalk", ("lgt", "logtalk"), "%"),
    _L("lua", ("lua",), "--"),
    _L("go", ("go",), "//", names=("golang",)),
)
"""The languages that jupytext 1.19 writes."""
LANGUAGES = (
    *OF_JUPYTEXT,
    _L("c", ("c",), "//"),
    _L("common-lisp", ("lisp",), ";;", names=("common lisp",), labels=("lisp",)),
    _L("dart", ("dart",), "//"),
    _L("elixir", ("exs", "ex"), "#"),
    _L("erlang", ("erl",), "%"),
    _L("fortran", ("f90",), "!"),
    _L("kotlin", ("kts", "kt"), "//"),
    _L("perl", ("pl",), "#", names=("perl5",)),
    _L("php", ("php",), "//"),
    _L("prolog", ("prolog",), "%"),
    _L("ruby", ("rb",), "#"),
    _L("sql", ("sql",), "--", names=("postgresql", "sqlite", "mysql")),
    _L("swift", ("swift",), "//"),
    _L("zig", ("zig",), "//"),
)
"""Those, and others that have kernels."""


@cache
def by_extension() -> dict[str, ScriptLanguage]:
    """The languages by the endings of their files, without the dot."""
    return {extension: language for language in LANGUAGES for extension in language.extensions}


@cache
def by_name() -> dict[str, ScriptLanguage]:
    """The languages by all that they are called, in lower case."""
    return {name: language for language in LANGUAGES for name in (language.name, *language.names)}


@cache
def by_label() -> dict[str, ScriptLanguage]:
    """The languages by what Magika calls them."""
    return {label: language for language in LANGUAGES for label in language.labels or (language.name,)}
