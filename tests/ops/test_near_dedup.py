"""Near-deduplication as an op, in whole runs: who is dropped, for whom, and that nothing else decides it."""

import random
import re

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shingle_reference import the_stacks_survivors

from engine.errors import OpError
from engine.pool import LocalPool
from engine.run import Run
from ops import near_dedup

WORDS = [f"word{n}" for n in range(4000)]


def families(seed, count, languages=("python", "rust")):
    """Rows of families: an original and copies of it with more and more words changed."""
    draw = random.Random(seed)
    rows = []
    for family in range(count):
        words = draw.choices(WORDS, k=draw.randint(40, 200))
        for copy in range(draw.randint(1, 5)):
            own = list(words)
            for _ in range(int(len(own) * draw.choice([0, 0.005, 0.01, 0.02, 0.05, 0.3]))):
                own[draw.randrange(len(own))] = draw.choice(WORDS)
            rows.append(
                {
                    "content": " ".join(own) + "\n",
                    "path": f"f{family}/c{copy}.txt",
                    "repo_name": f"repo{draw.randrange(5)}",
                    "language": draw.choice(languages),
                    "star_events_count": draw.randrange(3),
                    "license": draw.choice(["MIT", "GPL-3.0-only", None]),
                }
            )
    for n in range(12):
        rows.append({"content": "a b" if n % 2 else f"only{n}", "path": f"short/{n}.txt", "language": "python"})
    draw.shuffle(rows)
    return rows


def write(folder, rows, files):
    folder.mkdir()
    for n in range(files):
        table = pa.Table.from_pylist(rows[n::files], schema=pa.Table.from_pylist(rows).schema)
        pq.write_table(table, folder / f"p{n}.parquet", row_group_size=17)
    return folder


def recipe(parameters=""):
    return "name: t\nsource: {{parquet: {{path: '{path}'}}}}\nsteps:\n  - near_dedup: {{" + parameters + "}}\n"


def shingles(text, n=5):
    words = re.findall(r"[0-9A-Za-z_]+", text)
    return {tuple(words[i : i + n]) for i in range(max(1, len(words) - n + 1))} if words else set()


def jaccard(a, b):
    return len(a & b) / len(a | b)


def rank(row):
    return (
        row["license"] != "MIT",
        -(row["star_events_count"] or 0),
        -len(row["content"].encode()),
        row["path"],
    )


def brute_force(rows, threshold=0.7):
    """Paths dropped, each with its witnesses: ranked greedy over exact similarities of all pairs of a language."""
    kept, dropped = [], {}
    for row in sorted(rows, key=rank):
        own = shingles(row["content"])
        near = [
            k["path"]
            for k, its in kept
            if k["language"] == row["language"] and own and its and jaccard(own, its) >= threshold
        ]
        if near:
            dropped[row["path"]] = near
        else:
            kept.append((row, own))
    return dropped


def test_what_is_dropped_is_what_brute_force_drops_each_for_a_kept_document(run_recipe, tmp_path):
    rows = families(1, 120)
    for row in rows:
        row.setdefault("license", None)
        row.setdefault("star_events_count", None)
    run_recipe(tmp_path / "out", write(tmp_path / "in", rows, 3), recipe())
    run = Run(str(tmp_path / "out"))
    truth = brute_force(rows)
    found = run.duplicates.collect()
    text = {r["path"]: shingles(r["content"]) for r in rows}
    missed = set(truth) - set(found["dropped_path"])
    assert len(missed) <= 0.01 * len(truth)
    kept_ids = set(run.documents.select("id").collect()["id"])
    for pair in found.to_dicts():
        assert pair["kept"] in kept_ids
        assert pair["exact"]
        assert pair["similarity"] == pytest.approx(jaccard(text[pair["dropped_path"]], text[pair["kept_path"]]))
        assert pair["similarity"] >= 0.7
        assert 1 <= pair["bands_shared"] <= 42
    sizes = found.group_by("kept").agg(pl.col("cluster_size").first(), pl.len())
    assert (sizes["cluster_size"] == sizes["len"] + 1).all()
    ledger = run.ledger.collect()
    assert (
        ledger.select("id", "of", "score").sort("id").rows()
        == found.select("dropped", "kept", "similarity").sort("dropped").rows()
    )


def test_the_layout_of_the_input_does_not_matter(run_recipe, tmp_path, monkeypatch):
    rows = families(2, 80)
    answers = []
    for n, files in enumerate((1, 2, 7)):
        random.Random(n).shuffle(rows)
        if n == 2:
            # Many parts and partitions, and threads.
            monkeypatch.setattr(near_dedup, "PART_DOCUMENTS", 9)
            monkeypatch.setattr("engine.sketches.PARTITION_KEYS", 500)
        pool = LocalPool(3) if n else None
        run_recipe(tmp_path / f"out{n}", write(tmp_path / f"in{n}", rows, files), recipe(), pool=pool)
        found = Run(str(tmp_path / f"out{n}")).duplicates.collect()
        answers.append(found.sort("dropped").rows())
    assert answers[0] == answers[1] == answers[2] != []


