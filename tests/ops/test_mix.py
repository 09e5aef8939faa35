"""The mixture: amounts, what they come to, and which documents stay."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.digest import chances
from engine.errors import OpError
from engine.recipe import load
from engine.run import Run
from engine.schema import TEXT
from ops.language import folders
from ops.mix import Mix, Weighted, amount, targets

COMPOSITION = json.loads((Path(__file__).parents[1] / "starcoder_composition.json").read_text())
"""Volume, weight and percent of each source of StarCoder's training data."""
RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize(
    ("told", "value"),
    [("1GB", 10**9), (500, 500), ("2.5 KiB", 2560), ("3tb", 3 * 10**12), ("0.5 MB", 500_000), ("7", 7), ("12 B", 12)],
)
def test_amounts_in_bytes(told, value):
    assert amount(told) == (value, 0.0)


def test_amounts_as_shares():
    assert amount("40%") == (None, 0.4)


@pytest.mark.parametrize("told", ["", "GB", "-1", "0%", "140%", "1 PB!", "ten"])
def test_what_is_no_amount_is_refused(told):
    with pytest.raises(ValidationError, match="an amount is bytes"):
        Mix(caps={"json": told})


def test_a_name_has_a_cap_or_a_weight():
    with pytest.raises(ValidationError, match="json has a cap and a weight"):
        Mix(caps={"json": 1}, weights={"json": 1})


@pytest.mark.parametrize("name", ["stack", "starcoder-reproduce", "all-streams"])
def test_the_recipes_mixture_is_starcoders(name):
    step = next(s.op for s in load(str(RECIPES / f"{name}.yaml")).steps if isinstance(s.op, Mix))
    sources = COMPOSITION["sources"]
    sizes = {n: round(row["gb"] * 1e9) for n, row in sources.items() if n in step.names}
    assert sorted(sizes) == ["commits", "css", "json", "yaml"]
    sizes[""] = sum(round(row["gb"] * 1e9) for n, row in sources.items() if n not in sizes)
    got = targets(sizes, step.caps, step.weights)
    assert {n: got[n] / 1e9 for n in step.names} == pytest.approx({n: sources[n]["weight_gb"] for n in step.names})
    others = [row for n, row in sources.items() if n not in sizes]
    assert got[""] / 1e9 == pytest.approx(sum(row["weight_gb"] for row in others))
    for n, row in sources.items():
        kept = got[n] if n in step.names else got[""] * row["gb"] * 1e9 / sizes[""]
        assert 100 * kept / 1e9 / COMPOSITION["total_gb"] == pytest.approx(row["percent"], abs=0.0015)
    # The printed rows are rounded: 767.44 against the total that the percentages are of.
    assert sum(got.values()) / 1e9 == pytest.approx(COMPOSITION["total_gb"], rel=1e-3)


def test_the_recipes_know_starcoders_sources():
    kinds = {
        kind: {n for n, row in COMPOSITION["sources"].items() if row["kind"] == kind} for kind in ("language", "stream")
    }
    recipe = load(str(RECIPES / "all-streams.yaml"))
    assert {s.name for s in recipe.streams} == kinds["stream"] | {"code"}
    assert kinds["language"] == folders(stack86=True)


def test_shares_are_of_what_results():
    got = targets({"a": 100, "b": 1000, "": 600}, {}, {"a": "25%", "b": "25%"})
    assert got == {"a": 300, "b": 300, "": 600}


def test_a_cap_that_is_a_share_binds_only_what_exceeds_it():
    assert targets({"a": 100, "": 900}, {"a": "20%"}, {}) == {"a": 100, "": 900}
    assert targets({"a": 900, "": 100}, {"a": "20%"}, {}) == {"a": 25, "": 100}


def test_shares_that_leave_nothing_for_the_rest_are_told():
    assert targets({"a": 100, "b": 300, "": 0}, {}, {"a": "50%", "b": "50%"}) == {"a": 200, "b": 200, "": 0}
    with pytest.raises(ValueError, match="nothing is left for the rest"):
        targets({"a": 100, "": 300}, {}, {"a": "100%"})


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 10**12), min_size=4),
    st.dictionaries(st.sampled_from("abcd"), st.integers(1, 24)),
)
def test_caps_as_shares_hold_in_the_mixture(sizes, percents):
    caps = {k: f"{v}%" for k, v in percents.items()}
    sizes[""] = 10**12
    got = targets(sizes, caps, {})
    total = sum(got.values())
    for name, percent in percents.items():
        assert got[name] <= sizes[name]
        assert got[name] <= percent / 100 * total + len(sizes)


RECIPE = """\
name: mixture
seed: 5
streams:
  code:
    source: {{parquet: {{path: "{path}/code"}}}}
    steps:
      - language: {{keep: all}}
      - exact_dedup
  commits:
    source: {{parquet: {{path: "{path}/commits"}}}}
steps:
  - mix: MIX
"""


def corpus(folder, rows=400, order=1, files=3):
    """JSON and Python in one stream, texts in another."""
    rng = np.random.default_rng(0)
    for stream in ("code", "commits"):
        (folder / stream).mkdir(parents=True, exist_ok=True)
        made = []
        for n in range(rows):
            ending = ("json", "py", "css")[n % 3] if stream == "code" else "py"
            made.append(
                {
                    "path": f"f{n}.{ending}",
                    "repo_name": f"r/{n % 7}",
                    "content": f"{stream} {n} " + "x" * int(rng.integers(1, 200)),
                }
            )
        for k in range(files):
            part = made[k::files][::order]
            pq.write_table(pa.Table.from_pylist(part), folder / stream / f"p{k}.parquet")
    return folder


