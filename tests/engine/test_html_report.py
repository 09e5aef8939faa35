"""The page about a run: it holds what the run did, loads nothing, and lets no text of a document become part of it."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import engine

from engine import evidence
from engine import recipe as recipes
from engine.html_report import duration, html
from engine.plan import make_plan
from engine.run import Run

RECIPE = """\
name: page
seed: 3
streams:
  code:
    source: {{parquet: {{path: "{path}"}}}}
    steps:
      - line_length: {{longest: 300}}
      - alphanumeric: {{at_least: 0.3}}
      - exact_dedup
      - near_dedup
"""
EVIL = '<script>alert("1")</script><img src="http://evil.example/x.png" onerror=alert(2)>'
VOID = {"meta", "col", "img", "br", "input", "link"}


class Page(HTMLParser):
    """What a browser would make of a page: its elements and its text, and whether they are nested as they should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.open, self.wrong = "", [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.text += data


def function(n: int, name: str) -> str:
    return f"def {name}(first, second):\n    total = first * {n} + second\n    return total\n\n\n"


def corpus(folder, files=2, repo=EVIL):
    folder.mkdir()
    for file in range(files):
        rows = []
        for n in range(30):
            body = "".join(function(n * 40 + k + file * 7, f"name_{n}_{file}_{k}") for k in range(14))
            rows.append({"content": body, "path": f"src/{file}/plain_{n}.py"})
        rows.append({"content": rows[0]["content"] + "\n# one line more\n", "path": f"src/{file}/near.py"})
        rows.append({"content": rows[1]["content"], "path": f"src/{file}/copy.py"})
        rows.append({"content": f"# {EVIL}\nx = '{'y' * 400}'\n", "path": f"src/{file}/{EVIL}.py"})
        rows.append(
            {"content": f"# {file} \x1b[31m{EVIL}\u202e\n" + ("+-*/" * 15 + "\n") * 12, "path": f"src/{file}/signs.py"}
        )
        table = pa.Table.from_pylist([row | {"repo_name": f"{repo}{file}", "ext": "py"} for row in rows])
        pq.write_table(table, folder / f"{file}.parquet", row_group_size=10)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    from conftest import InlinePool, execute

    folder = tmp_path_factory.mktemp("page")
    recipe = recipes.read(RECIPE.format(path=corpus(folder / "corpus")))
    for _ in execute(make_plan(recipe), str(folder / "run"), InlinePool()):
        pass
    return Run(str(folder / "run"))


@pytest.fixture(scope="module")
def page(run):
    with open(f"{run.path}/report.html", encoding="utf-8") as file:
        return file.read()


def test_a_run_ends_with_a_page_that_parses(page):
    parsed = Page(page)
    assert page.startswith("<!doctype html>")
    assert (parsed.wrong, parsed.open) == ([], [])
    assert len(page) < 1_500_000


def test_the_page_loads_nothing_and_runs_nothing(page):
    parsed = Page(page)
    tags = {tag for tag, _ in parsed.elements}
    assert not tags & {"script", "img", "link", "iframe", "object", "embed", "base", "form"}
    for _, attributes in parsed.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "srcset", "xlink:href")]
        assert (attributes.get("href") or "#").startswith("#")
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style and "@import" not in style


def test_its_links_lead_to_its_parts(page):
    parsed = Page(page)
    anchors = {a["id"] for _, a in parsed.elements if "id" in a}
    links = [a["href"] for tag, a in parsed.elements if tag == "a"]
    assert links and {link[1:] for link in links} <= anchors
    assert len([a for _, a in parsed.elements if "id" in a]) == len(anchors)


def test_it_tells_every_step_and_reason_with_its_count(page, run):
    text = Page(page).text
    for step in run.report["steps"]:
        assert step["step"] in text
        for reason, count in step["dropped"].items():
            assert reason in text and f"{count:,}" in text
    assert {"longest_line", "too_few_alphanumeric", "exact_duplicate", "near_duplicate"} <= {
        reason for step in run.report["steps"] for reason in step["dropped"]
    }


def test_texts_of_documents_are_shown_and_stay_text(page):
    parsed = Page(page)
    assert EVIL in parsed.text
    assert page.count("<script") == 0
    assert "\x1b" not in page and "\u202e" not in page


