"""SPDX licence expressions: read, judge and write them, and turn what people write instead into one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

from boolean.boolean import ParseError
from license_expression import (
    ExpressionError,
    LicenseSymbol,
    LicenseWithExceptionSymbol,
    Licensing,
    get_spdx_licensing,
)

_LONGEST = 20_000
"""Characters; a longer text is no expression."""
_DEEPEST = 40
"""Opening parentheses; trees are walked by recursion."""
_LICENSE_REF = re.compile(r"(?:DocumentRef-[A-Za-z0-9.-]+:)?LicenseRef-[A-Za-z0-9.-]+")
_GNU_EXCEPTED = re.compile(r"([AL]?GPL-\d\.\d\+?)-with-[\w.-]+", re.IGNORECASE)
"""SPDX's former ids such as `GPL-2.0-with-classpath-exception`; the exception only gives more leave."""

_ONE_AT_A_TIME = Lock()
"""The library makes its automaton as it first parses, which threads of one process may not do together."""


@cache
def licensing() -> Licensing:
    """The SPDX licences and exceptions, by their ids and former ids, and ScanCode's `LicenseRef-scancode-…`."""
    return get_spdx_licensing()


@lru_cache(maxsize=1 << 14)
def parse(text: str) -> Any:
    """The expression's tree, with ids spelled as SPDX does; None where it is malformed or empty.

    Names that are no ids stay in the tree as they are: `canonical` tells them.
    """
    if len(text) > _LONGEST or text.count("(") > _DEEPEST:
        return None
    try:
        with _ONE_AT_A_TIME:
            return licensing().parse(text)
    except (ExpressionError, ParseError, IndexError):
        return None


@lru_cache(65_536)
def canonical(name: str) -> str | None:
    """The id as SPDX writes it today (`gpl-2.0+` as `GPL-2.0-or-later`); None where it is no id."""
    tree = parse(name)
    if isinstance(tree, LicenseSymbol) and tree.key in licensing().known_symbols and not tree.is_exception:
        return tree.key
    if name.endswith("+"):
        base = canonical(name[:-1])
        return base and f"{base}+"
    excepted = _GNU_EXCEPTED.fullmatch(name)
    if excepted:
        return canonical(excepted[1])
    return name if _LICENSE_REF.fullmatch(name) else None


def _canonical_with(symbol: LicenseWithExceptionSymbol) -> str | None:
    base, exception = canonical(symbol.license_symbol.key), symbol.exception_symbol
    known = exception.key in licensing().known_symbols and exception.is_exception
    return f"{base} WITH {exception.key}" if base and (known or _LICENSE_REF.fullmatch(exception.key)) else None


def fold(tree: Any, leaf: Callable[[str, str | None], Any], join: Callable[[bool, list[Any]], Any]) -> Any:
    """An expression worked out from its leaves up, by `leaf(license, whole)` and, for operators, `join(is_and, parts)`.

    `license` is a name as it stands, `whole` its id as SPDX writes it, with its exception, or None where unknown.
    """
    if isinstance(tree, LicenseWithExceptionSymbol):
        return leaf(tree.license_symbol.key, _canonical_with(tree))
    if isinstance(tree, LicenseSymbol):
        return leaf(tree.key, canonical(tree.key))
    return join(isinstance(tree, licensing().AND), [fold(part, leaf, join) for part in tree.args])


def spelled(text: str) -> str | None:
    """The expression as SPDX writes it; None where it is malformed or names something that SPDX does not know."""

    def join(is_and: bool, parts: list[Any]) -> Any:
        word = "AND" if is_and else "OR"
        flat = dict.fromkeys(t for p in parts for t in (p[1] if isinstance(p, tuple) and p[0] == word else [p]))
        return None if None in flat else (word, tuple(flat)) if len(flat) > 1 else next(iter(flat))

    def written(term: Any, inside: bool = False) -> str:
        if isinstance(term, str):
            return term
        words = f" {term[0]} ".join(written(t, inside=True) for t in term[1])
        return f"({words})" if inside else words

    tree = parse(text)
    term = fold(tree, lambda _, whole: whole, join) if tree is not None else None
    return written(term) if term is not None else None