def test_languages_are_apart_unless_told(run_recipe, tmp_path):
    text = " ".join(WORDS[:50])
    rows = [{"content": text + f" {n}", "path": str(n), "language": language} for n, language in enumerate("aabb")]
    folder = write(tmp_path / "in", rows, 2)
    assert run_recipe(tmp_path / "a", folder, recipe()).dropped == 2
    assert run_recipe(tmp_path / "b", folder, recipe("by: all")).dropped == 3


def test_short_documents_stay_unless_alike_and_empty_ones_never_meet(run_recipe, tmp_path):
    contents = ["a b", "a b ", "a b c", "!!", "??", "x"]
    rows = [{"content": c, "path": f"p{n}", "language": "python"} for n, c in enumerate(contents)]
    run_recipe(tmp_path / "out", write(tmp_path / "in", rows, 1), recipe())
    # `a b ` is longer than `a b`, so it ranks first.
    assert Run(str(tmp_path / "out")).ledger.select("path").collect()["path"].to_list() == ["p0"]


def test_a_shard_of_which_nothing_is_left_is_no_hindrance(run_recipe, tmp_path):
    folder = write(tmp_path / "in", families(6, 10), 2)
    pq.write_table(
        pa.table({"content": pa.array([], pa.string()), "path": pa.array([], pa.string())}), folder / "e.parquet"
    )
    (folder / "broken.parquet").write_bytes(b"PAR1 and no more")
    report = run_recipe(tmp_path / "out", folder, recipe())
    assert report.quarantined == 1 and report.kept


def test_without_verification_components_collapse(run_recipe, tmp_path):
    rows = families(3, 60)
    folder = write(tmp_path / "in", rows, 2)
    verified = run_recipe(tmp_path / "a", folder, recipe())
    collapsed = run_recipe(tmp_path / "b", folder, recipe("verify: false"))
    assert collapsed.dropped >= verified.dropped > 0
    assert not Run(str(tmp_path / "b")).duplicates.collect()["exact"].any()


def test_reproduce_keeps_what_the_stack_kept(run_recipe, tmp_path):
    rows = [r | {"language": "python"} for r in families(4, 40)]
    folder = write(tmp_path / "in", rows, 1)
    run_recipe(tmp_path / "out", folder, recipe("reproduce: true"))
    kept = Run(str(tmp_path / "out")).documents.select("path").collect()["path"].to_list()
    assert kept == [rows[place]["path"] for place in the_stacks_survivors([r["content"] for r in rows])]


def test_an_earlier_run_is_preferred_where_told(run_recipe, tmp_path):
    text = " ".join(WORDS[:80])
    old = [{"content": text, "path": "old", "language": "a"}]
    new = [*old, {"content": text + " and a little more", "path": "new", "language": "a"}]
    run_recipe(tmp_path / "old", write(tmp_path / "in", old, 1), recipe())
    folder = write(tmp_path / "more", new, 1)
    run_recipe(tmp_path / "fresh", folder, recipe())
    assert Run(str(tmp_path / "fresh")).ledger.collect()["path"].to_list() == ["old"]
    run_recipe(tmp_path / "preferred", folder, recipe(f"prefer: '{tmp_path / 'old'}'"))
    assert Run(str(tmp_path / "preferred")).ledger.collect()["path"].to_list() == ["new"]
    with pytest.raises(OpError, match="holds no finished run"):
        run_recipe(tmp_path / "x", folder, recipe("prefer: nowhere"))


def test_the_loss_of_nearly_all_of_a_language_stops_the_run(run_recipe, tmp_path):
    text = " ".join(WORDS[:60])
    rows = [{"content": f"{text} {n}", "path": str(n), "language": "cobol"} for n in range(1000)]
    rows += [
        {"content": " ".join(WORDS[60 + n : 90 + n]), "path": f"x{n}", "language": "c"} for n in range(0, 3000, 40)
    ]
    folder = write(tmp_path / "in", rows, 2)
    with pytest.raises(OpError, match=r"more than 95% of cobol; .* near_dedup: \{alarm: 1\}"):
        run_recipe(tmp_path / "out", folder, recipe())
    assert run_recipe(tmp_path / "out", folder, recipe("alarm: 1")).dropped == 999


def test_new_input_joins_the_sketches_that_are_there(run_recipe, tmp_path, bytes_of):
    rows = families(5, 60)
    folder = write(tmp_path / "in", rows[:-30], 3)
    run_recipe(tmp_path / "out", folder, recipe())
    pq.write_table(pa.Table.from_pylist(rows[-30:]), folder / "p9.parquet")
    run_recipe(tmp_path / "out", folder, recipe())
    run_recipe(tmp_path / "fresh", folder, recipe())
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "fresh") != {}


@settings(max_examples=15)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=60), st.integers(1, 200))
def test_parts_hold_whole_components(sizes, at_once):
    roots = np.repeat(np.arange(len(sizes), dtype=np.uint64), sizes)
    before = near_dedup.PART_DOCUMENTS
    near_dedup.PART_DOCUMENTS = at_once
    try:
        parts, count = near_dedup._parts(roots)
    finally:
        near_dedup.PART_DOCUMENTS = before
    assert set(parts) == set(range(count))
    for root in np.unique(roots):
        assert len(set(parts[roots == root])) == 1
