"""Notebooks as chains of text, code and output, with the tokens that mark them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Literal, TypedDict

from pydantic import PositiveInt

from engine.op import Map
from engine.schema import MARKUP
from ops.notebooks import Cell, NoNotebook, Notebook, joined, read

_START, _TEXT, _CODE, _OUTPUT = (MARKUP[f"<jupyter_{part}>"] for part in ("start", "text", "code", "output"))
_EMPTY = MARKUP["<empty_output>"]

Group = list[Cell]

_TAG = re.compile(r"</?[a-zA-Z][^<>\n]*>|<!--.*?-->")
_HEADING = re.compile(r"^#{1,6}(?=\s|$)[ \t]*", re.MULTILINE)


class Chain(TypedDict):
    content: str


class StructuredNotebook(Map):
    """Write each notebook as one chain of text, code and output, each behind its token.

    Cells of one kind that follow one another make one group: Markdown joined by spaces, code by newlines. A chain
    begins with text and ends with code, so that groups before and behind are left out; a notebook without both leaves
    nothing. Of Markdown, tags, the marks of headings and line breaks go. The output is that of a group's last cell.

    Example:
        - structured_notebook: {outputs: text}

    Reference:
        Li et al. 2023, StarCoder, https://arxiv.org/abs/2305.06161, section 3.4
    """

    outputs: Literal["first_stream", "text"] = "first_stream"
    """What of a cell's outputs is taken: the first one, if it was printed, as in StarCoder; or the text of all that
    were printed, displayed or returned, without errors and without what stands for an image."""
    characters: PositiveInt = 1000
    """Characters that an output may have; of a longer one these many are kept, and `[...]` is put behind."""
    raw: Literal["leave_out", "split"] = "leave_out"
    """What becomes of raw cells: left out as though they were not there, or each parts a chain into two documents."""
    reproduce: bool = False
    """StarCoder's own text: line breaks of Markdown go without a space in their place, and so do all `#` and all
    between `<` and `>`; raw cells are a kind of their own, and groups are paired by their number, whatever they are."""

    def map(self, content: str) -> Iterator[Chain]:
        try:
            notebook = read(content)
        except NoNotebook:
            return
        for cells in self._stretches(notebook):
            pairs = self._pairs(cells)
            if pairs:
                yield {"content": _START + "".join(self._pair(*pair, notebook.is_old) for pair in pairs)}

    def _stretches(self, notebook: Notebook) -> Iterable[list[Cell]]:
        """The cells that make a document each, without empty ones."""
        cells = [cell for cell in notebook.cells if (cell.source if self.reproduce else cell.source.strip())]
        if self.reproduce:
            return [cells]
        if self.raw == "leave_out":
            return [[cell for cell in cells if cell.kind != "raw"]]
        return [list(run) for is_raw, run in groupby(cells, lambda cell: cell.kind == "raw") if not is_raw]

    def _pairs(self, cells: Sequence[Cell]) -> list[tuple[Group, Group]]:
        groups = [list(group) for _, group in groupby(cells, lambda cell: cell.kind)]
        groups = groups[1:] if groups and groups[0][0].kind == "code" else groups
        groups = groups[:-1] if groups and groups[-1][0].kind == "markdown" else groups
        # Without raw cells kinds alternate, so that their number is even.
        return list(zip(groups[::2], groups[1::2], strict=True)) if len(groups) % 2 == 0 else []

    def _pair(self, text: Group, code: Group, old: bool) -> str:
        told = " ".join(self._markdown(cell.source) for cell in text)
        ran = "\n".join(cell.source for cell in code)
        return f"{_TEXT}{told.strip()}{_CODE}{ran.strip()}{_OUTPUT}{self._output(code[-1], old)}"

    def _markdown(self, source: str) -> str:
        if self.reproduce:
            return re.sub(r"\n+", "", re.sub(r"<.*?>", "", source)).replace("#", "")
        return re.sub(r"\s*[\r\n]\s*", " ", _HEADING.sub("", _TAG.sub("", source)))

    def _output(self, cell: Cell, old: bool) -> str:
        found = cell.outputs if isinstance(cell.outputs, list) else []
        outputs = [output for output in found if isinstance(output, dict)]
        texts = [_text(output, old) for output in outputs]
        if self.outputs == "first_stream":
            first = bool(outputs) and outputs[0].get("output_type") == "stream"
            text = texts[0] if first else None
        else:
            text = "".join(f"{part}\n" if part[-1:] not in ("", "\n") else part for part in texts if part) or None
        text = text and text.strip()
        if not text:
            return _EMPTY
        return text if len(text) <= self.characters else f"{text[: self.characters]}[...]"


def _text(output: dict[str, Any], old: bool) -> str | None:
    """The text of one output; that of an image only says that there is one."""
    kind, data = output.get("output_type"), output
    if kind == "stream":
        return joined(output.get("text"), old)
    if kind in ("execute_result", "display_data"):
        data = output.get("data")
    elif not (old and kind in ("pyout", "display_data")):
        return None
    if not isinstance(data, dict) or any(key.startswith("image/") or key in ("png", "jpeg", "svg") for key in data):
        return None
    return joined(data.get("text/plain", data.get("text")), old)
