"""Benchmarks in the forms in which they are published."""

import gzip
import json

import pytest

from engine.errors import OpError
from ops.benchmarks import Passage, read_benchmark, shipped


def _jsonl(path, rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return str(path)


def test_humaneval_is_shipped_whole_but_for_trivial_solutions():
    passages = shipped("humaneval")
    assert len({p.item for p in passages}) == 164
    solutions = {p.text for p in passages if p.field == "canonical_solution"}
    assert len([p for p in passages if p.field == "prompt"]) == 164 and len(passages) == 324
    assert "return ''.join(strings)" not in solutions and "return n**2" not in solutions
    assert all(p.text == p.text.strip() for p in passages)


def test_reproducing_looks_for_the_fourth_trivial_solution():
    solutions = {p.text for p in shipped("humaneval", reproduce=True)}
    assert "return ''.join(strings)" in solutions and "return x + y" not in solutions


def test_the_docstring_is_that_of_the_function_asked_for():
    by_item = {p.item: p.text for p in shipped("humaneval") if p.field == "prompt"}
    assert by_item["HumanEval/10"].startswith("Find the shortest palindrome")
    assert by_item["HumanEval/23"].startswith("Return length of given string")


def test_mbpp_is_its_test_split():
    passages = shipped("mbpp")
    assert {int(p.item) for p in passages} == set(range(11, 511))
    assert [p.field for p in passages] == ["text", "code"] * 500


def test_apps_as_json_lines_and_as_folder(tmp_path):
    path = _jsonl(tmp_path / "test.jsonl", [{"id": 4, "question": "  Polycarp has n coins.\n", "solutions": "[]"}])
    assert read_benchmark("apps", path) == [Passage("apps", "4", "question", "Polycarp has n coins.")]
    for item, text in (("0000", "First question?"), ("0001", " \n")):
        (tmp_path / "APPS" / "test" / item).mkdir(parents=True)
        (tmp_path / "APPS" / "test" / item / "question.txt").write_text(text)
        (tmp_path / "APPS" / "test" / item / "solutions.json").write_text("[]")
    assert read_benchmark("apps", str(tmp_path / "APPS")) == [Passage("apps", "0000", "question", "First question?")]


def test_gsm8k_items_are_numbered(tmp_path):
    path = tmp_path / "test.jsonl.gz"
    rows = [
        {"question": "Janet has 16 eggs.", "answer": "#### 18"},
        {"question": "A robe takes 2 bolts.", "answer": "3"},
    ]
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    found = read_benchmark("gsm8k", str(path))
    assert [(p.item, p.text) for p in found] == [("0", "Janet has 16 eggs."), ("1", "A robe takes 2 bolts.")]


def test_ds1000_ends_where_the_solution_begins(tmp_path):
    rows = [
        {"prompt": "Problem: frame\nBEGIN SOLUTION\n<code>\n", "reference_code": "x", "metadata": {"problem_id": 7}},
        {
            "prompt": "import matplotlib\n# plot\n# SOLUTION START\n",
            "reference_code": "y",
            "metadata": {"problem_id": 8},
        },
    ]
    found = read_benchmark("ds1000", _jsonl(tmp_path / "ds1000.jsonl", rows))
    assert [(p.item, p.text) for p in found] == [("7", "Problem: frame"), ("8", "import matplotlib\n# plot")]


def test_ds1000_folder_takes_the_insertion_variants(tmp_path):
    for variant in ("Insertion", "Completion"):
        folder = tmp_path / "Pandas" / variant / "q3"
        folder.mkdir(parents=True)
        (folder / "prompt.txt").write_text(f"Problem: {variant}\nBEGIN SOLUTION\n")
    found = read_benchmark("ds1000", str(tmp_path))
    assert found == [Passage("ds1000", "Pandas/q3", "prompt", "Problem: Insertion")]


def test_any_other_form_needs_its_fields_named(tmp_path):
    path = _jsonl(tmp_path / "own.jsonl", [{"name": "a", "ask": "What is it?", "answers": ["this", "that"], "n": 3}])
    assert [(p.item, p.field, p.text) for p in read_benchmark("own", path, ["ask", "answers"])] == [
        ("a", "ask", "What is it?"),
        ("a", "answers", "this"),
        ("a", "answers", "that"),
    ]
    with pytest.raises(OpError, match=r"fields: \{own: \[prompt\]\}`; there are name, ask"):
        read_benchmark("own", path)


def test_a_json_list_is_read_too(tmp_path):
    path = tmp_path / "sanitized-mbpp.json"
    path.write_text(json.dumps([{"task_id": 11, "prompt": "Write it.", "code": "pass", "test_list": []}]))
    assert [p.text for p in read_benchmark("mbpp", str(path))] == ["Write it.", "pass"]


@pytest.mark.parametrize("text", ["not json", "[1, 2]", ""])
def test_what_is_no_benchmark_is_refused(tmp_path, text):
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    with pytest.raises(OpError, match="bad"):
        read_benchmark("bad", str(path))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(OpError, match="there is no file"):
        read_benchmark("x", str(tmp_path / "none.jsonl"))
