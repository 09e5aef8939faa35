"""A tokenizer trained on a run: StarCoder's scheme, the same whatever the order, nothing of special tokens learnt."""

import json
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from engine import tokenizer
from engine.errors import OpError
from engine.schema import MARKUP, SPECIAL_TOKENS, TEXT
from ops.tokenizer import TrainTokenizer, stripped

RECIPE = """\
name: small
source: {{parquet: {{path: "{path}"}}}}
steps:
  - language: {{keep: all}}
  - train_tokenizer: OPTIONS
"""
PLAIN = "{{entries: 400, sample: '60%'}}"
_STEMS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
WORDS = [*_STEMS, *(f"{a}{b}" for a in _STEMS for b in _STEMS)]


@pytest.fixture
def corpus(tmp_path):
    rows = []
    for n in range(400):
        words = " ".join(WORDS[(n * k + k) % 110] for k in range(30))
        text = f"def {words.replace(' ', '_')}({n}):\n    return '{words}'\n<fim_prefix>"
        rows.append({"path": f"f{n}.{'py' if n % 4 else 'css'}", "repo_name": f"r{n % 7}", "content": text})
    return rows


def written(rows, folder, files=3):
    folder.mkdir()
    for k in range(files):
        pq.write_table(pa.Table.from_pylist(rows[k::files]), folder / f"p{k}.parquet", row_group_size=50)
    return folder


def trained(run_recipe, rows, place, options=PLAIN):
    place.mkdir()
    folder = written(rows, place / "in")
    return run_recipe(place / "out", folder, RECIPE.replace("OPTIONS", options)).jobs["train_tokenizer"]


def test_it_is_of_starcoders_scheme_and_uses_what_it_learnt(corpus, run_recipe, tmp_path):
    told = trained(run_recipe, corpus, tmp_path / "one")
    out = tmp_path / "one" / "out" / "train_tokenizer"
    made = json.loads((out / tokenizer.FILE).read_text(encoding="utf-8"))
    assert [t["content"] for t in made["added_tokens"]] == list(SPECIAL_TOKENS)
    assert [t["id"] for t in made["added_tokens"]] == list(range(19))
    assert all(t["special"] and not t["normalized"] for t in made["added_tokens"])
    assert made["normalizer"] is None and made["decoder"]["type"] == "ByteLevel"
    tok = tokenizer.read(str(out))
    assert tok.size == told["entries"] == 400
    text = "return 'alpha beta' 12\n"
    ids = tok.encode_one(text)
    assert tok.decode(ids) == text and len(ids) < 14
    assert {tok.decode(ids[n : n + 1]) for n in range(len(ids))} >= {"alpha", " beta", "1", "2"}
    assert 0 < told["documents"] < 400 and told["memory_bytes"] >= 0 and told["seconds"] >= 0
    assert 0.5 < told["bytes"] / sum(len(r["content"]) for r in corpus) < 0.7


def test_special_tokens_are_not_learnt(corpus, run_recipe, tmp_path):
    trained(run_recipe, corpus, tmp_path / "one", "{{entries: 400, sample: '100%'}}")
    tok = tokenizer.read(str(tmp_path / "one" / "out" / "train_tokenizer"))
    assert len(tok.encode_one("<fim_prefix>")) > 6


def test_order_and_shards_make_no_difference(corpus, run_recipe, tmp_path):
    for name, rows in (("one", corpus), ("two", corpus[::-1])):
        trained(run_recipe, rows, tmp_path / name)
    one, two = (tmp_path / n / "out" / "train_tokenizer" / tokenizer.FILE for n in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_weights_draw_a_language_more_often(corpus, run_recipe, tmp_path):
    plain = trained(run_recipe, corpus, tmp_path / "one", "{{entries: 300, sample: '40%'}}")
    more = trained(run_recipe, corpus, tmp_path / "two", "{{entries: 300, sample: '40%', weights: {{css: 9}}}}")
    shares = []
    for name in ("one", "two"):
        card = (tmp_path / name / "out" / "train_tokenizer" / "README.md").read_text()
        (row,) = [line for line in card.splitlines() if line.startswith("| css |")]
        shares.append(int(row.split("|")[2]))
    assert shares[0] < 60 < 100 < shares[1]
    assert abs(more["bytes"] - plain["bytes"]) < 0.2 * plain["bytes"]


def test_the_card_tells_data_licences_and_fertility(corpus, run_recipe, tmp_path):
    rows = [row | {"license": "MIT" if n % 3 else "Zlib"} for n, row in enumerate(corpus)]
    told = trained(run_recipe, rows, tmp_path / "one", "{{entries: 400, sample: '60%', about: Made up.}}")
    card = (tmp_path / "one" / "out" / "train_tokenizer" / "README.md").read_text()
    for part in ("400 entries", "Made up.", "| python |", "MIT (", "Zlib (", "tokenizers 0", f"{told['documents']:,}"):
        assert part in card
    assert set(told["characters_per_token"]) == {"python", "css"}
    assert all(2 < value < 9 for value in told["characters_per_token"].values())


def test_texts_are_stripped_of_special_tokens():
    texts = [
        "a<fim_prefix>b",
        "<|endoftext|>",
        "<fim_<fim_pad>middle>x",
        f"{MARKUP['<reponame>']}n",
        "<other>",
        "|end|",
    ]
    assert stripped(pa.array(texts, TEXT)).to_pylist() == ["ab", "", "x", "n", "<other>", "|end|"]


def test_mistakes_are_told(corpus, run_recipe, tmp_path, monkeypatch):
    with pytest.raises(ValidationError):
        TrainTokenizer(entries=100)
    with pytest.raises(ValidationError):
        TrainTokenizer(sample="much")
    with pytest.raises(OpError, match="no document was drawn"):
        trained(run_recipe, corpus[:5], tmp_path / "one", "{{sample: 1}}")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(OpError, match=r"starcoder-engine\[tokenizer\]"):
        TrainTokenizer().run(str(tmp_path / "one" / "out"), str(tmp_path / "made"), None)
