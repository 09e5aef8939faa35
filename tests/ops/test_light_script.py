"""Scripts, byte for byte as jupytext writes them."""

from __future__ import annotations

import json
import warnings

import jupytext
import nbformat
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell
from real_notebooks import real_notebooks

from ops.light_script import script
from ops.notebook_language import told_language
from ops.notebooks import NoNotebook, read
from ops.script_languages import OF_JUPYTEXT, ScriptLanguage, by_name

WITH_ENDS = {"ocaml", "mathematica", "maxima", "sas", "jenner"}
"""Languages whose comments have ends: jupytext leaves them open around cells."""
OPTIONS = {"format_name": "light", "notebook_metadata_filter": "-all", "cell_metadata_filter": "-all"}


def of_jupytext(notebook: nbformat.NotebookNode, language: ScriptLanguage) -> str:
    notebook.metadata = nbformat.NotebookNode()
    for cell in notebook.cells:
        cell.metadata = nbformat.NotebookNode()
    written = jupytext.writes(notebook, fmt={"extension": f".{language.extension}", **OPTIONS})
    first, _, rest = written.partition("\n")
    # Its first line where there are characters beyond ASCII; our files are always UTF-8.
    return rest if "-*- coding: utf-8 -*-" in first else written


@pytest.mark.parametrize("path", real_notebooks(), ids=lambda path: path.name)
def test_real_notebooks(path):
    text = path.read_text(encoding="utf-8")
    try:
        notebook = read(text)
    except NoNotebook:
        return
    language = told_language(notebook) or by_name()["python"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert script(notebook.cells, language) == of_jupytext(nbformat.reads(text, as_version=4), language)


def test_an_ordinary_notebook():
    cells = [new_markdown_cell("# Title\n\nWords."), new_code_cell("a = 1\n\nb = 2"), new_code_cell("%timeit a")]
    found = read(nbformat.writes(new_notebook(cells=cells)))
    assert script(found.cells, by_name()["python"]) == (
        "# # Title\n#\n# Words.\n\n# +\na = 1\n\nb = 2\n# -\n\n# %timeit a\n"
    )


# Parted by bars; `∅` is an empty line.
LINES = """
∅|∅|  |a = 1|b|    return c|def f(x):|class A:|@decorated|async def g():|# a comment|## two|#comment|# +|# -
# + [markdown]|%matplotlib inline|%%bash|%%time|%%R -i x|!ls|ls|cd x|files = !ls|name?|?name|x = \'\'\'|\"\"\"|s = '#'
# %timeit x|# !pip|print('\\'')|cat = 1|// c|//|-- x|% a|; b|#!csharp|:dep x|// +|# -*- x|---|title: x|x \\|é|) +
%run a \\
"""
lines = st.sampled_from([line.replace("∅", "") for line in LINES.strip("\n").replace("\n", "|").split("|")])
sources = st.lists(lines, max_size=7).map("\n".join)
cells = st.lists(st.tuples(st.sampled_from(["code", "code", "markdown", "raw"]), sources), min_size=1, max_size=5)
makers = {"code": new_code_cell, "markdown": new_markdown_cell, "raw": new_raw_cell}


def agrees(made, language: ScriptLanguage) -> None:
    notebook = new_notebook(cells=[makers[kind](source) for kind, source in made])
    text = json.dumps(notebook)
    try:
        found = read(text)
    except NoNotebook:
        assume(False)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = of_jupytext(notebook, language)
    assert script(found.cells, language) == wanted


@given(cells)
@settings(max_examples=400)
def test_python_as_jupytext_writes_it(made):
    agrees(made, by_name()["python"])


@given(cells, st.sampled_from([each for each in OF_JUPYTEXT if each.name not in WITH_ENDS]))
@settings(max_examples=300)
def test_other_languages_as_jupytext_writes_them(made, language):
    agrees(made, language)


@given(cells, st.sampled_from([each for each in OF_JUPYTEXT if each.name in WITH_ENDS]))
def test_comments_with_ends_are_closed(made, language):
    try:
        notebook = read(json.dumps(new_notebook(cells=[makers[kind](source) for kind, source in made])))
    except NoNotebook:
        return
    for line in script(notebook.cells, language).splitlines():
        if line.startswith(f"{language.comment} +"):
            assert line.endswith(language.close)
