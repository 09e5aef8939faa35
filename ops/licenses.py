"""Which licence governs a file: what its package declares, and the licence files above it.

Where several texts lie in one folder, all are taken to apply, unless a short file beside them offers a choice: a
text does not say whether another may be left out, and a corpus must not guess in its own favour.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence

from ops.license_rules import License, Rule, is_rules_file, rules
from ops.license_text import TAKES_BACK, decoded, identify
from ops.spdx import joined, normalise, of_classifiers, spelled, vague

__all__ = ["License", "Licenses", "is_license_file", "normalise"]


_UNKNOWN = License(None, None)

_HINT = re.compile(r"licen[cs]e|copying|copyright|reuse|-info/", re.IGNORECASE)
"""What no path of a licence file is without; most paths are."""
_KIND = r"(?:mit|apache|bsd|[al]?gpl|mpl|isc|zlib|boost|bsl|cc0|unicode|0bsd|python|psf|epl|wtfpl|lesser|lib)[\w.+-]*"
_NAME = re.compile(
    rf"(?:(?:{_KIND}[-_.])?(?:un)?licen[cs]es?|copying)\d?"
    rf"(?:[-_][\w+-]*(?:\.\d+)*|\.{_KIND}|\.[\w.+-]*?(?=\.(?:txt|md|rst)$))?"
    r"(?:\.(?:txt|text|md|mkd|markdown|rst|adoc|asciidoc|textile|org|html?|terms))?"
    r"|copyright(?:\.(?:txt|md|rst))?",
    re.IGNORECASE,
)
_IN_FOLDER = re.compile(r"(?:^|/)licen[cs]es?/[^/]+$", re.IGNORECASE)
_PLAIN = re.compile(r"[^.]+|.*\.(?:txt|text|md|mkd|markdown|rst|html?)|[\w-]*\d\.\d[\w.+-]*", re.IGNORECASE)
_ASIDE = re.compile(
    r"third[-_ .]?part|bundled|depend|vendor|^(?:readme|authors|notice|change|code_of)"
    r"|[-_.](?:docs?|documentation|logos?|fonts?|icons?|images?|art|artwork|assets?|media|data|list|template|header"
    r"|check\w*|page)\b",
    re.IGNORECASE,
)
"""Names of files about other people's work, or about other things than code."""
_INFO = re.compile(
    r"(?:(?P<above>.+)/)?(?P<name>[^/]+?)(?:-[^/]*)?\.(?:dist|egg)-info/(?:licenses/|license_files/)?(?P<rest>.*)"
)
"""Where wheels keep their licence files, with the paths that those had in the source (PEP 639)."""


def is_license_file(path: str) -> bool:
    """Whether a file's name says that it holds the licence of the files beside and below it.

    LICENSE, COPYING and UNLICENSE in their spellings (LICENCE.md, LICENSE-MIT, COPYING.LESSER, MIT-LICENSE.txt), what
    lies in a folder LICENSES, `debian/copyright`, `REUSE.toml`. Not NOTICE, nor LICENSE-THIRD-PARTY and LICENSE-docs.
    """
    if not _HINT.search(path):
        return False
    if "-info/" in path and (info := _INFO.fullmatch(path)):
        path = info["rest"]
    name = path[path.rfind("/") + 1 :]
    named = _NAME.fullmatch(name) or (_IN_FOLDER.search(path) and _PLAIN.fullmatch(name))
    return (named is not None and _ASIDE.search(name) is None) or is_rules_file(path)


