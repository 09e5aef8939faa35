"""Every recipe that comes with the engine plans, and those that need no data of a user's run to the end."""

import pickle
import subprocess
from pathlib import Path

import make_samples
import polars as pl
import pytest

from engine.plan import make_plan
from engine.recipe import dump, load, read
from engine.run import Run
from engine.schema import MARKUP, spell_out

ROOT = Path(__file__).parents[1]
RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_it_loads_plans_and_can_be_written_out(path):
    recipe = load(str(path))
    assert recipe.name == path.stem
    assert make_plan(recipe).chains
    assert read(dump(recipe)) == recipe


@pytest.mark.parametrize(
    "path", [p for p in RECIPES if p.stem.startswith(("stack", "starcoder-f", "starcoder-r"))], ids=lambda p: p.stem
)
def test_it_runs_over_documents_with_flaws(path, tmp_path, run_recipe, monkeypatch):
    import pyarrow as pa
    import pyarrow.parquet as pq
    from flawed_corpus import corpus

    # Here is no repository.
    monkeypatch.chdir(tmp_path)
    pq.write_table(pa.Table.from_batches([corpus()]), tmp_path / "flawed.parquet")
    text = path.read_text().replace("environment: {}", f"parquet: {{path: {tmp_path / 'flawed.parquet'}}}")
    report = run_recipe(tmp_path / "out", text=text.replace("{", "{{").replace("}", "}}"))
    assert report.read == report.kept + report.dropped + report.quarantined
    assert 0 < report.kept < report.read


# --- the samples --------------------------------------------------------------------------------------------------


def test_the_samples_are_what_makes_them(tmp_path):
    make_samples.write_events(tmp_path / "gharchive")
    make_samples.write_code(tmp_path / "code")
    for folder in ("gharchive", "code"):
        made = {p.relative_to(tmp_path): p.read_bytes() for p in (tmp_path / folder).rglob("*") if p.is_file()}
        shipped = make_samples.SAMPLE / folder
        assert made == {p.relative_to(shipped.parent): p.read_bytes() for p in shipped.rglob("*") if p.is_file()}
    repository = make_samples.SAMPLE / "sundial.git"
    told = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", str(repository), "log", "--format=%s", "--reverse"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.splitlines() == [subject for subject, _ in make_samples.HISTORY]


@pytest.fixture(scope="module")
def all_streams(tmp_path_factory) -> Run:
    """The recipe of all streams, run to its end."""
    from engine.executor import execute
    from engine.pool import InlinePool

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        out = tmp_path_factory.mktemp("all") / "run"
        for _ in execute(make_plan(load("recipes/all-streams.yaml")), str(out), InlinePool()):
            pass
        return Run(str(out))


def texts(run: Run, stream: str) -> dict[str, str]:
    found = run.documents.filter(pl.col("stream") == stream).collect()
    return {f"{r['path']}#{n}": r["content"] for n, r in enumerate(found.sort("path").to_dicts())}


def lost(run: Run) -> set[tuple[str, str, str]]:
    rows = run.ledger.select("stream", "step", "reason").collect()
    return set(rows.iter_rows())


def test_all_five_streams_come_to_their_end(all_streams):
    report = all_streams.report
    assert list(report["streams"]) == ["code", "notebook_scripts", "notebooks_structured", "issues", "commits"]
    assert all(figures["kept"] for figures in report["streams"].values())
    assert report["read"] + report["born"] == report["kept"] + report["dropped"] + report["quarantined"]
    assert report["quarantined"] == 0
    order = [step["step"] for step in report["steps"] if step["stream"] == "code"]
    joint = ["decontaminate", "detect_pii_rules", "redact", "metadata", "mix"]
    assert order[-len(joint) - 2 :] == ["exact_dedup", "near_dedup", *joint]
    for stream in report["streams"]:
        steps = [step["step"] for step in report["steps"] if step["stream"] == stream]
        assert steps[1] == "opt_out"


