"""The release: every document once, in the folder of its language, with a card that adds up."""

import json
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from engine import storage
from engine.forgetting import forget
from engine.op import Job
from engine.pool import InlinePool, LocalPool
from engine.run import Run
from engine.schema import DOCUMENT, MARKUP, spell_out
from ops.export import Export, spelled_out

ONE = """\
name: small
source: {{parquet: {{path: "{path}/code"}}}}
steps:
  - opt_out: {{list: "{path}/list.txt"}}
  - language: {{keep: all}}
  - line_length: {{longest: 1000}}
  - exact_dedup
  - metadata: {{probability: 0.5}}
  - mix: {{caps: {{json: 500}}}}
  - export: {{title: "Small: a corpus", contact: "mailto:me@example.org", file_bytes: 1000}}
"""
TWO = """\
name: small
streams:
  code:
    source: {{parquet: {{path: "{path}/code"}}}}
    steps: [language: {{keep: all}}]
  commits: {{source: {{parquet: {{path: "{path}/commits"}}}}}}
steps: [export]
"""


@pytest.fixture
def corpus(tmp_path) -> Path:
    folder = tmp_path / "in"
    for stream in ("code", "commits"):
        (folder / stream).mkdir(parents=True)
        for k in range(3):
            rows = []
            for n in range(k, 90, 3):
                ending = ("py", "json", "c", "unknown")[n % 4]
                text = f"{stream} {n}\n" + "word " * (n % 50) + ("x" * 2000 if n % 20 == 7 else "")
                rows.append({"path": f"src/f{n}.{ending}", "repo_name": f"owner{n % 5}/lib", "content": text})
            for row in rows:
                row["license"] = "MIT" if row["path"].endswith("py") else None
            pq.write_table(pa.Table.from_pylist(rows), folder / stream / f"p{k}.parquet", row_group_size=8)
    (folder / "list.txt").write_text("owner4\n")
    return folder


def exported(out: Path) -> pl.DataFrame:
    return pl.read_parquet(out / "export" / "data" / "**" / "*.parquet")


def test_every_document_is_there_once_in_its_languages_folder(corpus, run_recipe, tmp_path):
    report = run_recipe(tmp_path / "out", corpus, ONE)
    kept = Run(str(tmp_path / "out")).documents.collect()
    every = exported(tmp_path / "out")
    assert every.height == report.kept == len(set(every["id"]))
    assert every.drop("content").sort("id").equals(kept.drop("content").sort("id"))
    for folder in (tmp_path / "out" / "export" / "data").iterdir():
        mine = set(pl.read_parquet(folder / "*.parquet")["language"].to_list())
        assert mine == {None if folder.name == "no-language" else folder.name}
    names = sorted(p.name for p in (tmp_path / "out" / "export" / "data" / "python").iterdir())
    assert len(names) > 1 and names[0] == f"train-00000-of-{len(names):05}.parquet"
    assert not (tmp_path / "out" / "export" / "_sorted").exists()
    assert report.jobs["export"]["documents"] == report.kept


def test_markup_is_spelled_out(corpus, run_recipe, tmp_path):
    run_recipe(tmp_path / "out", corpus, ONE)
    kept = dict(Run(str(tmp_path / "out")).documents.select("id", "content").collect().iter_rows())
    every = dict(exported(tmp_path / "out").select("id", "content").iter_rows())
    assert every == {k: spell_out(v) for k, v in kept.items()}
    assert any("<filename>src/" in text for text in every.values())


def test_each_token_is_spelled_out():
    texts = pa.chunked_array([pa.array([f"a{mark}b" for mark in MARKUP.values()], pa.large_string())])
    assert spelled_out(texts).to_pylist() == [f"a{token}b" for token in MARKUP]


def test_other_streams_have_folders_of_their_own(corpus, run_recipe, tmp_path):
    run_recipe(tmp_path / "out", corpus, TWO)
    folders = {p.name for p in (tmp_path / "out" / "export" / "data").iterdir()}
    assert folders == {"python", "json", "c", "commits"}


def test_any_workers_write_the_same_bytes(corpus, run_recipe, tmp_path):
    run_recipe(tmp_path / "a", corpus, ONE)
    pool = LocalPool(3)
    run_recipe(tmp_path / "b", corpus, ONE, pool=pool)
    pool.close()
    one, other = (
        {p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n / "export" / "data").rglob("*.parquet")}
        for n in "ab"
    )
    assert {str(k)[2:]: v for k, v in one.items()} == {str(k)[2:]: v for k, v in other.items()} != {}