class Licenses:
    """The licence of a package or tree, and of each file in it.

    `declared` is what the package's metadata say, `classifiers` its trove classifiers, `texts` its licence files by
    path; paths are relative to the package or tree and divided by `/`. A licence file in a sub-folder, as vendored code
    has it, governs what lies below; so does one that is unknown. At the root, metadata go before classifiers and
    these before texts; a name that leaves the version open, such as `BSD`, is made exact by the text, if that agrees.
    `debian/copyright` and `REUSE.toml` go before all where they name a file more closely than by `*`.
    """

    def __init__(
        self, declared: str | None = None, classifiers: Sequence[str] = (), texts: Mapping[str, bytes] | None = None
    ) -> None:
        self._declared, self._classifiers = declared, tuple(classifiers)
        self._rules: list[Rule] = []
        beside: dict[str, dict[str, bytes]] = {}
        listed: dict[str, dict[str, bytes]] = {}
        for path, text in sorted((texts or {}).items(), key=lambda item: (item[0].count("/"), item[0])):
            found = rules(path, text) if is_rules_file(path) else None
            if found is not None:
                self._rules += found
            elif text.strip() and not path.endswith("REUSE.toml"):
                folder, is_list = _governed(path)
                (listed if is_list else beside).setdefault(folder, {})[path] = _followed(path, text, texts or {})
        # A folder of licence texts only tells what a folder without a text of its own holds.
        self._texts = listed | beside
        self._known: dict[str, License] = {}

    def of(self, path: str) -> License:
        """The licence of one file, by its path in the package or tree."""
        matching = [rule for rule in self._rules if rule.files.fullmatch(path)]
        close = [rule for rule in matching if not rule.everything]
        if close:
            return close[-1].license
        folder = posixpath.dirname(path)
        while folder and folder not in self._texts:
            folder = posixpath.dirname(folder)
        if folder not in self._known:
            self._known[folder] = _together(self._texts[folder]) if folder else self._root()
        known = self._known[folder]
        return matching[-1].license if matching and not folder and known.source != "metadata" else known

    def _root(self) -> License:
        texts = self._texts.get("", {})
        said = normalise(self._declared) if self._declared else None
        if said is None and self._declared and len(self._declared) > 300:
            said = identify(self._declared.encode())  # older tools put the whole text there
        stated = License(said, "metadata") if said else License(of_classifiers(self._classifiers), "classifiers")
        if stated.expression is None:
            return _together(texts) if texts else _UNKNOWN
        names = [self._declared or ""] if said else [c.rpartition("::")[2] for c in self._classifiers]
        if texts and any(map(vague, names)):
            exact = _together(texts)
            if _same_family(stated.expression, exact.expression):
                return exact
        return stated


def _governed(path: str) -> tuple[str, bool]:
    """The folder that a licence file speaks for, and whether it lies in a folder that only lists texts."""
    info = _INFO.fullmatch(path)
    if info is not None:
        # A vendored wheel's files lie in the folder of its name, beside.
        path = info["rest"] if info["above"] is None else f"{info['above']}/{info['name'].lower()}/{info['rest']}"
    folder = posixpath.dirname(path)
    if _IN_FOLDER.search(path) or path.endswith("debian/copyright"):
        return posixpath.dirname(folder), True
    return folder, False


def _followed(path: str, text: bytes, texts: Mapping[str, bytes]) -> bytes:
    """The text, or where it is only the path of another, as archives and git keep links, that other."""
    if len(text) < 200 and b"\n" not in text.strip():
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), decoded(text).strip()))
        return texts.get(target, text)
    return text


_CHOICE = re.compile(r"\beither\b|\bdual[- ]licen|\bat your (?:option|choice|discretion)\b", re.IGNORECASE)
_LONGEST_STATEMENT = 2_000
"""Characters of a file that only says how the texts beside it are meant."""


def _together(texts: Mapping[str, bytes]) -> License:
    """What the licence files of one folder say together; unknown where one of them is."""
    known: dict[str, str] = {}
    statements: list[str] = []
    others: list[str] = []
    for path, text in texts.items():
        name = posixpath.basename(path)
        expression = identify(text) or (spelled(posixpath.splitext(name)[0]) if _IN_FOLDER.search(path) else None)
        if expression is not None:
            known[path] = expression
        elif len(text) <= _LONGEST_STATEMENT and _is_statement(decoded(text), name, texts):
            statements.append(decoded(text))
        elif not name.lower().startswith("copyright"):
            others.append(path)
    if others or not known:
        return License(None, ", ".join(others or texts))
    if any(e.startswith("LGPL-") for e in known.values()):
        # The LGPL is written as an addition to the GPL, whose text lies beside it.
        known = {path: e for path, e in known.items() if not e.startswith("GPL-")}
    choice = any(_CHOICE.search(s) for s in statements)
    return License(joined("OR" if choice else "AND", known.values()), ", ".join(known))


def _is_statement(text: str, name: str, texts: Mapping[str, bytes]) -> bool:
    """Whether a text only says how those beside it are meant: it names one or offers a choice."""
    siblings = [posixpath.basename(path) for path in texts]
    named = any(s != name and s in text for s in siblings)
    return (named or _CHOICE.search(text) is not None) and not TAKES_BACK.search(text)


def _same_family(loose: str, exact: str | None) -> bool:
    """Whether every licence of `exact` is of the family that the loosely named one belongs to, as all `BSD-…` are."""
    family = loose.partition("-")[0] + "-"
    return exact is not None and all(i.strip("()").startswith(family) for i in re.split(r" (?:AND|OR) ", exact))
