"""Benchmark text is found, and named in the ledger."""

import json
import pickle

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.op import Ledger
from engine.schema import TEXT
from ops.benchmarks import shipped
from ops.decontaminate import Decontaminate
from ops.substrings import _FOLD, _index

_EXACT = Decontaminate()
_REPRODUCE = Decontaminate(reproduce=True)
_NORMALISED = Decontaminate(match="normalised")
_NGRAM = Decontaminate(match="ngram")


def _batch(texts: list[str]) -> pa.RecordBatch:
    ids = [f"{n:032x}" for n in range(len(texts))]
    return pa.RecordBatch.from_arrays(
        [pa.array(c, TEXT) for c in (ids, ["code"] * len(ids), texts)], ["id", "stream", "content"]
    )


def _of(op: Decontaminate, texts: list[str]) -> list[str | None]:
    batch, verdict = op.judge(_batch(texts))
    assert batch.num_rows == len(texts)
    return verdict.of().to_pylist()


def test_the_ledger_names_benchmark_and_item():
    solution = next(
        p.text for p in shipped("humaneval") if p.item == "HumanEval/27" and p.field == "canonical_solution"
    )
    ledger = Ledger()
    kept = _EXACT.run(_batch(["def f(): pass", f"# mine\n{solution.upper()}\n", "x"]), ledger)
    assert kept.column("content").to_pylist() == ["def f(): pass", "x"]
    row = ledger.table().to_pylist()[0]
    assert (row["step"], row["reason"], row["of"]) == ("decontaminate", "benchmark_text", "humaneval/HumanEval/27")


def test_every_text_of_the_benchmarks_is_found():
    passages = _EXACT.passages
    found = _of(_EXACT, [f"before {p.text.lower()} behind" for p in passages])
    assert all(f is not None for f in found)
    # Some items hold another's text; most are their own.
    own = sum(f == f"{p.benchmark}/{p.item}" for p, f in zip(passages, found, strict=True))
    assert own > 0.9 * len(passages)


def test_what_ends_a_line_does_not_matter_unless_reproducing():
    code = next(p.text for p in shipped("mbpp") if p.item == "502" and p.field == "code")
    assert "\r\n" in code
    assert _of(_EXACT, [code, code.replace("\r\n", "\n")]) == ["mbpp/502"] * 2
    assert _of(_REPRODUCE, [code, code.replace("\r\n", "\n")]) == ["mbpp/502", None]


def test_trivial_solutions_are_kept():
    trivial = ["def add(x, y):\n    return x + y", "return len(string)", "return n**2", "return ''.join(strings)"]
    assert _of(_EXACT, trivial) == [None] * 4
    assert _of(_REPRODUCE, trivial) == [None] * 3 + ["humaneval/HumanEval/28"]


def test_white_space_matters_unless_normalised():
    text = next(p.text for p in shipped("humaneval") if p.item == "HumanEval/11" and p.field == "canonical_solution")
    indented = text.replace("\n", "\n\t\u00a0 ")
    assert _of(_EXACT, [text, indented]) == ["humaneval/HumanEval/11", None]
    assert _of(_NORMALISED, [text, indented]) == ["humaneval/HumanEval/11"] * 2


def test_a_run_of_words_is_enough_for_ngrams():
    question = next(p.text for p in shipped("mbpp") if p.item == "11" and p.field == "text")
    words = question.replace(".", "").split()
    assert len(words) >= 13
    part = "-- ".join(words[-13:]).upper()
    assert _of(_NGRAM, [f"intro {part} outro", " ".join(words[:6])]) == ["mbpp/11", None]
    assert _of(_EXACT, [f"intro {part} outro"]) == [None]


@settings(max_examples=25)
@given(st.integers(0, 1323), st.text(max_size=8), st.sampled_from(["\u0130", "\u212a", "Σ", "É", ""]))
def test_exact_is_lower_cased_containment(number, around, capital):
    passages = _EXACT.passages
    text = around + capital + passages[number % len(passages)].text.swapcase() + capital
    wanted = [p for p in passages if p.text.strip().replace("\r\n", "\n").lower() in text.lower().replace("\r\n", "\n")]
    found = _of(_EXACT, [text])[0]
    assert found == (f"{wanted[0].benchmark}/{wanted[0].item}" if wanted else None)


def test_own_benchmarks_come_after_those_before_them(tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps({"id": "q", "ask": "How many bolts does the robe take in total?"}) + "\n")
    op = Decontaminate(against=("mbpp", {"own": str(path)}), fields={"own": ["ask"]})
    assert _of(op, ["// how many BOLTS does the robe take in total?!", "none"]) == ["own/q", None]


def test_short_texts_are_not_looked_for(tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps({"ask": t}) + "\n" for t in ("yes", "a question")))
    op = Decontaminate(against=({"own": str(path)},), fields={"own": ["ask"]})
    assert _of(op, ["yes", "A question"]) == [None, "own/1"]


def test_an_unknown_benchmark_is_told_of_when_the_recipe_is_read():
    with pytest.raises(ValidationError, match="did you mean `humaneval`"):
        Decontaminate(against=("humanevl",))


def test_nothing_comes_of_no_rows():
    for op in (_EXACT, _NORMALISED, _NGRAM):
        assert _of(op, []) == []
        assert _of(op, ["", "a"]) == [None, None]


def test_a_benchmark_whose_file_changed_is_another_step(tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps({"ask": "How many bolts does the robe take?"}) + "\n")
    first = Decontaminate(against=({"own": str(path)},), fields={"own": ["ask"]})
    same = Decontaminate(against=({"own": str(path)},), fields={"own": ["ask"]})
    assert first.besides() == same.besides() != Decontaminate().besides()
    assert _of(first, ["how many bolts does the robe take?"]) == ["own/0"]
    path.write_text(json.dumps({"ask": "What is the longest word in this sentence?"}) + "\n")
    again = Decontaminate(against=({"own": str(path)},), fields={"own": ["ask"]})
    assert again.besides() != first.besides()
    assert _of(again, ["how many bolts does the robe take?", "what is the longest word in this sentence?"]) == [
        None,
        "own/0",
    ]


def test_a_worker_makes_the_search_ready_once(monkeypatch):
    _of(Decontaminate(), ["a"])
    monkeypatch.setattr(Decontaminate, "search", None)
    assert _of(pickle.loads(pickle.dumps(Decontaminate())), ["return n**2"]) == [None]


@given(st.lists(st.binary(min_size=8, max_size=40), min_size=1, max_size=12), st.sampled_from([1, 8]))
def test_each_string_is_known_by_the_windows_at_its_rarest_place(strings, stride):
    strings = [s for s in strings if len(s) >= 8 + stride - 1]
    index = _index(list(enumerate(strings)), stride)
    if not strings:
        assert index is None
        return
    _, windows, numbers, places, _ = index
    for number, string in enumerate(strings):
        mine = sorted(places[numbers == number].tolist())
        assert mine == list(range(mine[0], mine[0] + stride))
        told = {p: int.from_bytes(string[p : p + 8], "little") | _FOLD for p in mine}
        found = zip(places.tolist(), windows.tolist(), numbers.tolist(), strict=True)
        assert {p: w for p, w, n in found if n == number} == told
    assert (windows[1:] >= windows[:-1]).all()
