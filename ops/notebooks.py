"""Notebooks as Jupyter writes them: the cells of a file, whichever version of the format it is in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from engine.schema import FIRST_MARKUP, LAST_MARKUP, REPLACEMENT

Kind = Literal["markdown", "code", "raw"]

FLAWS = ("not_json", "not_a_notebook", "no_code")
"""What can be wrong with a notebook, whatever it is wanted for."""

# `"\ufdd0"` in JSON is a special token's character, and `"\ud800"` alone none that UTF-8 can hold.
_FORBIDDEN = re.compile(f"[\ud800-\udfff{chr(FIRST_MARKUP)}-{chr(LAST_MARKUP)}]")
_TEXT_OF_KIND: dict[str, tuple[Kind, str]] = {
    "code": ("code", "source"),
    "markdown": ("markdown", "source"),
    "raw": ("raw", "source"),
    # What formats before 4 had besides.
    "heading": ("markdown", "source"),
    "html": ("markdown", "source"),
    "plaintext": ("raw", "source"),
    "text": ("markdown", "text"),
}


class Cell(NamedTuple):
    """A cell: its kind, its source as one text, and for code whatever the file has as its outputs."""

    kind: Kind
    source: str
    outputs: Any = None


@dataclass(frozen=True)
class Notebook:
    """A notebook: its cells in their order, and what it says of itself."""

    cells: list[Cell]
    metadata: dict[str, Any] = field(default_factory=dict)
    cell_language: str | None = None
    """The language that the code cells name, as they did before format 4; None where they differ or name none."""
    is_old: bool = False
    """Whether the format is older than 4, which wrote lines without their ends."""

    @property
    def code(self) -> list[str]:
        """The sources of the code cells that are not blank."""
        return [cell.source for cell in self.cells if cell.kind == "code" and cell.source.strip()]


class NoNotebook(ValueError):
    """A text is no notebook; the message is one of `FLAWS`."""


def read(text: str) -> Notebook:
    """The notebook that a text holds, in any of the formats 1 to 4; NoNotebook says what is wrong with it.

    A cell of an unknown kind is raw. Outputs that are no objects are left out; images and other data stay in the
    outputs, where nobody looks at them.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise NoNotebook("not_json") from None
    cells = list(_cells(found))
    old = "worksheets" in found
    notebook = Notebook([_cell(cell, old) for cell in cells], _map(found.get("metadata")), _language(cells), old)
    if not notebook.code:
        raise NoNotebook("no_code")
    return notebook


def joined(text: Any, old: bool = False) -> str | None:
    """A text of the format, which is a string or a list of lines, as one string without forbidden characters.

    In an old format the lines may lack their ends. None for what is no text.
    """
    if isinstance(text, list):
        try:
            bare = old and text and not text[0].endswith(("\n", "\r"))
            text = ("\n" if bare else "").join(text)
        except (TypeError, AttributeError):
            return None
    if not isinstance(text, str):
        return None
    return text if text.isascii() else _FORBIDDEN.sub(REPLACEMENT, text)


def _map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _cells(found: Any) -> Iterable[dict[str, Any]]:
    """The cells of a notebook; those of several worksheets, which formats 2 and 3 allowed, one after the other."""
    if not isinstance(found, dict):
        raise NoNotebook("not_a_notebook")
    sheets = found.get("worksheets", [found])
    if not isinstance(sheets, list):
        raise NoNotebook("not_a_notebook")
    for sheet in sheets:
        cells = sheet.get("cells") if isinstance(sheet, dict) else None
        if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
            raise NoNotebook("not_a_notebook")
        yield from cells


def _cell(cell: dict[str, Any], old: bool) -> Cell:
    name = cell.get("cell_type")
    kind, key = _TEXT_OF_KIND.get(name, ("raw", "source")) if isinstance(name, str) else ("raw", "source")
    source = joined(cell[key] if key in cell else cell.get("input", cell.get("code", "")), old)
    if source is None:
        raise NoNotebook("not_a_notebook")
    if name == "heading":
        level = cell.get("level", 1)
        source = f"{'#' * (level if isinstance(level, int) and 0 < level < 7 else 1)} {' '.join(source.splitlines())}"
    return Cell(kind, source, cell.get("outputs"))


def _language(cells: Iterable[dict[str, Any]]) -> str | None:
    named = {cell.get("language") for cell in cells if cell.get("cell_type") == "code" and "input" in cell}
    language = named.pop() if len(named) == 1 else None
    return language if isinstance(language, str) and language else None