def test_each_rule_that_the_samples_are_for_shows(all_streams):
    assert lost(all_streams) >= {
        ("code", "line_length", "longest_line"),
        ("code", "exact_dedup", "exact_duplicate"),
        ("code", "near_dedup", "near_duplicate"),
        ("code", "decontaminate", "benchmark_text"),
        ("issues", "bots", "only_bots"),
        ("issues", "users_and_size", "too_short"),
        ("issues", "english", "not_english"),
        ("commits", "commits", "several_files"),
        ("commits", "commit_subject", "version_subject"),
    }
    contaminated = all_streams.ledger.filter(pl.col("step") == "decontaminate").collect()
    assert contaminated["of"].to_list() == ["humaneval/HumanEval/27"]


def test_personal_data_are_replaced_in_every_stream(all_streams):
    settings = next(t for p, t in texts(all_streams, "code").items() if "settings.py" in p)
    assert 'CONTACT = "<EMAIL>"' in settings and 'API_KEY = "<KEY>"' in settings
    everything = "".join(all_streams.documents.collect()["content"])
    for secret in ("sundial-gardens.org", "84.17.52.119", "q8Zx2LrT0vNc7HbW5mKd1PfY"):
        assert secret not in everything


def test_conversations_are_rendered_without_names_mail_and_bots(all_streams):
    issues = texts(all_streams, "issues")
    first = spell_out(next(t for p, t in issues.items() if p.startswith("issues/17")))
    assert first.startswith("<issue_start>Title: Empty files make the parser fail\nusername_0: When a file is empty")
    assert "<issue_comment>username_1: I can see it too, @username_0." in first
    assert first.endswith("<issue_closed>")
    told = spell_out("".join(issues.values()))
    for gone in ("mira-k", "jonas42", "ci-bot", "Reply to this email", "labelled automatically"):
        assert gone not in told
    assert "[Truncated]" in told
    gathered = next(s for s in all_streams.report["steps"] if s["step"] == "gather_conversations")
    # The pull request of November 2025 comes without what it was opened with.
    assert gathered["noted"] == {"pull_request": 2, "no_opening": 1}
    assert any(p.startswith("issues/3#") for p in issues)


def test_commits_hold_the_file_before_and_after(all_streams):
    rendered = [spell_out(t) for t in texts(all_streams, "commits").values()]
    assert rendered
    for text in rendered:
        before, rest = text.removeprefix("<commit_before>").split("<commit_msg>")
        message, after = rest.split("<commit_after>")
        assert text.startswith("<commit_before>") and message and after != before


def test_what_is_exported_has_a_folder_for_each_language_and_stream(all_streams):
    place = Path(all_streams.path) / "export"
    folders = {p.name for p in (place / "data").iterdir()}
    assert {"python", "javascript", "issues", "commits", "notebook_scripts", "notebooks_structured"} <= folders
    table = pl.read_parquet(place / "data" / "*" / "*.parquet")
    # Nothing is left beside a text of what was taken out of it.
    assert {"events", "commit", "title"}.isdisjoint(table.columns)
    assert table.height == all_streams.report["kept"]
    assert not any(mark in text for text in table["content"] for mark in MARKUP.values())
    assert "https://example.org/opt-out" in (place / "README.md").read_text()


def test_a_plan_of_it_travels(all_streams):
    plan = make_plan(load(str(Path(all_streams.path) / "recipe.yaml")))
    assert pickle.loads(pickle.dumps(plan.chains)) == plan.chains


def test_stack_skips_what_it_finds_no_input_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = load(str(ROOT / "recipes" / "stack.yaml"))
    assert [s.name for s in recipe.streams] == ["code", "notebook_scripts", "notebooks_structured"]
    assert [s.parameter for s in recipe.skipped] == [
        "streams.issues.source.gharchive.path",
        "streams.commits.source.commits.path",
    ]
    monkeypatch.chdir(make_samples.SAMPLE / "sundial.git")
    found = load(str(ROOT / "recipes" / "stack.yaml"))
    assert [s.name for s in found.skipped] == ["issues"]
