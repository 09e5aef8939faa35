"""Every recipe that comes with the engine plans, and those that need no data of a user's run to the end."""

from pathlib import Path

import pytest

from engine.plan import make_plan
from engine.recipe import dump, load, read

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
def test_it_runs_over_documents_with_flaws(path, tmp_path, run_recipe):
    import pyarrow as pa
    import pyarrow.parquet as pq
    from flawed_corpus import corpus

    pq.write_table(pa.Table.from_batches([corpus()]), tmp_path / "flawed.parquet")
    text = path.read_text().replace("environment: {}", f"parquet: {{path: {tmp_path / 'flawed.parquet'}}}")
    report = run_recipe(tmp_path / "out", text=text.replace("{", "{{").replace("}", "}}"))
    assert report.read == report.kept + report.dropped + report.quarantined
    assert 0 < report.kept < report.read
