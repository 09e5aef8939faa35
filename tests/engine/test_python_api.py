"""The engine from Python: two names, which cost nothing until they are used."""

from __future__ import annotations

import html as html_module
import re
import subprocess
import sys

import polars as pl
import pytest
from command_line import engine as command

import engine
from engine import storage
from engine.difference import difference
from engine.errors import RecipeError, Refused, RunError
from engine.whatif import whatif


@pytest.fixture
def recipe(make_corpus, tmp_path):
    path = tmp_path / "r.yaml"
    steps = "[{line_length: {longest: 1000}}, exact_dedup, near_dedup]"
    path.write_text(f"name: tried\nseed: 7\nsource: {{parquet: {{path: '{make_corpus(files=2)}'}}}}\nsteps: {steps}\n")
    return path


def test_importing_the_engine_loads_nothing_heavy():
    code = (
        "import sys, engine\nassert engine.__all__ == ['Recipe', 'Run'] and 'Run' in dir(engine)\n"
        "print({'pyarrow', 'polars', 'numpy', 'numba', 'ray', 'pydantic', 'matplotlib'} & set(sys.modules))\n"
        "engine.Run\nprint('matplotlib' in sys.modules, 'ray' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["set()", "False False"]


def test_there_are_no_other_names():
    with pytest.raises(AttributeError, match="no attribute 'Recipes'"):
        engine.Recipes  # noqa: B018


def test_a_recipe_is_loaded_run_and_read(recipe, tmp_path):
    loaded = engine.Recipe.load(str(recipe), ["seed=11"])
    assert (loaded.name, loaded.seed, [s.name for s in loaded.streams[0].steps]) == (
        "tried", 11, ["line_length", "exact_dedup", "near_dedup"],
    )  # fmt: skip
    run = loaded.run(out=str(tmp_path / "run"), on="inline")
    assert isinstance(run, engine.Run)
    tables = (run.documents, run.ledger, run.measures, run.quarantine, run.samples, run.duplicates)
    assert all(isinstance(table, pl.LazyFrame) for table in tables)
    assert run.documents.collect().height == run.report["kept"]
    assert run.ledger.collect().height == run.report["dropped"]
    assert run.quarantine.collect().height == 0 and "error" in run.quarantine.collect_schema().names()
    assert {"dropped", "kept", "similarity"} <= set(run.duplicates.collect_schema().names())
    lost = run.ledger.filter(pl.col("reason") == "longest_line").head(1).collect()
    (story,) = run.why(lost["id"][0])
    assert story.fate == "dropped" and story.events[-1].step == "line_length"
    assert run.why("no/such/file.py") == []


def test_a_second_run_goes_on_where_the_first_ended(recipe, tmp_path):
    out = str(tmp_path / "run")
    assert engine.Recipe.load(str(recipe)).run(out, on="here", workers=1).report["shards_run"] > 0
    assert engine.Recipe.load(str(recipe)).run(out, on="inline").report["shards_run"] == 0


def test_a_run_is_put_below_runs_unless_told(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert engine.Recipe.load(str(recipe)).run(on="inline").path == "runs/tried"
    assert (tmp_path / "runs" / "tried" / "report.html").exists()


def test_a_report_is_a_map_and_in_jupyter_a_page_in_a_frame(recipe, tmp_path):
    report = engine.Recipe.load(str(recipe)).run(str(tmp_path / "run"), on="inline").report
    assert report["name"] == "tried"
    frame = re.fullmatch(r'<iframe srcdoc="([^"]*)" style="[^"]*"></iframe>', report._repr_html_())
    assert frame is not None
    page = html_module.unescape(frame[1])
    assert page.startswith("<!doctype html>") and page.endswith("</html>")
    assert page == (tmp_path / "run" / "report.html").read_text()


def test_mistakes_are_the_same_as_on_the_command_line(recipe, tmp_path, outside_op):
    with pytest.raises(RecipeError, match="did you mean `longest`"):
        engine.Recipe.load(str(recipe), ["steps.line_length.longst=5"])
    with pytest.raises(Refused, match="holds no run"):
        engine.Run(str(tmp_path / "nothing"))
    outside_op(
        "raising_op",
        "from typing import Literal\nfrom engine.op import Filter\n\n\nclass Raising(Filter):\n"
        "    def drop(self, path: str) -> Literal['x'] | None:\n        raise ValueError(path)\n",
    )
    text = recipe.read_text().replace("[{line_length: {longest: 1000}}, exact_dedup, near_dedup]", "[raising]")
    recipe.write_text(text)
    with pytest.raises(RunError, match="made an op raise"):
        engine.Recipe.load(str(recipe)).run(str(tmp_path / "run"), on="inline")
    run = engine.Recipe.load(str(recipe)).run(str(tmp_path / "run"), on="inline", max_errors=40)
    assert run.report["quarantined"] == 40


def test_on_an_object_store_a_run_reads_the_same(recipe, tmp_path):
    here = engine.Recipe.load(str(recipe)).run(str(tmp_path / "run"), on="inline")
    out = f"memory://{tmp_path.name}/run"
    there = engine.Recipe.load(str(recipe)).run(out, on="inline")
    for table in ("documents", "ledger", "measures", "samples", "duplicates", "quarantine"):
        assert getattr(there, table).collect().sort(pl.all()).equals(getattr(here, table).collect().sort(pl.all()))
    lost = there.ledger.head(1).collect()["id"][0]
    assert [vars(e) for e in there.why(lost)[0].events] == [vars(e) for e in here.why(lost)[0].events]
    assert storage.read_bytes(f"{out}/report.html").startswith(b"<!doctype html>")
    asked = [whatif(run, ["line_length.longest=24"]) for run in (here, there)]
    assert asked[0] == asked[1] and asked[0].total.leave > 0
    assert difference(here, there).groups == []


def test_the_report_command_makes_the_page_anew(recipe, tmp_path, capsys):
    run = engine.Recipe.load(str(recipe)).run(str(tmp_path / "run"), on="inline")
    page = tmp_path / "run" / "report.html"
    before = page.read_text()
    page.unlink()
    told = command(capsys, "report", run.path)
    assert told.code == 0 and "documents kept" in told.out and str(page) in "".join(told.out.split())
    assert page.read_text() == before
    assert '"read": 40' in command(capsys, "report", run.path, "--json").out
    assert command(capsys, "report", tmp_path).code == 2
