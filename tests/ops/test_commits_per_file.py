"""Few commits of each file."""

from collections import defaultdict

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

RECIPE = """\
name: t
source: {{parquet: {{path: "{path}"}}}}
steps:
  - commits_per_file: {{at_most: AT_MOST}}
"""
ROWS = [
    {"content": f"text {n}", "path": path, "repo_name": repo}
    for n, (repo, path) in enumerate(
        [("a", "x.py")] * 7 + [("a", "y.py")] * 2 + [("b", "x.py")] * 4 + [(None, "x.py")] * 3 + [("ax", ".py")]
    )
]


def run(run_recipe, tmp_path, at_most, order=1, files=3):
    folder = tmp_path / f"{order}{files}"
    folder.mkdir(exist_ok=True)
    rows = ROWS[::order]
    for n in range(files):
        pq.write_table(
            pa.Table.from_pylist(rows[n::files], pa.schema({k: pa.string() for k in ROWS[0]})), folder / f"{n}.parquet"
        )
    out = tmp_path / f"run{at_most}{order}{files}"
    run_recipe(out, folder, RECIPE.replace("AT_MOST", str(at_most)))
    tables = [pq.read_table(f) for f in sorted((out / "documents").glob("*.parquet"))]
    kept = pa.concat_tables(tables).to_pylist()
    ledger = pq.read_table(out / "ledger").to_pylist() if (out / "ledger").exists() else []
    return kept, ledger


@pytest.mark.parametrize("at_most", [1, 2, 9])
def test_uniqueness(run_recipe, tmp_path, at_most):
    kept, ledger = run(run_recipe, tmp_path, at_most)
    files, wanted = defaultdict(int), defaultdict(int)
    for row in kept:
        files[row["repo_name"], row["path"]] += 1
    for row in ROWS:
        wanted[row["repo_name"], row["path"]] += 1
    assert files == {file: min(at_most, count) for file, count in wanted.items()}
    assert {row["reason"] for row in ledger} <= {"same_file"} and len(kept) + len(ledger) == len(ROWS)
    names = {row["id"]: (row["repo_name"], row["path"]) for row in kept}
    assert all(names[row["of"]] == (row["repo_name"], row["path"]) for row in ledger)


def test_which_one_stays_does_not_hang_on_order_or_shards(run_recipe, tmp_path):
    texts = [
        {(row["path"], row["content"]) for row in run(run_recipe, tmp_path, 1, order, files)[0]}
        for order, files in ((1, 3), (-1, 3), (1, 1))
    ]
    assert texts[0] == texts[1] == texts[2]
