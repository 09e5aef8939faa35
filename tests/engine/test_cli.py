"""The command line: what it prints, and its exit codes."""

import json
import subprocess
import sys

import pytest

from engine import cli


@pytest.fixture
def engine(monkeypatch, capsys, tmp_path):
    """Runs a command line in this process; answers exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["engine", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


@pytest.fixture
def recipe(make_corpus, tmp_path):
    path = tmp_path / "r.yaml"
    corpus = make_corpus(rows=60)
    path.write_text(
        f"name: tried\nseed: 7\nsource: {{parquet: {{path: '{corpus}'}}}}\nsteps: [line_length, exact_dedup]\n"
    )
    return path


def test_run_prints_the_table_where_things_lie_and_what_to_try(engine, recipe):
    code, out, err = engine("run", recipe, "--on", "here")
    assert code == 0
    assert "line_length" in out and "longest_line" in out
    assert "of 360 documents kept" in out
    assert "runs/tried/documents/" in out and "runs/tried/report.md" in out
    assert len([line for line in out.split("next:")[1].splitlines() if line.strip().startswith("engine ")]) == 3
    assert "6/6 shards" in err
    code, out, _ = engine("run", recipe, "--on", "here", "--json")
    assert json.loads(out)["read"] == 360


def test_what_it_says_to_try_works(engine, recipe):
    _, out, _ = engine("run", recipe, "--on", "here")
    line = next(x.split() for x in out.split("next:")[1].splitlines() if "engine why" in x)
    code, told, _ = engine(*line[1:])
    assert code == 0
    assert "dropped" in told and "exact_duplicate of" in told


def test_why_shows_each_step_with_score_and_bound(engine, recipe):
    engine("run", recipe, "--on", "here")
    code, out, _ = engine("why", "src/file_4.py")
    assert code == 0
    assert "longest_line: 1,202 > 1,000" in out
    code, out, _ = engine("why", "src/file_0.py", "--json")
    (story,) = json.loads(out)
    assert story["fate"] == "kept"
    assert [e["step"] for e in story["events"]] == ["parquet", "line_length", "exact_dedup", "documents"]
    assert engine("why", story["id"][:9])[1].startswith("repo0:src/file_0.py")
    assert "no document in" in engine("why", "src/nothing.py")[2]


def test_a_mistake_in_the_recipe_is_refused_before_anything_runs(engine, recipe, tmp_path):
    recipe.write_text(recipe.read_text().replace("line_length", "line_lenght"))
    code, out, err = engine("run", recipe, "--on", "here")
    assert code == 2
    assert out == ""
    assert "did you mean `line_length`?" in err and "Traceback" not in err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["run", "nothing.yaml"], 2, "nothing.yaml"),
        (["why", "x", "--run", "nowhere"], 2, "nowhere holds no run"),
        (["why", "x"], 2, "there is no run below runs/"),
        (["ops", "near_dedupe"], 2, "near_dedup"),
        (["run", "x.yaml", "--worker", "2"], 2, "--worker"),
        (["rum", "x.yaml"], 2, "rum"),
    ],
)
def test_what_is_not_there_is_told_in_a_line(engine, arguments, code, told):
    found, _, err = engine(*arguments)
    assert found == code
    assert told in err and "Traceback" not in err


def test_plan_prints_passes_and_costs_near_what_the_run_takes(engine, recipe):
    code, out, _ = engine("plan", recipe, "--json")
    cost = json.loads(out)
    assert code == 0
    assert [s["leaves"] for s in cost["stages"]] == ["rows", "documents"]
    assert 0.5 <= cost["rows"] / 360 <= 2
    engine("run", recipe, "--on", "here")
    report = json.loads(engine("run", recipe, "--on", "here", "--json")[1])
    assert 0.5 <= cost["bytes_written"] / report["bytes_written"] <= 2
    text = engine("plan", recipe)[1]
    assert "sketch exact_dedup" in text and "apply exact_dedup" in text


def test_ops_lists_the_catalogue_and_shows_one(engine):
    code, out, _ = engine("ops")
    assert code == 0
    assert "line_length" in out and "parquet" in out
    assert "longest" in engine("ops", "line_length")[1]
    assert {"name", "kind", "summary"} == set(json.loads(engine("ops", "--json")[1])[0])


def test_help_needs_neither_arrow_nor_polars():
    code = (
        "import sys\nfrom engine import cli\n"
        "try:\n    cli.app(['--help'])\nexcept SystemExit:\n    pass\n"
        "print({'pyarrow', 'polars', 'numpy', 'numba', 'ray', 'pydantic'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("set()")
    assert "run" in done.stdout and "why" in done.stdout


def test_ctrl_c_says_how_to_go_on(engine, recipe, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("engine.executor.run_shard", interrupted)
    code, _, err = engine("run", recipe, "--on", "here")
    assert code == 130
    assert "the same command goes on from here" in err
    monkeypatch.undo()


def test_a_full_disk_is_told_in_a_line(engine, recipe, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "runs/tried/x")

    monkeypatch.setattr("engine.storage.open_whole", full)
    code, _, err = engine("run", recipe, "--on", "here")
    assert code == 1
    assert "No space left on device" in err and "Traceback" not in err
