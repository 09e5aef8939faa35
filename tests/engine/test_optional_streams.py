"""Streams that wait for input: skipped and told while they have none, and a mistake once a user has given one."""

import json
import sys
from pathlib import Path

import pytest

from engine import cli
from engine.errors import EngineError, RecipeError
from engine.plan import make_plan
from engine.recipe import Recipe, dump, read
from engine.report import Report

TEXT = """\
name: some
seed: 1
streams:
  code:
    source: {{parquet: {{path: "{corpus}"}}}}
    steps: [line_length]
  issues:
    optional: true
    source: gharchive
    steps:
      - gather_conversations
      - users_and_size
  more:
    optional: true
    source: {{parquet: {{path: "{more}"}}}}
    steps: [line_length]
steps:
  - exact_dedup
"""


@pytest.fixture
def text(make_corpus, tmp_path) -> str:
    return TEXT.format(corpus=make_corpus(rows=30), more=tmp_path / "none")


def told(recipe: Recipe) -> list[str]:
    return [left.told() for left in recipe.skipped]


def test_a_stream_without_input_is_skipped_and_says_what_gives_it(text, tmp_path):
    recipe = read(text)
    assert [s.name for s in recipe.streams] == ["code"]
    assert [c.stream for c in make_plan(recipe).chains] == ["code"]
    one, other = told(recipe)
    assert one == (
        "issues is skipped: its source gharchive has no `path`; "
        "give it with --set streams.issues.source.gharchive.path=PATH"
    )
    assert "more is skipped" in other and str(tmp_path / "none") in other
    assert other.endswith("give it with --set streams.more.source.parquet.path=PATH")


def test_what_it_says_to_set_gives_the_stream_its_input(text, make_corpus):
    recipe = read(text, settings=[f"streams.more.source.parquet.path={make_corpus('more')}"])
    assert [s.name for s in recipe.streams] == ["code", "more"]
    assert [left.name for left in recipe.skipped] == ["issues"]


def test_a_stream_whose_input_is_there_is_run(text, tmp_path, make_corpus):
    make_corpus("none")
    assert [s.name for s in read(text).streams] == ["code", "more"]


def test_it_is_written_out_and_read_again(text):
    recipe = read(text)
    assert read(dump(recipe)) == recipe
    assert "optional: true" in dump(recipe)


@pytest.mark.parametrize(
    ("setting", "wrong"),
    [
        ("streams.issues.source.gharchive.pull_requests=drop", "gharchive needs the parameter `path`"),
        ("streams.issues.source.gharchive.pfad=x", "has no parameter `pfad`"),
        ("streams.issues.source={gharchive: {}}", "gharchive needs the parameter `path`"),
        ("streams.issues.source.conversations.pull_requests=drop", "conversations needs the parameter `path`"),
    ],
)
def test_what_a_user_sets_must_be_right(text, setting, wrong):
    with pytest.raises(RecipeError, match=wrong):
        read(text, settings=[setting])


def test_a_path_that_a_user_sets_must_be_there(text, tmp_path, run_recipe):
    setting = f"streams.more.source.parquet.path={tmp_path / 'typo'}"
    recipe = read(text, settings=[setting])
    assert [s.name for s in recipe.streams] == ["code", "more"]
    with pytest.raises(EngineError, match="typo"):
        list(recipe.streams[1].source.shards())


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("    source: {gharchive: {pull_requests: maybe}}", "pull_requests"),
        ("    source: gharchiv", "no source `gharchiv`"),
        ("    source: {gharchive: {pth: x}}", "has no parameter `pth`"),
        ("    source: gharchive\n    steps: [nosuchop]", "nosuchop"),
    ],
)
def test_other_mistakes_of_an_optional_stream_are_told(line, wrong):
    with pytest.raises(RecipeError, match=wrong):
        read(f"name: r\nstreams:\n  code: {{source: environment}}\n  issues:\n    optional: true\n{line}\n")


def test_optional_is_true_or_false():
    with pytest.raises(RecipeError, match="`optional` is true or false, not 3"):
        read("name: r\nstreams:\n  code: {source: environment, optional: 3}\n")


def test_a_stream_that_is_not_optional_needs_its_parameters(text):
    with pytest.raises(RecipeError, match="gharchive needs the parameter `path`"):
        read(text.replace("optional: true", "optional: false"))


def test_a_recipe_of_which_nothing_is_left_is_a_mistake():
    with pytest.raises(RecipeError, match=r"nothing is left to be read: issues is skipped(.|\n)*gharchive\.path=PATH"):
        read("name: r\nstreams:\n  issues: {source: gharchive, optional: true}\n")


def test_commands_say_it_before_and_after(text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("r.yaml").write_text(text)

    def engine(*arguments: str) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["engine", *arguments])
        with pytest.raises(SystemExit, match="0"):
            cli.main()
        return capsys.readouterr()

    setting = "--set streams.issues.source.gharchive.path=PATH"
    out, _ = engine("plan", "r.yaml", "--no-probe")
    assert "issues is skipped" in out and setting in out
    out, err = engine("run", "r.yaml", "--on", "here", "--workers", "1")
    assert "issues is skipped" in err and setting in err
    assert "issues was skipped" in out and setting in out
    report = Report.load("runs/some")
    assert [s["stream"] for s in report.skipped] == ["issues", "more"]
    assert report.streams.keys() == {"code"}
    assert setting in Path("runs/some/report.md").read_text()
    assert "Stream issues was skipped" in Path("runs/some/report.html").read_text()
    # The recipe that the run leaves says the same, and can be run again.
    out, _ = engine("run", "runs/some/recipe.yaml", "--on", "here", "--workers", "1", "--json")
    assert [s["stream"] for s in json.loads(out)["skipped"]] == ["issues", "more"]
