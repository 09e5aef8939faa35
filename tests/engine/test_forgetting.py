"""Forgetting: nothing of a document stays in a run but its id, and no later run brings it back."""

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.errors import Refused
from engine.forgetting import forget
from engine.pool import InlinePool, LocalPool
from engine.run import Run
from engine.story import stories

STEPS = """\
name: forgetful
seed: 3
source: {{parquet: {{path: "{path}"}}}}
steps:
  - line_length: {{longest: 1000}}
  - exact_dedup
  - near_dedup: {{threshold: 0.7}}
"""
PRIVATE = "zanzibar"
"""Stands in path and text of all that is to be forgotten, and nowhere else."""


def body(n: int) -> str:
    return "\n".join(f"def f{n}_{k}(a, b):\n    return a * {k} + b - {n}" for k in range(n % 9 + 6)) + "\n"


def row(repo: str, path: str, content: str, stars: int = 0) -> dict:
    return {"repo_name": repo, "path": path, "content": content, "max_stars_count": stars}


def rows() -> list[list[dict]]:
    """Two files: a kept document of the account, one dropped for a line, a copy of it elsewhere, and others'."""
    mine = f"# {PRIVATE} wrote this\n" + body(3)
    first = [row("Alice/one", f"src/{PRIVATE}_{n}.py", f"# {PRIVATE} {n}\n" + body(20 + n), 90) for n in range(3)]
    first.append(row("Alice/one", f"src/{PRIVATE}_long.py", f"x = '{PRIVATE}'\n# " + "y" * 1200 + "\n", 90))
    first.append(row("Alice/two", f"{PRIVATE}/shared.py", body(50), 90))
    second = [row("bob/lib", f"src/file_{n}.py", body(n)) for n in range(7)]
    second.append(row("bob/lib", "src/copy.py", body(50)))
    second.append(row("carol/lib", "src/near.py", body(50) + "print(1)\n"))
    second.append(row("carol/lib", f"src/{PRIVATE}.py", mine))
    return [first, second]


@pytest.fixture
def finished(tmp_path, run_recipe) -> Path:
    (tmp_path / "in").mkdir()
    for n, part in enumerate(rows()):
        pq.write_table(pa.Table.from_pylist(part), tmp_path / "in" / f"part-{n}.parquet")
    run_recipe(tmp_path / "run", tmp_path / "in", STEPS)
    return tmp_path / "run"


def everything(run: Path) -> str:
    """All that a run's files say, whatever they are packed in."""
    told = []
    for file in sorted(run.rglob("*")):
        if file.suffix == ".parquet":
            table = pq.read_table(file)
            told.append(json.dumps(table.to_pylist(), default=str))
            statistics = pq.ParquetFile(file).metadata
            told += [str(statistics.row_group(n).to_dict()) for n in range(statistics.num_row_groups)]
        elif file.suffix == ".arrow":
            told.append(str(pa.ipc.open_file(file).read_all().to_pylist()))
        elif file.is_file():
            told.append(file.read_bytes().decode("latin-1"))
        told.append(str(file.relative_to(run)))
    return "\n".join(told)


def opted_out(tmp_path: Path, *entries: str) -> str:
    (tmp_path / "list.txt").write_text("".join(e + "\n" for e in entries))
    return str(tmp_path / "list.txt")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def in_all(tmp_path: Path) -> str:
    """A list that names all that is private: an account, and by its hash a file of another one."""
    return opted_out(tmp_path, "ALICE", digest(f"# {PRIVATE} wrote this\n" + body(3)))


def test_nothing_of_a_forgotten_document_stays_but_its_id(finished, tmp_path):
    before = everything(finished)
    assert PRIVATE in before and "Alice" in before
    run = Run(str(finished))
    lost = {r["id"] for r in run.measures.collect().to_dicts() if PRIVATE in r["path"]}
    outcome = forget(in_all(tmp_path), str(finished), InlinePool())
    after = everything(finished)
    assert PRIVATE not in after and "alice" not in after.lower()
    assert outcome.found == len(lost) == 6
    ledger = Run(str(finished)).ledger.collect()
    told = {r["id"]: r for r in ledger.to_dicts() if r["id"] in lost}
    assert set(told) == lost
    assert all(r["path"] is None and r["repo_name"] is None for r in told.values())
    assert sorted(r["reason"] for r in told.values()) == ["forgotten"] * 5 + ["longest_line"]
    assert outcome.removed == 5