def test_the_card_says_what_was_counted(corpus, run_recipe, tmp_path):
    report = run_recipe(tmp_path / "out", corpus, ONE)
    text = (tmp_path / "out" / "export" / "README.md").read_text()
    _, front, body = text.split("---\n", 2)
    front = yaml.safe_load(front)
    assert front["pretty_name"] == "Small: a corpus"
    assert front["configs"][0]["data_files"][0]["path"] == "data/*/*.parquet"
    for section in ("Composition", "Use", "How it was made", "Licences", "Personal data", "Opting out"):
        assert f"## {section}\n" in body
    every = exported(tmp_path / "out")
    assert f"| MIT | {every.filter(license='MIT').height} |" in body
    removed = next(s for s in report.steps if s.step == "opt_out").dropped["opted_out_account"]
    assert removed == 18 and f"{removed} documents were removed because their authors asked" in body
    assert "mailto:me@example.org" in body and "**not** searched for" in body
    assert "| code | line_length | " in body or "line_length" in body
    python = every.filter(language="python")
    assert f"| python | {python.height} | {python['length_bytes'].sum() / 1e6:,.2f} |" in body
    assert "column `repeats`" in body


def test_datasets_read_it(corpus, run_recipe, tmp_path):
    datasets = pytest.importorskip("datasets")
    run_recipe(tmp_path / "out", corpus, ONE)
    where = str(tmp_path / "out" / "export")
    every = datasets.load_dataset(where, split="train", cache_dir=str(tmp_path / "cache"))
    assert sorted(every["id"]) == sorted(exported(tmp_path / "out")["id"])
    one = datasets.load_dataset(where, data_dir="data/python", split="train", cache_dir=str(tmp_path / "cache"))
    assert set(one["language"]) == {"python"}


def test_a_run_without_documents_makes_a_card(corpus, run_recipe, tmp_path):
    run_recipe(tmp_path / "out", corpus, ONE.replace("longest: 1000", "longest: 1"))
    assert "## Composition" in (tmp_path / "out" / "export" / "README.md").read_text()


def counted(monkeypatch) -> list[str]:
    runs: list[str] = []
    whole = Export.run

    def run(self, run, out, pool):
        runs.append(out)
        return whole(self, run, out, pool)

    monkeypatch.setattr(Export, "run", run)
    return runs


def test_a_job_runs_again_only_when_the_corpus_or_it_changed(corpus, run_recipe, tmp_path, monkeypatch):
    runs = counted(monkeypatch)
    for text, times in ((ONE, 1), (ONE, 1), (ONE.replace("1000}}", "4000}}"), 2), (ONE.replace("500}}", "400}}"), 3)):
        report = run_recipe(tmp_path / "out", corpus, text)
        assert len(runs) == times
        assert report.jobs["export"]["documents"] == report.kept
    told = json.loads((tmp_path / "out" / "report.json").read_text())
    assert told["jobs"]["export"]["documents"] == told["kept"]
    assert issubclass(Export, Job)


def test_what_is_forgotten_goes_from_the_export_too(corpus, run_recipe, tmp_path):
    run_recipe(tmp_path / "out", corpus, ONE)
    (tmp_path / "more.txt").write_text("owner3\n")
    outcome = forget(str(tmp_path / "more.txt"), str(tmp_path / "out"), InlinePool())
    assert outcome.deleted == [str(tmp_path / "out" / "export")]
    assert not (tmp_path / "out" / "export").exists() and not outcome.made
    assert "export" not in storage.read_json(str(tmp_path / "out" / "report.json"))["jobs"]
    run_recipe(tmp_path / "out", corpus, ONE)
    assert "owner3/lib" not in set(exported(tmp_path / "out")["repo_name"])


def test_what_holds_no_text_is_named_and_left(corpus, run_recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(Export, "holds_text", False)
    run_recipe(tmp_path / "out", corpus, ONE)
    (tmp_path / "more.txt").write_text("owner3\n")
    outcome = forget(str(tmp_path / "more.txt"), str(tmp_path / "out"), InlinePool())
    assert outcome.made == [str(tmp_path / "out" / "export")] and (tmp_path / "out" / "export").exists()


def test_all_files_have_the_same_columns(tmp_path, run_recipe):
    columns = [{"path": "a.py", "content": "x = 1\n"}, {"path": "b", "content": "y = 2\n"}]
    for stream, row in zip(("code", "commits"), columns, strict=True):
        (tmp_path / "in" / stream).mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / "in" / stream / "p.parquet")
    text = TWO.replace("keep: all}}]", "keep: all}}, detect_pii_rules]")
    run_recipe(tmp_path / "out", tmp_path / "in", text)
    files = sorted((tmp_path / "out" / "export" / "data").rglob("*.parquet"))
    one, other = (pq.read_schema(f) for f in files)
    assert one.equals(other) and "pii" in one.names
    lacking = pq.read_table(next(f for f in files if f.parent.name == "commits"))
    assert lacking.column("pii").to_pylist() == [None]


def test_a_column_that_holds_nothing_is_left_out(tmp_path, run_recipe):
    (tmp_path / "in" / "code").mkdir(parents=True)
    pq.write_table(
        pa.Table.from_pylist([{"path": "a.py", "content": "x = 1\n"}]), tmp_path / "in" / "code" / "p.parquet"
    )
    text = 'name: t\nsource: {{parquet: {{path: "{path}"}}}}\nsteps: [detect_pii_rules, redact, export]\n'
    run_recipe(tmp_path / "out", tmp_path / "in" / "code", text)
    assert set(DOCUMENT.names) <= set(exported(tmp_path / "out").columns)