def joined(word: str, expressions: Iterable[str]) -> str:
    """The expressions as one, under `AND` or `OR`: each licence once, in their order."""
    parts = list(dict.fromkeys(expressions))
    both = f" {word} ".join(f"({p})" for p in parts)
    return parts[0] if len(parts) == 1 else spelled(both) or both


# --- what people write instead --------------------------------------------------------------------------------------

_NOISE = {"the", "a", "license", "licence", "licenses", "licences", "licensed", "under", "version", "v", "ver", "of"}
_NOISE |= {"agreement", "terms", "style", "file", "see"}
# `gplv2` is three words.
_TOKENS = re.compile(r"v(?=\d)|[a-z]+?(?=v\d)|[a-z]+|\d+|\+")


def _key(text: str) -> str:
    """What is left of a licence's name once case, punctuation and filling words are gone: `apache 2 0`."""
    words = [w for w in _TOKENS.findall(text.lower()) if w not in _NOISE]
    return " ".join(w for n, w in enumerate(words) if n == 0 or w != words[n - 1] or w.isdigit())


@cache
def _names() -> tuple[dict[str, str], frozenset[str]]:
    """Licences by the key of each name, and the keys of names that leave the version open."""
    data = json.loads((Path(__file__).parent / "data" / "license_names.json").read_text(encoding="utf-8"))
    exact = {_key(name): expression for expression, names in data["names"].items() for name in names}
    vague = {_key(name): expression for expression, names in data["vague"].items() for name in names}
    return exact | vague, frozenset(vague)


_GNU = re.compile(
    r"(?:gnu )?(?P<kind>affero|lesser|library|library or lesser|lesser or library)? ?(?:gnu )?"
    r"(?:general public|(?P<short>a|l)?gpl)"
    r"(?: (?P<major>\d)(?: (?P<minor>\d)(?: 0)?)?)?"
    r"(?: (?P<or>\+|only|plus|or (?:at your option )?(?:any )?(?:later|newer|greater|above|higher)(?: versions)?))?"
)
_VERSIONS = {"GPL": ("1.0", "2.0", "3.0"), "LGPL": ("2.0", "2.1", "3.0"), "AGPL": ("1.0", "3.0")}


def _gnu(key: str) -> str | None:
    """The id of a GNU licence's name; without a version it is any, as the licences themselves say."""
    said = _GNU.fullmatch(key)
    if said is None:
        return None
    kind = said["kind"] or ""
    name = "AGPL" if kind == "affero" or said["short"] == "a" else "LGPL" if kind or said["short"] else "GPL"
    if said["major"] is None:
        return f"{name}-{_VERSIONS[name][0]}-or-later"
    version = f"{said['major']}.{said['minor'] or 0}"
    later = said["or"] not in (None, "only")
    return f"{name}-{version}-{'or-later' if later else 'only'}" if version in _VERSIONS[name] else None


_LATER = r"(?!\s*\(?(?:at your option\)?,?\s*)?(?:any\s+)?(?:later|newer|greater|above|higher))"
_SPLITS = (
    ("AND", re.compile(r",\s*and\s+|;\s*", re.I)),
    ("OR", re.compile(r"\s*(?:\|\|?|\band/or\b)\s*|\s+or\s+" + _LATER, re.I)),
    ("AND", re.compile(r"\s+and\s+|\s*&&?\s*|\s*,\s*", re.I)),
    ("OR", re.compile(r"\s*/\s*")),
)
"""What parts the licences of a list, the loosest first; `/` binds closest, as in `MIT/Apache-2.0, ISC`."""

_SAID = 1_000
"""Characters of a statement about licences; longer ones are texts."""

Resolve = Callable[[str], str | None]


def _named(text: str) -> str | None:
    """The expression that a single name stands for."""
    key = _key(text)
    return spelled(text) or _names()[0].get(key) or _gnu(key)


