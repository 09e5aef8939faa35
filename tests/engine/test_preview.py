"""A recipe tried on a few documents tells of each what a run of it would do."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import engine
from gharchive_maker import conversations, events, write

from engine import preview as module
from engine import recipe as recipes
from engine.errors import Refused
from engine.plan import make_plan
from engine.preview import preview
from engine.run import Run

RECIPE = """\
name: tried
seed: 2
source: {{parquet: {{path: "{path}"}}}}
steps:
  - line_length: {{longest: 60}}
  - detect_pii_rules
  - redact
  - exact_dedup
  - alphanumeric: {{at_least: 0.3, exceptions: none}}
"""


def corpus(folder):
    folder.mkdir()
    rows = [{"content": f"value = {n}\nother = value + {n}\n", "path": f"plain_{n}.py"} for n in range(20)]
    rows.append({"content": "x = '" + "y" * 80 + "'\n", "path": "long.py"})
    rows.append({"content": "name = 1\n# mail somebody@mail.example.org\n", "path": "mail.py"})
    rows.append({"content": "+ - * / ( ) [ ]\n" * 3, "path": "signs.py"})
    pq.write_table(pa.Table.from_pylist([row | {"repo_name": "r"} for row in rows]), folder / "0.parquet")
    return folder


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE.format(path=corpus(tmp_path / "in")))
    return path


def tried(path, count=100, stream=None):
    return preview(make_plan(recipes.load(str(path))), stream, count)


def test_every_document_fares_as_it_does_in_a_run(recipe, tmp_path, run_recipe):
    run_recipe(tmp_path / "run", text=recipe.read_text().replace("{", "{{").replace("}", "}}"))
    run = Run(str(tmp_path / "run"))
    documents = {d.id: d for d in tried(recipe)}
    assert set(documents) == set(run.measures.collect()["id"])
    dropped = {row["id"]: (row["step"], row["reason"]) for row in run.ledger.collect().to_dicts()}
    told = {d.id: (e.step, e.reason) for d in documents.values() for e in d.events if e.fate == "dropped"}
    assert told == dropped
    texts = {row["id"]: row["content"] for row in run.documents.collect().to_dicts()}
    for name, text in texts.items():
        changed = [e.after for e in documents[name].events if e.fate == "changed"]
        assert ([documents[name].text, *changed])[-1] == text


def test_each_step_is_told_with_its_figures(recipe):
    by_path = {d.path: d for d in tried(recipe)}
    (long,) = [e for e in by_path["long.py"].events if e.fate == "dropped"]
    assert (long.step, long.reason, long.detail) == ("line_length", "longest_line", "longest_line: 86 > 60")
    fates = [(e.step, e.fate) for e in by_path["plain_1.py"].events]
    assert fates == [
        ("parquet", "read"), ("line_length", "kept"), ("detect_pii_rules", "passed"), ("redact", "wrote"),
        ("exact_dedup", "waits"), ("alphanumeric", "kept"),
    ]  # fmt: skip
    (mail,) = [e for e in by_path["mail.py"].events if e.fate == "changed"]
    assert mail.before == by_path["mail.py"].text and "somebody@mail" not in mail.after
    assert "pii" in mail.detail


def test_those_are_shown_that_fare_differently(recipe):
    shown = tried(recipe, count=4)
    paths = {d.path for d in shown}
    assert len(shown) == 4 and {"long.py", "mail.py", "signs.py"} < paths
    (plain,) = paths - {"long.py", "mail.py", "signs.py"}
    assert plain.startswith("plain")
    (first,) = tried(recipe, count=1)
    assert first.path.startswith("plain")


RAISES = """
from typing import TypedDict

from collections.abc import Iterator

from engine.op import Map


class Text(TypedDict):
    content: str


class Fussy(Map):
    \"\"\"Raises on long texts.\"\"\"

    def map(self, content: str) -> Text:
        if len(content) > 80:
            raise ValueError("too much")
        return {"content": content.upper()}


class Halves(Map):
    \"\"\"Makes two documents of one, and none of a short one.\"\"\"

    def map(self, content: str) -> Iterator[Text]:
        if len(content) < 30:
            return
        yield {"content": content[:10]}
        yield {"content": content[10:]}