def mixed(run_recipe, tmp_path, mix, name="out", **options):
    folder = corpus(tmp_path / f"{name}-in", **options)
    report = run_recipe(tmp_path / name, folder, RECIPE.replace("MIX", mix.replace("{", "{{").replace("}", "}}")))
    return report, Run(str(tmp_path / name))


def by_language(run):
    documents = run.documents.collect()
    named = pl.when(pl.col("stream") == "commits").then(pl.lit("commits")).otherwise("language")
    return documents.with_columns(name=named)


def test_caps_are_met_to_the_document_in_the_order_of_the_draw(run_recipe, tmp_path):
    report, run = mixed(run_recipe, tmp_path, "{caps: {json: 4KB, commits: 10%}}")
    measures, documents = run.measures.collect(), by_language(run)
    chosen = documents.filter(name="json")
    every = measures.filter(stream="code", language="json")
    draws = chances(every["id"].to_arrow().cast(TEXT), 5, "mix")
    every = every.with_columns(draw=pl.Series(draws)).sort("draw")
    fitting = every.filter(pl.col("length_bytes").cum_sum() <= 4000)
    assert set(chosen["id"]) == set(fitting["id"]) and 0 < len(fitting) < len(every)
    kept = documents["length_bytes"].sum()
    assert documents.filter(name="commits")["length_bytes"].sum() == pytest.approx(0.1 * kept, rel=0.05)
    assert documents.filter(name="python").height == measures.filter(stream="code", language="python").height
    assert set(documents["repeats"]) == {1}
    dropped = run.ledger.collect()
    assert set(dropped["reason"]) == {"over_weight"}
    assert report.read == report.kept + report.dropped


def test_the_report_accounts_for_every_byte(run_recipe, tmp_path):
    report, run = mixed(run_recipe, tmp_path, "{caps: {json: 4KB}, weights: {css: 30KB, commits: 9KB}}")
    told, documents = report.decisions["mix"]["groups"], by_language(run)
    assert set(told) == {"json", "css", "commits", ""}
    for name in ("json", "css", "commits"):
        mine = documents.filter(name=name)
        assert told[name]["documents_kept"] == mine.height
        assert told[name]["bytes_kept"] == mine["length_bytes"].sum()
        repeated = (mine["length_bytes"] * mine["repeats"]).sum()
        assert told[name]["bytes_repeated"] == repeated <= told[name]["target"] < repeated + 250
    rest = documents.filter(~pl.col("name").is_in(["json", "css", "commits"]))
    assert (told[""]["documents"], told[""]["bytes_kept"], told[""]["target"]) == (
        rest.height,
        rest["length_bytes"].sum(),
        None,
    )
    assert "| json |" in (tmp_path / "out" / "report.md").read_text()


def test_a_weight_above_the_volume_repeats(run_recipe, tmp_path):
    _, run = mixed(run_recipe, tmp_path, "{weights: {css: 40KB}}")
    css = by_language(run).filter(name="css")
    repeats = sorted(set(css["repeats"]))
    assert len(repeats) == 2 and repeats[1] == repeats[0] + 1 >= 2
    assert (css["length_bytes"] * css["repeats"]).sum() == pytest.approx(40_000, abs=250)


def test_neither_order_nor_files_matter_and_more_input_draws_from_the_same_row(run_recipe, tmp_path):
    _, one = mixed(run_recipe, tmp_path, "{caps: {json: 4KB}}", "one")
    _, other = mixed(run_recipe, tmp_path, "{caps: {json: 4KB}}", "other", order=-1, files=5)
    _, more = mixed(run_recipe, tmp_path, "{caps: {json: 4KB}}", "more", rows=600)
    ids = [set(by_language(r).filter(name="json")["id"]) for r in (one, other, more)]
    assert ids[0] == ids[1]
    known = set(one.measures.collect()["id"])
    assert ids[2] & known <= ids[0]


def test_it_is_settled_once(run_recipe, tmp_path):
    first, _ = mixed(run_recipe, tmp_path, "{caps: {json: 4KB}}")
    second, _ = mixed(run_recipe, tmp_path, "{caps: {json: 4KB}}")
    assert second.decisions == first.decisions
    _, run = mixed(run_recipe, tmp_path, "{caps: {json: 2KB}}")
    assert by_language(run).filter(name="json")["length_bytes"].sum() <= 2000


def test_what_was_dropped_before_does_not_count(run_recipe, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    rows = [{"path": f"{n}.json", "content": f"{{ {n // 2} }}" + " " * 90} for n in range(40)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "a.parquet")
    steps = "language: {{keep: all}}, exact_dedup, mix: {{weights: {{json: 4KB}}}}, line_length"
    text = 'name: t\nsource: {{parquet: {{path: "{path}"}}}}\nsteps: [STEPS]\n'.replace("STEPS", steps)
    report = run_recipe(tmp_path / "out", folder, text)
    assert report.decisions["mix"]["groups"]["json"]["documents"] == 20
    documents = Run(str(tmp_path / "out")).documents.collect()
    assert documents.height == 20 and (documents["repeats"] * documents["length_bytes"]).sum() == pytest.approx(
        4000, abs=100
    )


def test_an_impossible_mixture_is_told(run_recipe, tmp_path):
    with pytest.raises(OpError, match="mix: json are to be all of the mixture"):
        mixed(run_recipe, tmp_path, "{weights: {json: 100%}}")


def test_without_names_nothing_happens():
    kept, verdict = Weighted(groups={}).drop(*(pa.array(c, TEXT) for c in (["1"], ["code"], [None])))
    assert kept["repeats"].to_pylist() == [1] and verdict.codes().tolist() == [-1]
