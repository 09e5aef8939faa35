"""Notebooks read, whichever version of the format they are in and whatever else they are."""

from __future__ import annotations

import json

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from real_notebooks import real_notebooks

from engine.schema import FIRST_MARKUP
from ops.notebook_language import NotebookLanguage
from ops.notebook_script import NotebookScript
from ops.notebooks import FLAWS, NoNotebook, joined, read
from ops.structured_notebook import StructuredNotebook


def notebook(*cells, **metadata) -> str:
    return json.dumps({"cells": list(cells), "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def code(source, *outputs, **more):
    return {"cell_type": "code", "source": source, "outputs": list(outputs), "metadata": {}, **more}


def flaw(text: str) -> str:
    with pytest.raises(NoNotebook) as raised:
        read(text)
    return str(raised.value)


def test_cells_in_their_order():
    found = read(
        notebook({"cell_type": "markdown", "source": "# A"}, code("b = 1"), {"cell_type": "raw", "source": "c"})
    )
    assert [(cell.kind, cell.source) for cell in found.cells] == [("markdown", "# A"), ("code", "b = 1"), ("raw", "c")]


def test_lines_are_joined():
    assert read(notebook(code(["a = 1\n", "b = 2"]))).cells[0].source == "a = 1\nb = 2"


@pytest.mark.parametrize("path", real_notebooks(), ids=lambda path: path.name)
def test_real_notebooks_are_as_nbformat_has_them(path):
    text = path.read_text(encoding="utf-8")
    wanted = nbformat.reads(text, as_version=4)
    if not any(c.cell_type == "code" and c.source.strip() for c in wanted.cells):
        assert flaw(text) == "no_code"
        return
    found = read(text)
    assert [(c.kind, c.source) for c in found.cells] == [(c.cell_type, c.source) for c in wanted.cells]


cell_text = st.one_of(
    st.text(max_size=20), st.lists(st.text(st.sampled_from("ab\n"), max_size=9).map(lambda t: f"{t}\n"), max_size=3)
)
old_cells = st.one_of(
    st.fixed_dictionaries(
        {"cell_type": st.just("code"), "input": cell_text, "language": st.just("python"), "outputs": st.just([])}
        | {"collapsed": st.just(False), "metadata": st.just({})}
    ),
    st.fixed_dictionaries(
        {"cell_type": st.sampled_from(["markdown", "html", "raw"]), "source": cell_text, "metadata": st.just({})}
    ),
    st.fixed_dictionaries(
        {"cell_type": st.just("heading"), "level": st.integers(1, 6), "source": st.sampled_from(["A", "A title"])}
        | {"metadata": st.just({})}
    ),
)


@given(st.lists(old_cells, max_size=5), st.lists(old_cells, max_size=2))
def test_old_format_3_is_read_as_nbformat_converts_it(one, two):
    sheets = [{"cells": one, "metadata": {}}, {"cells": two, "metadata": {}}]
    text = json.dumps({"worksheets": sheets, "metadata": {}, "nbformat": 3, "nbformat_minor": 0})
    made = nbformat.from_dict(json.loads(text))
    wanted = nbformat.v4.convert.upgrade(nbformat.v3.rwbase.rejoin_lines(made), from_version=3)
    try:
        found = [(cell.kind, cell.source) for cell in read(text).cells]
    except NoNotebook:
        assert not any(c.cell_type == "code" and c.source.strip() for c in wanted.cells)
        return
    assert found == [(cell.cell_type, cell.source) for cell in wanted.cells]


def test_old_lines_without_ends_are_parted():
    cell = {"cell_type": "code", "input": ["a = 1", "b = 2"], "language": "python", "outputs": []}
    found = read(json.dumps({"worksheets": [{"cells": [cell]}], "nbformat": 3, "metadata": {}}))
    assert found.cells[0].source == "a = 1\nb = 2" and found.is_old and found.cell_language == "python"


def test_format_1():
    text = json.dumps({"cells": [{"cell_type": "code", "code": "a = 1"}, {"cell_type": "text", "text": "Words"}]})
    assert [(c.kind, c.source) for c in read(text).cells] == [("code", "a = 1"), ("markdown", "Words")]


@pytest.mark.parametrize("text", ["", "{", "no json", '{"cells": [', "[" * 100_000, '{"cells": [NaN,}', "\ufeff{}"])
def test_broken_json(text):
    assert flaw(text) == "not_json"


@pytest.mark.parametrize(
    "found", [1, None, [], {}, {"cells": 1}, {"cells": [1]}, {"worksheets": {}}, {"worksheets": [{}]}]
)
def test_json_that_is_no_notebook(found):
    assert flaw(json.dumps(found)) == "not_a_notebook"


@pytest.mark.parametrize("source", [1, None, [1], {"a": 1}])
def test_a_source_that_is_no_text(source):
    assert flaw(notebook(code(source))) == "not_a_notebook"


def test_no_code():
    assert flaw(notebook({"cell_type": "markdown", "source": "Words"}, code(" \n"))) == "no_code"


def test_characters_that_no_text_may_have_are_replaced():
    mark = chr(FIRST_MARKUP + 12)
    assert read(notebook(code(f"a = '{mark}' \ud800"))).cells[0].source == "a = '\ufffd' \ufffd"
    assert joined([mark, "b"]) == "\ufffdb"


_KEYS = """
cells worksheets metadata cell_type source outputs text data kernelspec output_type language_info name
file_extension language text/plain input level
"""
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
kinds = st.sampled_from(["code", "markdown", "raw", "stream", "heading", "display_data", ".py"])
keys = st.one_of(st.text(max_size=5), st.sampled_from(_KEYS.split()))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, st.one_of(inner, kinds), max_size=5)),
    max_leaves=30,
)
odd_cells = st.one_of(
    values,
    st.fixed_dictionaries(
        {"cell_type": st.sampled_from(["code", "markdown", "raw", "heading"]), "source": st.one_of(st.text(), values)}
        | {"outputs": st.one_of(values, st.lists(values, max_size=2)), "level": values}
    ),
)
odd_notebooks = st.one_of(
    values,
    st.fixed_dictionaries({"cells": st.lists(odd_cells, max_size=4), "metadata": values}),
    st.fixed_dictionaries(
        {"worksheets": st.lists(st.fixed_dictionaries({"cells": st.lists(odd_cells)})), "metadata": values}
    ),
)


@given(odd_notebooks)
def test_nothing_raises_and_nothing_vanishes(found):
    text = json.dumps(found)
    try:
        cells = read(text).cells
        assert all(isinstance(cell.source, str) for cell in cells)
        flawed = False
    except NoNotebook as told:
        assert str(told) in FLAWS
        flawed = True
    language = NotebookLanguage()
    verdict = language._found(text)
    assert (verdict in FLAWS) == flawed
    for op, arguments in ((NotebookScript(), (text, "py")), (StructuredNotebook(outputs="text", raw="split"), (text,))):
        for made in op.map(*arguments):
            assert not flawed
            made["content"].encode()


@given(st.text(max_size=200))
def test_any_text_is_a_notebook_or_says_what_is_wrong(text):
    assert NotebookLanguage()._found(text) in FLAWS
