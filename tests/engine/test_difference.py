"""What two runs keep differently, held against their documents and ledgers read by hand."""

from __future__ import annotations

import json
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import engine

from engine import difference as module
from engine.difference import difference
from engine.run import Run

RECIPE = """\
name: {name}
seed: 7
source: {{{{parquet: {{{{path: "{{path}}"}}}}}}}}
steps:
  - line_length: {{{{longest: {longest}}}}}
  - exact_dedup
"""


def documents(run: Run) -> dict[str, dict]:
    return {row["id"]: row for row in run.documents.collect().to_dicts()}


def reasons(run: Run) -> dict[str, tuple[str, str]]:
    return {row["id"]: (row["step"], row["reason"]) for row in run.ledger.collect().to_dicts()}


@pytest.fixture
def two(tmp_path, make_corpus, run_recipe):
    """Two runs of one corpus; the second has a bound of its own."""
    folder = make_corpus(files=3)
    run_recipe(tmp_path / "a", folder, RECIPE.format(name="a", longest=1000))
    run_recipe(tmp_path / "b", folder, RECIPE.format(name="b", longest=22))
    return Run(str(tmp_path / "a")), Run(str(tmp_path / "b"))


@pytest.mark.parametrize("part", [module.PART, 7])
def test_documents_that_left_are_grouped_by_what_dropped_them(two, monkeypatch, part):
    monkeypatch.setattr(module, "PART", part)
    a, b = two
    found = difference(a, b)
    left = set(documents(a)) - set(documents(b))
    assert left and not set(documents(b)) - set(documents(a))
    expected = Counter(reasons(b)[name] for name in left)
    assert {(g.step, g.reason): g.documents for g in found.groups} == expected
    assert {g.kind for g in found.groups} == {"left"}
    assert sum(g.bytes for g in found.groups) == sum(documents(a)[name]["length_bytes"] for name in left)
    by_language = Counter(documents(a)[name]["language"] or "" for name in left)
    assert {name: row["left"] for name, row in found.languages.items()} == by_language
    assert all(len(g.examples) == min(g.documents, module.EXAMPLES) for g in found.groups)
    assert {e["id"] for g in found.groups for e in g.examples} <= left
    assert found.settings == [
        "- name: a",
        "+ name: b",
        "-   - line_length: {longest: 1000, mean: 100.0, exceptions: starcoder}",
        "+   - line_length: {longest: 22, mean: 100.0, exceptions: starcoder}",
    ]


def test_the_other_way_round_they_entered(two):
    a, b = two
    there, back = difference(a, b), difference(b, a)
    assert [(g.step, g.reason, g.documents) for g in back.groups] == [
        (g.step, g.reason, g.documents) for g in there.groups
    ]
    assert (there.count("left"), there.count("entered")) == (back.count("entered"), back.count("left"))


def test_a_run_does_not_differ_from_itself(two):
    found = difference(two[0], two[0])
    assert (found.groups, found.languages, found.settings) == ([], {}, [])


def write(folder, rows):
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "0.parquet")


ROWS = [{"path": f"p{n}.py", "repo_name": "r", "content": f"x = {n}\n", "revision": "1"} for n in range(6)]


def test_other_texts_at_a_place_changed_and_other_revisions_of_a_text_did_not(tmp_path, run_recipe):
    new = [dict(row) for row in ROWS]
    new[0]["content"] = "x = 7\n"  # as long as before
    new[1]["content"] = "x = 1000\n"
    new[2]["path"] = "moved.py"
    del new[5]
    write(tmp_path / "old", ROWS)
    write(tmp_path / "new", new)
    for name in ("old", "new"):
        run_recipe(tmp_path / f"run-{name}", tmp_path / name)
    found = difference(Run(str(tmp_path / "run-old")), Run(str(tmp_path / "run-new")))
    told = {(g.kind, g.step): sorted(e["path"] for e in g.examples) for g in found.groups}
    assert told == {
        ("entered", "not read"): ["moved.py"],
        ("left", "not read"): ["p2.py", "p5.py"],
        ("changed", "input"): ["p0.py", "p1.py"],
    }