def test_the_report_still_adds_up(finished, tmp_path):
    before = Run(str(finished)).report
    outcome = forget(in_all(tmp_path), str(finished), InlinePool())
    run = Run(str(finished))
    after = run.report
    assert after["kept"] == before["kept"] - outcome.removed == run.documents.collect().height
    assert after["read"] == before["read"] == after["kept"] + after["dropped"] + after["quarantined"]
    assert after["dropped"] == run.ledger.collect().height
    assert after["text_bytes_kept"] == run.documents.collect()["length_bytes"].sum()
    assert after["steps"][-1]["dropped"] == {"forgotten": outcome.removed}
    assert "forget" in (finished / "report.md").read_text()


def test_those_dropped_because_of_it_are_listed_and_come_back(finished, tmp_path, run_recipe):
    outcome = forget(opted_out(tmp_path, "alice/two"), str(finished), InlinePool())
    assert sorted(r["path"] for r in outcome.orphans) == ["src/copy.py", "src/near.py"]
    report = run_recipe(finished, tmp_path / "in", STEPS)
    kept = set(Run(str(finished)).documents.collect()["path"])
    assert "src/copy.py" in kept or "src/near.py" in kept
    assert not any(p.endswith("shared.py") for p in kept)
    assert report.read == report.kept + report.dropped + report.quarantined
    assert "alice/two" not in everything(finished).lower()


def test_no_later_run_brings_it_back(finished, tmp_path, run_recipe):
    forget(in_all(tmp_path), str(finished), InlinePool())
    report = run_recipe(finished, tmp_path / "in", STEPS)
    assert PRIVATE not in everything(finished)
    parquet = next(s for s in report.steps if s.step == "parquet")
    assert parquet.dropped == {"forgotten": 6}
    # Nor does more of the same, nor another recipe.
    more = [row("alice/three", f"{PRIVATE}.py", f"# {PRIVATE}\n" + body(70))]
    pq.write_table(pa.Table.from_pylist(more), tmp_path / "in" / "part-9.parquet")
    report = run_recipe(finished, tmp_path / "in", STEPS.replace("1000", "900"))
    assert next(s for s in report.steps if s.step == "parquet").dropped == {"forgotten": 7}
    assert PRIVATE not in everything(finished)


def test_the_run_is_then_as_if_it_had_never_been_read(finished, tmp_path, run_recipe):
    forget(in_all(tmp_path), str(finished), InlinePool())
    run_recipe(finished, tmp_path / "in", STEPS)
    text = STEPS.replace("steps:", f"steps:\n  - opt_out: {{{{list: {tmp_path / 'list.txt'}}}}}")
    run_recipe(tmp_path / "fresh", tmp_path / "in", text)
    assert PRIVATE not in everything(tmp_path / "fresh").replace(str(tmp_path), "")
    one, other = (Run(str(p)).documents.collect().sort("id") for p in (finished, tmp_path / "fresh"))
    assert one.equals(other)


def test_shards_that_hold_nothing_of_it_are_not_run_again(finished, tmp_path, run_recipe):
    forget(opted_out(tmp_path, "carol"), str(finished), InlinePool())
    report = run_recipe(finished, tmp_path / "in", STEPS)
    first = list(finished.glob("stages/*-01-*/receipts/*.json"))
    assert len(first) == 2
    assert report.shards_run < report.shards


def test_a_second_list_adds_to_the_first(finished, tmp_path):
    forget(opted_out(tmp_path, "alice"), str(finished), InlinePool())
    outcome = forget(opted_out(tmp_path, "carol"), str(finished), InlinePool())
    assert outcome.removed >= 1
    assert len((finished / "forgotten.txt").read_text().splitlines()) == 2
    assert set(Run(str(finished)).documents.collect()["repo_name"]) == {"bob/lib"}


