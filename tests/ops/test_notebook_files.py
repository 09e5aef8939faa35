"""Notebooks of folders, and those that are shipped."""

from __future__ import annotations

import json

import pytest

from engine.errors import OpError
from engine.op import Losses
from ops.notebook_files import NotebookFiles


def read(**options):
    source, losses, rows = NotebookFiles(**options), Losses(), []
    for shard in source.shards():
        for batch in source.read(shard, losses):
            rows += batch.to_pylist()
    return rows, losses


def test_without_a_path_there_are_the_shipped_ones():
    rows, losses = read()
    names = ["degrees_format_3.ipynb", "newton.ipynb", "no_language.ipynb", "noise.ipynb", "rainfall.ipynb"]
    assert [row["path"] for row in rows] == names and not losses.dropped and not losses.quarantined
    assert {row["license"] for row in rows} == {"Apache-2.0"}
    assert all(json.loads(row["content"])["nbformat"] in (3, 4) for row in rows)


def test_of_a_folder_only_the_notebooks_with_their_licences(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "LICENSE").write_text("SPDX-License-Identifier: MIT\n")
    for name in ("a.py", "b.ipynb", "sub/c.IPYNB", "photo.png"):
        (tmp_path / name).write_text("{}")
    rows, losses = read(path=str(tmp_path))
    assert [(row["path"], row["license"]) for row in rows] == [("b.ipynb", "MIT"), ("sub/c.IPYNB", "MIT")]
    assert not losses.dropped


def test_a_notebook_that_is_too_large_is_dropped(tmp_path):
    (tmp_path / "a.ipynb").write_text("x" * 2000)
    (tmp_path / "b.ipynb").write_text("x")
    rows, losses = read(path=str(tmp_path), max_bytes=1000)
    assert [row["path"] for row in rows] == ["b.ipynb"]
    assert [(lost["path"], lost["reason"]) for lost in losses.dropped] == [("a.ipynb", "too_large")]


def test_a_folder_without_notebooks_is_an_error(tmp_path):
    (tmp_path / "a.py").write_text("x")
    (tmp_path / "LICENSE").write_text("MIT")
    with pytest.raises(OpError, match="matches no file"):
        read(path=str(tmp_path))
