"""Notebooks as scripts, to be treated as code from there on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypedDict

from engine.op import Map
from ops.light_script import script
from ops.notebook_language import told_language
from ops.notebooks import NoNotebook, read
from ops.script_languages import by_extension


class Script(TypedDict):
    content: str


class NotebookScript(Map):
    """Write each notebook as a script of its language: Markdown becomes comments, outputs and images are left out.

    The form is jupytext's light one without metadata, byte for byte (`# # Title`, then the code): cells are parted by
    blank lines, magics are commented, and a cell that needs them has markers around it. The language is that of
    `extension`, as `notebook_language` writes it; where that names none, the one that the metadata tell. What is no
    notebook, or in no such language, leaves nothing: put `notebook_language` above to be told why.

    Example:
        - notebook_script

    Reference:
        Li et al. 2023, StarCoder, https://arxiv.org/abs/2305.06161, section 3.4; https://jupytext.readthedocs.io
    """

    def map(self, content: str, extension: str | None) -> Iterator[Script]:
        try:
            notebook = read(content)
        except NoNotebook:
            return
        language = by_extension().get(extension or "") or told_language(notebook)
        if language is not None:
            yield {"content": script(notebook.cells, language)}