@pytest.mark.parametrize("after", range(1, 12, 2))
def test_it_goes_on_where_it_was_stopped(finished, tmp_path, monkeypatch, after):
    from engine import erasing

    calls = []

    def stop(job):
        calls.append(job)
        if len(calls) > after:
            raise KeyboardInterrupt
        return whole(job)

    whole, before = erasing._rewrite, Run(str(finished)).report
    monkeypatch.setattr(erasing, "_rewrite", stop)
    with pytest.raises(KeyboardInterrupt):
        forget(in_all(tmp_path), str(finished), InlinePool())
    monkeypatch.undo()
    assert forget(in_all(tmp_path), str(finished), InlinePool()).removed == 5
    assert PRIVATE not in everything(finished)
    run = Run(str(finished))
    known = [*run.documents.collect()["id"], *run.ledger.collect()["id"]]
    assert len(known) == len(set(known)) == run.report["read"]
    assert run.report["kept"] == run.documents.collect().height == before["kept"] - 5
    assert run.report["dropped"] == run.ledger.collect().height


def test_workers_do_the_same(finished, tmp_path):
    pool = LocalPool(2)
    outcome = forget(in_all(tmp_path), str(finished), pool)
    pool.close()
    assert (outcome.found, outcome.removed) == (6, 5)
    assert PRIVATE not in everything(finished)


def test_input_that_is_gone_is_told_and_the_documents_are_looked_at(finished, tmp_path):
    for file in (tmp_path / "in").iterdir():
        file.unlink()
    outcome = forget(in_all(tmp_path), str(finished), InlinePool())
    assert len(outcome.unread) == 2
    assert PRIVATE not in everything(finished)


def test_its_story_says_so(finished, tmp_path):
    run = Run(str(finished))
    name = next(r["id"] for r in run.documents.collect().to_dicts() if r["repo_name"] == "Alice/one")
    forget(in_all(tmp_path), str(finished), InlinePool())
    (story,) = stories(Run(str(finished)), name)
    assert (story.fate, story.path, story.events[-1].detail) == ("dropped", None, "forgotten")


@pytest.mark.parametrize("entries", [(), ("# nobody",)])
def test_a_list_that_names_nothing_is_refused(finished, tmp_path, entries):
    with pytest.raises(Refused, match="names nothing"):
        forget(opted_out(tmp_path, *entries), str(finished), InlinePool())


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(Refused, match="holds no run"):
        forget(opted_out(tmp_path, "alice"), str(tmp_path / "none"), InlinePool())


def test_files_left_out_at_the_source_are_not_named_either(tmp_path, run_recipe):
    (tmp_path / "in" / "alice").mkdir(parents=True)
    (tmp_path / "in" / "alice" / f"{PRIVATE}.py").write_text("x" * 3000)
    (tmp_path / "in" / "alice" / "other.py").write_text("x = 1\n")
    text = (
        'name: t\nsource: {{files: {{path: "{path}", repo_name: alice/one, max_bytes: 1000}}}}\nsteps: [line_length]\n'
    )
    report = run_recipe(tmp_path / "run", tmp_path / "in", text)
    assert report.dropped >= 1 and PRIVATE in everything(tmp_path / "run")
    forget(opted_out(tmp_path, "alice"), str(tmp_path / "run"), InlinePool())
    assert PRIVATE not in everything(tmp_path / "run")
    run_recipe(tmp_path / "run", tmp_path / "in", text)
    assert PRIVATE not in everything(tmp_path / "run")


def test_the_command_says_what_it_did_and_how_to_regain(finished, tmp_path, monkeypatch, capsys):
    from engine import cli

    monkeypatch.setattr(
        "sys.argv", ["engine", "forget", opted_out(tmp_path, "alice/two"), str(finished), "--workers", "1"]
    )
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    told = capsys.readouterr().out
    assert "documents on the list: 1; kept until now, and removed: 1" in told
    assert "dropped before because of one that is gone: 2" in told and "bob/lib:src/copy.py" in told
    assert f"engine run {finished}/recipe.yaml --out {finished}" in told
    monkeypatch.setattr(
        "sys.argv",
        [*["engine", "run", "--on", "here", "--workers", "1"], f"{finished}/recipe.yaml", "--out", str(finished)],
    )
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    assert {"src/copy.py", "src/near.py"} & set(Run(str(finished)).documents.collect()["path"])
