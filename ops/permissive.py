"""Keeps files under permissive licences."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import field_validator

from engine.errors import did_you_mean
from engine.op import Filter, Reasons, absent, reasons
from engine.schema import TEXT, Strings
from ops.spdx import canonical, fold, licensing, parse

Verdict = Literal["permissive", "not_permissive", "unknown"]


@cache
def listed() -> frozenset[str]:
    """The permissive SPDX ids: the Blue Oak Council's, bronze and better, CPython's, and those of the public domain."""
    data = json.loads((Path(__file__).parent / "data" / "permissive.json").read_text(encoding="utf-8"))
    return frozenset(i for ids in data.values() if isinstance(ids, list) for i in ids)


def verdict(expression: str | None, permissive: Callable[[str], bool]) -> Verdict:
    """What an SPDX expression allows, given which ids are permissive: of `OR` one is enough, `AND` takes all.

    An exception (`WITH`) gives more leave, so the licence before it decides, and so it does under a `+`. What is null
    or malformed is unknown, and a name that SPDX does not know is, where it matters: `MIT OR Foo` is permissive,
    `GPL-3.0-only AND Foo` is not, `MIT AND Foo` is unknown.
    """
    tree = parse(expression) if expression else None
    if tree is None:
        return "unknown"

    def leaf(license: str, _: str | None) -> float:
        if permissive(license) or (license.endswith("+") and permissive(license[:-1])):
            return 1
        known = canonical(license)
        # ScanCode's `LicenseRef-scancode-unknown-license-reference` and its like say that it could not tell.
        return 0.5 if known is None or "unknown" in known else 0

    level = fold(tree, leaf, lambda is_and, parts: min(parts) if is_and else max(parts))
    return "permissive" if level == 1 else "unknown" if level == 0.5 else "not_permissive"


def verdicts(license: pa.Array, permissive: Callable[[str], bool]) -> pa.Array:
    """A column of verdicts over a column of expressions, each of which is read once."""
    encoded: Any = license.dictionary_encode()
    known = [*(verdict(e, permissive) for e in encoded.dictionary.to_pylist()), "unknown"]
    return pa.array(known, TEXT).take(encoded.indices.fill_null(len(known) - 1))


def is_permissive(license: pa.Array) -> pa.Array:
    """Which expressions of a column are permissive by the shipped list; what is unknown is not."""
    return _equal(verdicts(license, _ids(listed()).__contains__), "permissive")


def _equal(column: pa.Array, verdict: Verdict) -> pa.Array:
    return pc.equal(column, pa.scalar(verdict, TEXT))


def _ids(names: Iterable[str]) -> frozenset[str]:
    """The ids as they stand and as SPDX writes them today, so that a former id is found under both."""
    return frozenset(i for name in names for i in (name, canonical(name)) if i)


class Permissive(Filter):
    """Drops files whose licence is not permissive.

    Reads the column `license`, one SPDX expression. Permissive are the licences that the Blue Oak Council rates bronze
    or better (list 15), CPython's, and dedications to the public domain. `A OR B` needs one permissive licence,
    `A AND B` both; an exception (`WITH`) changes nothing. Lists of licences, as The Stack's columns hold them, come
    from the source joined by `AND`: all must be permissive. A missing or malformed expression, or one that hangs on a
    name that SPDX does not know, is dropped for `unknown_license`.

    Example:
        - permissive: {unknown: drop, also: [MPL-2.0]}

    Reference:
        Blue Oak Council, license list, https://blueoakcouncil.org/list
    """

    unknown: Literal["drop", "keep"] = "drop"
    """What happens to files whose licence is unknown."""
    also: tuple[str, ...] = ()
    """SPDX ids that count as permissive too."""
    never: tuple[str, ...] = ()
    """SPDX ids that do not count as permissive; goes before `also` and the list."""

    @field_validator("also", "never")
    @classmethod
    def _known(cls, ids: tuple[str, ...]) -> tuple[str, ...]:
        for name in ids:
            if canonical(name) is None:
                close = did_you_mean(name, (str(k) for k in licensing().known_symbols if "LicenseRef" not in k))
                raise ValueError(f"`{name}` is no SPDX licence id{close}")
        return tuple(canonical(name) or name for name in ids)

    @cached_property
    def _permissive(self) -> frozenset[str]:
        return _ids(listed() | set(self.also)) - _ids(self.never)

    def drop(self, license: Strings) -> Reasons[Literal["not_permissive", "unknown_license"]]:
        found = verdicts(license, self._permissive.__contains__)
        unknown = _equal(found, "unknown") if self.unknown == "drop" else pa.array([False] * len(found))
        return reasons(not_permissive=absent(_equal(found, "not_permissive")), unknown_license=absent(unknown))