def _enclosed(text: str) -> bool:
    """Whether one pair of parentheses holds all of the text."""
    depth = 0
    for at, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if depth == 0:
            return char == ")" and at == len(text) - 1 and text.startswith("(")
    return False


def _with_aside(text: str, named: Resolve) -> str | None:
    """A name with another in parentheses: both must say the same, or one less; an unknown aside spoils the name."""
    parts = re.fullmatch(r"([^()]+)\(([^()]+)\)([^()]*)", text)
    if parts is None:
        return None
    name, aside = parts[1] + parts[3], parts[2]
    long, short = named(name), named(aside)
    if short is None:
        return long if not _key(aside) else None
    if long is None:
        return spelled(aside)
    if long == short or vague(name):
        return short
    return long if vague(aside) else None


def understood(text: str, named: Resolve = _named) -> str | None:
    """One expression for a statement that joins licences, which `named` knows one by one; None where one is unknown."""
    text = " ".join(text.split()).strip("\"' ,;.")
    if len(text) > _SAID or text.count("(") > _DEEPEST:
        return None
    while _enclosed(text):
        text = text[1:-1].strip()
    known = named(text) or _with_aside(text, named)
    if known is not None:
        return known
    if re.search(r"\sor\s" + _LATER, text, re.I) and not re.search(r"\sand\s", text, re.I):
        text = text.replace(",", " or ").replace("or  or", "or")  # "MIT, ISC or Zlib" offers a choice of three
    for word, split in _SPLITS:
        parts = [part for part in split.split(text) if part.strip()]
        if len(parts) > 1:
            each = [understood(part, named) for part in parts]
            return joined(word, [e for e in each if e]) if all(each) else None
    excepted = re.fullmatch(r"(?P<name>.+?) with .*\bexceptions?", text, re.I)
    # An exception that SPDX has no id for gives more leave, never less: without it the expression says too little.
    return understood(excepted["name"], named) if excepted else None


@lru_cache(16_384)
def normalise(text: str) -> str | None:
    """The SPDX expression of what a package says its licence is, in whatever form; None where that is not clear.

    Takes SPDX itself, names (`Apache License, Version 2.0`, `GPLv2+`, `new BSD`), lists of them, npm's JSON and R's
    `GPL (>= 2) | file LICENSE`. A name that leaves the version open gets the usual one; `vague` tells these apart.
    """
    text = text.strip()
    if text[:1] in ("{", "["):
        return _of_json(text)
    text = re.sub(r"\s*[+|]\s*file\s+LICEN[CS]E\b", "", text, flags=re.I)
    text = re.sub(r"\(\s*>=\s*(\d[\d.]*)\s*\)", r"\1+", text)
    return spelled(text) or understood(text)


def vague(text: str) -> bool:
    """Whether `text` names a family of licences, such as `BSD`, so that a licence text says it better."""
    key = _key(text)
    return key in _names()[1] or (_gnu(key) is not None and re.search(r"\d", key) is None)


def _of_json(text: str) -> str | None:
    """npm's older forms: `{"type": "MIT", "url": …}`, and a list of such, of which one may choose."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        return None
    named = [
        g.get("type") or g.get("name") if isinstance(g, dict) else g
        for g in (given if isinstance(given, list) else [given])
    ]
    each = [normalise(n) if isinstance(n, str) and n[:1] not in ("{", "[") else None for n in named]
    return joined("OR", [e for e in each if e]) if each and all(each) else None


_SAYS_LITTLE = {"License :: OSI Approved", "License :: DFSG approved"}


def of_classifiers(classifiers: Iterable[str]) -> str | None:
    """The expression of a Python package's `License :: …` classifiers; all of several apply, since none says more."""
    given = [c for c in dict.fromkeys(classifiers) if c.startswith("License ::") and c not in _SAYS_LITTLE]
    each = [normalise(c.rpartition("::")[2]) for c in given]
    return joined("AND", [e for e in each if e]) if each and all(each) else None
