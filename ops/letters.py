"""Which characters are letters and digits: one table for all Python versions, shipped as ranges.

`str.isalpha` and `str.isalnum` follow the Unicode version of the Python that runs them; a filter that used them would
answer otherwise after an upgrade. `python -m ops.letters` writes the table anew from the running Python's.
"""

from __future__ import annotations

import functools
import json
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

LETTER, DIGIT = 1, 2
"""The classes of characters: those of `str.isalpha`, and those of `str.isalnum` besides."""

_TABLE = Path(__file__).parent / "data" / "letters.json"


@functools.cache
def classes() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The class of every code point: `LETTER`, `DIGIT`, or 0."""
    shipped = json.loads(_TABLE.read_text("utf-8"))
    table = np.zeros(sys.maxunicode + 1, np.uint8)
    for kind, ranges in ((LETTER, shipped["letters"]), (DIGIT, shipped["digits"])):
        for first, last in zip(ranges[::2], ranges[1::2], strict=True):
            table[first : last + 1] = kind
    table.flags.writeable = False
    return table


def unicode_version() -> str:
    """The Unicode version of the shipped table."""
    return json.loads(_TABLE.read_text("utf-8"))["unicode"]


def _ranges(test: Callable[[str], bool]) -> list[int]:
    inside = np.array([False, *(test(chr(point)) for point in range(sys.maxunicode + 1)), False])
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    edges[1::2] -= 1
    return edges.tolist()


def running_python() -> dict[str, Any]:
    """The table as the running Python has it: the first and last code point of each range, one after the other."""
    return {
        "unicode": unicodedata.unidata_version,
        "letters": _ranges(str.isalpha),
        "digits": _ranges(lambda character: character.isalnum() and not character.isalpha()),
    }


if __name__ == "__main__":
    _TABLE.write_text(json.dumps(running_python(), separators=(",", ":")) + "\n", "utf-8")
