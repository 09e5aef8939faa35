"""StarCoder's visual inspection: which (language, extension) pairs are kept, and with which bounds, as columns.

People looked at up to 1,000 files of each pair and wrote down whether to keep the pair and which tests not to hold
against it. Languages that they did not look at are neither refused nor given bounds of their own.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.schema import TEXT

Inspection = Literal["recommended", "starcoder", "none"]
"""Whose verdicts count: `starcoder` takes them as they stand, `recommended` mends `.rkt`, `none` keeps every pair."""
Bounded = Literal["longest_line", "mean_line", "alphanumeric", "alphabetic"]
"""The measures for which a pair may have a bound of its own."""

LANGUAGES = Path(__file__).parent / "data" / "languages.json"
"""The languages, their extensions and what was found when people looked at them."""
MENDED = {("racket", "rkt")}
"""Its verdict was left blank, which lost most of Racket, although the reviewer's note asks for it."""

Table = np.ndarray[Any, Any]
_DEFAULT = np.inf  # in a table of bounds: the pair has no bound of its own; NaN says that the test is off


@cache
def _pairs() -> dict[str, dict[str, dict[str, Any]]]:
    return json.loads(LANGUAGES.read_bytes())["inspection"]


@cache
def _axes() -> tuple[pa.Array, pa.Array]:
    """The languages and extensions that number the rows and columns of a table; what is neither has the last."""
    extensions = sorted({extension for pairs in _pairs().values() for extension in pairs})
    return pa.array(list(_pairs()), TEXT), pa.array(extensions, TEXT)


def _table(value: Any, fill: Any) -> Table:
    """A table of `value(language, extension, pair)` for every inspected pair, and `fill` elsewhere."""
    languages, extensions = _axes()
    row = {name: n for n, name in enumerate(languages.to_pylist())}
    column = {name: n for n, name in enumerate(extensions.to_pylist())}
    table = np.full((len(row) + 1, len(column) + 1), fill)
    for language, pairs in _pairs().items():
        for extension, pair in pairs.items():
            table[row[language], column[extension]] = value(language, extension, pair)
    return table


def _look_up(table: Table, language: pa.Array, extension: pa.Array) -> Table:
    places = [
        np.asarray(pc.index_in(values.cast(TEXT), value_set=axis).fill_null(-1))
        for values, axis in zip((language, extension), _axes(), strict=True)
    ]
    return table[places[0], places[1]]


@cache
def _bounds(measure: Bounded) -> Table:
    def own(language: str, extension: str, pair: dict[str, Any]) -> float:
        if measure == "mean_line":  # held only together with the longest line
            return np.nan if pair.get("longest_line", 0) is None else _DEFAULT
        bound = pair.get(measure, _DEFAULT)
        return np.nan if bound is None else bound

    return _table(own, _DEFAULT)


@cache
def _verdicts(inspection: Inspection) -> Table:
    def own(language: str, extension: str, pair: dict[str, Any]) -> bool:
        mended = inspection == "recommended" and (language, extension) in MENDED
        return mended or pair.get("include", True) is True

    table = _table(own, False)
    table[-1] = True
    return table


def bounds(measure: Bounded, language: pa.Array, extension: pa.Array, default: float | None) -> pa.Array:
    """The bound that each row's measure is held against, as 64-bit floats; null where the test is off.

    A row whose (language, extension) was given a bound of its own, or none, in the visual inspection has that; all
    others have `default`. `longest_line` and `mean_line` are in characters, the others are fractions of the text.

    Reference:
        Li et al. 2023, https://arxiv.org/abs/2305.06161, section 3.2
    """
    found = _look_up(_bounds(measure), language, extension)
    found = np.where(found == _DEFAULT, np.nan if default is None else default, found)
    return pa.array(found, pa.float64(), mask=np.isnan(found))


def kept(inspection: Inspection, language: pa.Array, extension: pa.Array) -> pa.Array:
    """Whether the inspection keeps each row's (language, extension): true also for languages not inspected.

    Of an inspected language a pair is kept only if its verdict says so: blank verdicts and pairs that were not listed
    are out, as in the code that made StarCoder's data.
    """
    if inspection == "none":
        return pa.array(np.ones(len(language), bool))
    return pa.array(_look_up(_verdicts(inspection), language, extension))