def test_pairs_of_duplicates_stand_side_by_side_with_what_differs(page, run):
    plan = make_plan(recipes.load(f"{run.path}/recipe.yaml"))
    pairs = evidence.pairs(run)
    assert {tuple(sorted((p.dropped, p.kept))) for p in pairs} == {
        (f"src/{n}/near.py", f"src/{n}/plain_0.py") for n in range(2)
    }
    text = Page(page).text
    assert "# one line more" in text and "one of" not in text
    near, exact = evidence.clusters(run, plan)
    assert (near.steps, near.documents, near.sizes) == (("near_dedup",), 2, [("2", 2)])
    assert (exact.steps, exact.documents, exact.sizes) == (("exact_dedup",), 2, [("2", 2)])
    assert {path for path, _ in exact.largest} <= {
        f"src/{n}/{name}.py" for n in range(2) for name in ("copy", "plain_1")
    }


def test_clusters_are_counted_by_sizes_that_double():
    assert evidence._by_range({2: 5, 3: 1, 4: 2, 5: 1, 8: 1, 9: 4, 16: 1, 17: 1}) == [
        ("2", 5), ("3", 1), ("4", 2), ("5–8", 2), ("9–16", 5), ("17–32", 1),
    ]  # fmt: skip


def test_large_exact_clusters_are_counted_by_a_share_of_them(run, monkeypatch):
    plan = make_plan(recipes.load(f"{run.path}/recipe.yaml"))
    whole = [c for c in evidence.clusters(run, plan) if c.steps == ("exact_dedup",)]
    monkeypatch.setattr(evidence, "COUNTED", 1)
    part = [c for c in evidence.clusters(run, plan) if c.steps == ("exact_dedup",)]
    assert [c.documents for c in part] == [c.documents for c in whole]
    assert all(count % 16 == 0 for c in part for _, count in c.sizes)


def test_figures_lie_about_the_bound_as_they_do_in_the_measures(run):
    plan = make_plan(recipes.load(f"{run.path}/recipe.yaml"))
    (told,) = [j for j in evidence.judged(run, plan) if j.reason == "longest_line"]
    longest = run.measures.collect()["longest_line"]
    assert sum(told.spread.counts) == len(longest)
    assert told.failing == pytest.approx((longest > 300).mean())
    above = sum(n for n, edge in zip(told.spread.counts, told.spread.edges, strict=False) if edge >= 300)
    assert 0 < above <= (longest > 300).sum()


def test_a_run_of_nothing_has_a_page_too(tmp_path, run_recipe):
    folder = tmp_path / "empty"
    folder.mkdir()
    pq.write_table(pa.table({"content": pa.array([], pa.string())}), folder / "none.parquet")
    run_recipe(tmp_path / "run", folder)
    parsed = Page((tmp_path / "run" / "report.html").read_text())
    assert "0 of 0 documents kept" in " ".join(parsed.text.split())
    assert (parsed.wrong, parsed.open) == ([], [])


def test_several_streams_and_what_jobs_and_rules_told_have_their_parts(tmp_path, make_corpus, run_recipe):
    text = """\
name: two
streams:
  one:
    source: {{parquet: {{path: "{path}"}}}}
    steps: [line_length]
  other:
    source: {{parquet: {{path: "{path}"}}}}
steps: [exact_dedup]
"""
    run_recipe(tmp_path / "run", make_corpus(files=1), text)
    report = tmp_path / "run" / "report.json"
    told = json.loads(report.read_text())
    told["decisions"] = {"mix": {"tokens": 5, "groups": {"python": {"weight": 0.5, "documents": 1200}}}}
    told["jobs"] = {"tokenize": {"tokens": 123456}}
    report.write_text(json.dumps(told))
    parsed = Page(html(Run(str(tmp_path / "run"))))
    for part in ("Where documents went: one", "Where documents went: other", "mix", "1,200", "123,456", "weight"):
        assert part in parsed.text
    assert (parsed.wrong, parsed.open) == ([], [])


def test_what_is_forgotten_is_gone_from_the_page(tmp_path, run_recipe, capsys):
    out = tmp_path / "run"
    run_recipe(out, corpus(tmp_path / "corpus", repo="octocat/lib"), RECIPE)
    assert "# one line more" in (out / "report.html").read_text()
    (tmp_path / "list.txt").write_text("octocat\n")
    told = engine(capsys, "forget", tmp_path / "list.txt", "--run", out, "--on", "here", "--workers", "1")
    assert told.code == 0, told.err
    page = (out / "report.html").read_text()
    assert "# one line more" not in page and "octocat" not in page and "name_0_0_0" not in page
    assert "forgotten" in Page(page).text


@pytest.mark.parametrize(("seconds", "told"), [(4.25, "4.2 s"), (75, "1 min 15 s"), (12_000, "3 h 20 min")])
def test_times_are_told_for_people(seconds, told):
    assert duration(seconds) == told
