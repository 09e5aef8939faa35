"""Notebooks as scripts."""

import json

import pytest
from real_notebooks import SHIPPED

from ops.notebook_script import NotebookScript


def made(text, extension=None):
    return [each["content"] for each in NotebookScript().map(text, extension)]


def notebook(*cells, **metadata):
    return json.dumps({"cells": list(cells), "metadata": metadata, "nbformat": 4})


def cell(kind, source):
    return {"cell_type": kind, "source": source, "outputs": []}


def test_markdown_becomes_comments_of_the_language():
    text = notebook(cell("markdown", "# Title\n\nWords."), cell("code", "x"))
    assert made(text, "py") == ["# # Title\n#\n# Words.\n\nx\n"]
    assert made(text, "js") == ["// # Title\n//\n// Words.\n\nx\n"]
    assert made(text, "hs") == ["-- # Title\n--\n-- Words.\n\nx\n"]


def test_the_extension_goes_before_the_metadata():
    text = notebook(cell("markdown", "A"), cell("code", "x"), kernelspec={"language": "python"})
    assert made(text, "jl") == made(text) == ["# A\n\nx\n"] and made(text, "lua") == ["-- A\n\nx\n"]


@pytest.mark.parametrize("text", ["{", "[]", notebook(), notebook(cell("code", "x"))])
def test_what_cannot_be_a_script_leaves_nothing(text):
    assert made(text) == []


def test_outputs_and_images_are_left_out():
    (script,) = made((SHIPPED / "noise.ipynb").read_text(), "py")
    assert len(script) < 1000 and "iVBOR" not in script and "step    7" not in script


def test_the_old_format():
    (script,) = made((SHIPPED / "degrees_format_3.ipynb").read_text(), "py")
    compile(script, "degrees.py", "exec")
    assert script.startswith("# # Degrees\n\n# From Fahrenheit to Celsius and back,\n# in the format")


def test_the_ordinary_sample_runs(capsys):
    (script,) = made((SHIPPED / "rainfall.ipynb").read_text())
    assert "# %matplotlib inline" in script
    exec(compile(script, "rainfall.py", "exec"), {})
    assert "737 mm in all, 61.4 mm a month" in capsys.readouterr().out