"""


def test_a_step_that_raises_and_one_that_makes_several_are_told(tmp_path, outside_op):
    outside_op("fussy_op", RAISES)
    folder = corpus(tmp_path / "in")
    text = 'name: f\nsource: {{parquet: {{path: "{}"}}}}\nsteps: [{}]\n'
    by_path = {d.path: d for d in preview(make_plan(recipes.read(text.format(folder, "fussy, line_length"))), None, 99)}
    assert [(e.fate, e.detail) for e in by_path["long.py"].events][1:] == [("broke", "ValueError: too much")]
    assert [e.fate for e in by_path["plain_3.py"].events] == ["read", "changed", "kept"]
    by_path = {
        d.path: d for d in preview(make_plan(recipes.read(text.format(folder, "halves, line_length"))), None, 99)
    }
    assert [e.fate for e in by_path["plain_3.py"].events] == ["read", "dropped"]
    event = by_path["mail.py"].events[1]
    assert (event.fate, event.after) == ("changed", by_path["mail.py"].text[:10])
    assert event.detail.startswith("became 2 documents")


def test_files_that_never_become_documents_are_told_last(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a.py").write_text("x = 1\n")
    (folder / "b.bin").write_bytes(bytes(range(256)) * 9)
    (folder / "c.py").write_text("")
    plan = make_plan(recipes.read(f'name: f\nsource: {{files: {{path: "{folder}"}}}}\nsteps: [line_length]\n'))
    told = {
        d.path.rpartition("/")[2]: [e.reason for e in d.events if e.fate == "dropped"] for d in preview(plan, None, 9)
    }
    assert told["a.py"] == [] and told["c.py"] == ["empty"] and told["b.bin"] == ["binary"]
    assert [d.path.rpartition("/")[2] for d in preview(plan, None, 1)] == ["a.py"]


def test_a_stream_is_chosen_by_name(tmp_path):
    folder = corpus(tmp_path / "in")
    source = f'source: {{parquet: {{path: "{folder}"}}}}'
    text = f"name: s\nstreams:\n  one:\n    {source}\n  two:\n    {source}\n"
    plan = make_plan(recipes.read(text))
    assert {d.stream for d in preview(plan, None, 2)} == {"one", "two"}
    assert {d.stream for d in preview(plan, "two", 2)} == {"two"}
    with pytest.raises(Refused, match="no stream `tow`; did you mean `two`"):
        preview(plan, "tow")


def test_documents_are_gathered_of_the_rows_that_were_read(tmp_path):
    made = events(5, 12, 30)
    folder = write(tmp_path / "in", made, 1)
    steps = "[gather_conversations, line_length: {longest: 60}]"
    plan = make_plan(recipes.read(f'name: g\nsource: {{gharchive: {{path: "{folder}"}}}}\nsteps: {steps}\n'))
    shown = {(d.repo_name, int(d.path.rpartition("/")[2])): d for d in preview(plan, None, 99)}
    assert set(shown) == set(conversations(made))
    assert {d.events[0].step for d in shown.values()} == {"gather_conversations"}
    assert {d.events[1].fate for d in shown.values()} == {"kept", "dropped"}


def test_documents_come_from_across_the_source(tmp_path, make_corpus, monkeypatch):
    folder = make_corpus(files=12, rows=3)
    monkeypatch.setattr(module, "READ", 8)
    plan = make_plan(recipes.read(f'name: s\nsource: {{parquet: {{path: "{folder}"}}}}\n'))
    assert len({d.path for d in preview(plan, None, 99)}) == 8


def test_the_command_shows_changes_and_lets_no_text_steer_the_terminal(tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    rows = [{"content": "\x1b[31mred [bold]x[/bold]\nsomebody@mail.example.org\n", "path": "a\x1b[2J.py"}]
    pq.write_table(pa.Table.from_pylist(rows), folder / "0.parquet")
    recipe = tmp_path / "r.yaml"
    recipe.write_text(RECIPE.format(path=folder))
    told = engine(capsys, "preview", recipe, "-n", 2)
    assert told.code == 0 and "\x1b" not in told.out
    assert "[bold]x[/bold]" in told.out
    lines = [line.strip() for line in told.out.splitlines()]
    assert "- somebody@mail.example.org" in lines and "+ <EMAIL>" in lines
    documents = json.loads(engine(capsys, "preview", recipe, "--json").out)
    assert documents[0]["events"][0]["fate"] == "read"
    assert engine(capsys, "preview", recipe, "--stream", "x").code == 2
