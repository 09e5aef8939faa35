"""Documents become ids: whole, in place, with the end behind each; the run keeps the column and knows the tokenizer."""

import json

import polars as pl
import pyarrow as pa
import pytest
from flawed_corpus import TEXTS

from engine import tokenizer
from engine.errors import OpError
from engine.run import Run
from engine.schema import MARKUP, TEXT
from ops.tokenize import Tokenize

RECIPE = """\
name: small
source: {{parquet: {{path: "{path}"}}}}
steps:
  - metadata: {{probability: 0.5}}
  - exact_dedup
  - tokenize: {{tokenizer: FOLDER}}
"""


def test_the_end_stands_behind_each_and_all_comes_back():
    tok = tokenizer.read()
    tokens = Tokenize().map(pa.array([*TEXTS.values(), None], TEXT))["tokens"].to_pylist()
    assert all(ids[-1] == tokenizer.END and tokenizer.END not in ids[:-1] for ids in tokens)
    assert [tok.decode(ids[:-1]) for ids in tokens] == [*TEXTS.values(), ""]


def test_only_markup_becomes_a_special_token():
    spelled, marked = Tokenize().map(pa.array(["<reponame>a", f"{MARKUP['<reponame>']}a"], TEXT))["tokens"].to_pylist()
    assert 18 not in spelled and marked == [18, *tokenizer.read().encode_one("a").tolist(), 0]


def test_a_run_keeps_the_tokens_beside_the_text(make_corpus, run_recipe, tmp_path):
    folder = tmp_path / "tok"
    tokenizer.read().write(str(folder))
    report = run_recipe(tmp_path / "out", make_corpus(), RECIPE.replace("FOLDER", str(folder)))
    documents = Run(str(tmp_path / "out")).documents.collect()
    assert documents.height == report.kept > 0
    assert documents.schema["tokens"] == pl.List(pl.UInt16)
    tok = tokenizer.read()
    for row in documents.iter_rows(named=True):
        assert row["tokens"] == [*tok.encode_one(row["content"]).tolist(), 0]


def test_another_tokenizer_is_another_step(tmp_path):
    tok = tokenizer.read()
    tok.write(str(tmp_path))
    assert Tokenize().besides() == Tokenize(tokenizer=str(tmp_path)).besides() == tok.digest
    made = json.loads((tmp_path / tokenizer.FILE).read_text(encoding="utf-8"))
    made["model"]["vocab"]["<one more>"] = 1 << 16
    other = tmp_path / "other"
    other.mkdir()
    (other / tokenizer.FILE).write_text(json.dumps(made))
    assert Tokenize(tokenizer=str(other)).besides() != tok.digest
    with pytest.raises(OpError, match=r"65,537 entries; 65,536 are the most"):
        Tokenize(tokenizer=str(other)).map(pa.array(["a"], TEXT))


def test_a_folder_without_a_tokenizer_is_told(tmp_path):
    with pytest.raises(OpError, match=r"holds no tokenizer\.json"):
        Tokenize(tokenizer=str(tmp_path)).map(pa.array(["a"], TEXT))