def test_a_text_that_is_read_from_another_revision_is_the_same(tmp_path, run_recipe):
    for name in ("1", "2"):
        rows = [
            row | {"revision_id": name, "content": row["content"] + ("#\n" if row["path"] == "p3.py" else "")}
            for row in ROWS
        ]
        if name == "1":
            rows[3]["content"] = ROWS[3]["content"]
        write(tmp_path / f"in-{name}", rows)
        run_recipe(tmp_path / f"run-{name}", tmp_path / f"in-{name}")
    a, b = (Run(str(tmp_path / f"run-{n}")) for n in "12")
    assert not set(documents(a)) & set(documents(b))
    (group,) = difference(a, b).groups
    assert (group.kind, group.documents, [e["path"] for e in group.examples]) == ("changed", 1, ["p3.py"])


def test_a_step_that_writes_text_otherwise_is_named(tmp_path, run_recipe):
    write(
        tmp_path / "in",
        [
            row | {"content": f"# mail me: somebody{n}@mail.example.org\n" * (n % 2) + row["content"]}
            for n, row in enumerate(ROWS)
        ],
    )
    text = 'name: pii\nsource: {{parquet: {{path: "{path}"}}}}\nsteps: [line_length]\n'
    run_recipe(tmp_path / "a", tmp_path / "in", text)
    run_recipe(
        tmp_path / "b", tmp_path / "in", text.replace("[line_length]", "[line_length, detect_pii_rules, redact]")
    )
    a, b = Run(str(tmp_path / "a")), Run(str(tmp_path / "b"))
    (group,) = difference(a, b).groups
    before, after = documents(a), documents(b)
    differ = [name for name in before if before[name]["content"] != after[name]["content"]]
    assert (group.kind, group.step, group.documents) == ("changed", "redact", len(differ))
    assert sorted(e["id"] for e in group.examples) == sorted(differ)


def test_rows_without_a_path_enter_and_leave(tmp_path, run_recipe):
    write(tmp_path / "in-a", [{"content": f"a {n}"} for n in range(4)])
    write(tmp_path / "in-b", [{"content": f"b {n}"} for n in range(3)])
    for name in "ab":
        run_recipe(tmp_path / name, tmp_path / f"in-{name}")
    found = difference(Run(str(tmp_path / "a")), Run(str(tmp_path / "b")))
    assert {(g.kind, g.step): g.documents for g in found.groups} == {
        ("entered", "not read"): 3,
        ("left", "not read"): 4,
    }


def test_a_repeated_row_does_not_explain_where_its_document_went(tmp_path, run_recipe):
    long = {"path": "long.py", "repo_name": "r", "content": "y = '" + "x" * 90 + "'\n", "revision": "1"}
    write(tmp_path / "in", [*ROWS, long, long])
    run_recipe(tmp_path / "a", tmp_path / "in")
    run_recipe(tmp_path / "b", tmp_path / "in", RECIPE.format(name="b", longest=50))
    (group,) = difference(Run(str(tmp_path / "a")), Run(str(tmp_path / "b"))).groups
    assert (group.step, group.reason, group.documents) == ("line_length", "longest_line", 1)


def test_the_command_tells_it_and_speaks_json(two, capsys):
    a, b = two
    told = engine(capsys, "diff", a.path, b.path)
    assert told.code == 0 and "left by line_length longest_line, for example" in told.out
    assert f"{a.report['kept']:,} documents in {a.path}" in " ".join(told.out.split())
    found = json.loads(engine(capsys, "diff", a.path, b.path, "--json").out)
    assert found["left"] == difference(a, b).count("left") and found["entered"] == 0
    told = engine(capsys, "diff", a.path, a.path + "x")
    assert told.code == 2 and "holds no run" in told.err
