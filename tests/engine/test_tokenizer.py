"""Ids are those of the library `tokenizers`, whatever the text; nothing is lost, and nothing spelled is special."""

from __future__ import annotations

import functools
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from engine import storage, tokenizer
from engine.columns import OVERREAD
from engine.errors import OpError
from engine.schema import FIRST_MARKUP, LAST_MARKUP, MARKUP, SPECIAL_TOKENS, TEXT

KNOWN = {mark: number for number, mark in enumerate(MARKUP.values())}


@functools.cache
def oracle() -> Any:
    made = tokenizers.Tokenizer.from_file(str(tokenizer.SHIPPED / tokenizer.FILE))
    made.encode_special_tokens = True
    return made


def expected(text: str) -> list[int]:
    """What the library answers for the text between markup."""
    ids, begin = [], 0
    for at, character in enumerate(text + "\0"):
        if character in KNOWN or at == len(text):
            ids += oracle().encode(text[begin:at], add_special_tokens=False).ids
            ids += [KNOWN[character]] if at < len(text) else []
            begin = at + 1
    return ids


def encoded(texts: list[str]) -> list[list[int]]:
    return tokenizer.read().encode(pa.array(texts, TEXT)).to_pylist()


def check(*texts: str) -> None:
    assert encoded(list(texts)) == [expected(text) for text in texts]


HOSTILE = {
    "nothing": "",
    "crlf": "if a:\r\n\tb = 1\r\n\r\n\r\n  c\r",
    "nul": "a\0b\0\0 \0c\0",
    "one byte and the same with NUL": "a b\0 b a\0 a\0\0",
    "contractions": "it's I'm we'll they've you'd can't 'sound' ''s 's's 'S 'RE x'r x'l x'",
    "apostrophes in symbols": "('s, \"'t\" ''ll --'re ='ve",
    "digits after spaces": "a  1\n 12\n\n7  x 3   4\t5\t\t6",
    "other numbers": "x² ½ ⑵ ³  ٣٤\t\t٥ Ⅷ 〇  ½ \U00010d41 \U00011de1",
    "spaces of all kinds": "a\u00a0b\u00a0\u00a0c \u00a0d\u2003\u2003 e\u3000f\x85g\u2028h\x1c i\x1f\x1f j",
    "spaces at the end": "a  \n\n  ",
    "letters of all kinds": "straße naïve 名字 имя e\u0301 ﷺ ǆ ª",
    "emoji": "👩‍👩‍👧 🎉🎉 x🎉 1🎉",
    "marks and controls": "\ufeffa\u200bb\u00adc\x7f\x01\x02",
    "spelled tokens": "".join(SPECIAL_TOKENS) + " <|endoftext|> x<fim_prefix>1",
    "unassigned noncharacters": f"a{chr(FIRST_MARKUP + 19)} {chr(LAST_MARKUP)}",
    "markup": f"{MARKUP['<reponame>']}a/b{MARKUP['<filename>']} c.py  {MARKUP['<gh_stars>']}1{MARKUP['<fim_pad>']}",
    "markup after spaces": f"a  {MARKUP['<issue_start>']}  b\n\n{MARKUP['<issue_closed>']}\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_has_the_librarys_ids(name):
    check(HOSTILE[name], *HOSTILE[name])


@pytest.mark.parametrize("unit", ["a", "ab", " ", "\n", "-", "é", "名", "'s", "\0", "\u3000", "xY_", "=-", "1"])
@pytest.mark.parametrize("count", [15, 16, 63, 64, 65, 121, 5000])
def test_long_runs_have_the_librarys_ids(unit, count):
    check(unit * count, "x" + unit * count + "y", " " + unit * count + " 1", unit * count + "\n\n" + unit)


def test_a_line_of_a_megabyte_has_the_librarys_ids():
    rng = np.random.default_rng(5)
    words = ["".join(map(chr, rng.integers(97, 123, size))) for size in rng.integers(1, 900, 400)]
    line = "".join(words[n] for n in rng.integers(0, 400, 2400))
    assert len(line) > 1_000_000
    check(line, line[: 1 << 16])


def test_places_of_buffers_make_no_difference():
    unit = "def f(a, b):\n    return a's + b*10  # naïve ½\n"
    whole = unit * 3000
    for size in ((1 << 16) - 1, 1 << 16, (1 << 16) + 1, 2 << 16):
        cut = whole.encode()[:size].decode(errors="ignore")
        check(cut)
    parts = [whole[n : n + 61] for n in range(0, 6000, 61)]
    assert encoded(parts) == [expected(part) for part in parts]
    column = pa.array(["x" * 70, *parts, "y" * 70], TEXT)
    assert tokenizer.read().encode(column.slice(1, len(parts))).to_pylist() == encoded(parts)


def test_nulls_and_ends():
    tok = tokenizer.read()
    assert tok.encode(pa.array(["a", None, ""], TEXT)).to_pylist() == [expected("a"), [], []]
    assert tok.encode(pa.array(["a", None, ""], TEXT), end=True).to_pylist() == [[*expected("a"), 0], [0], [0]]
    assert tok.encode(pa.array([], TEXT), end=True).to_pylist() == []
    assert tok.encode(pa.array(["a"], TEXT)).type == pa.large_list(pa.uint16())


ATOMS = ["'s", "'ll", "'", " ", "  ", "\n", "\t", "\r\n", "a", "word", "Z", "1", "42", "²", "٣", "é", "名", "\u00a0"]
ATOMS += ["\u3000", "\x85", "!", "(", "->", "\0", "👩‍👩‍👧", "<fim_prefix>", "x" * 17, "-" * 70, *MARKUP.values()]


@given(st.lists(st.one_of(st.lists(st.sampled_from(ATOMS), max_size=60).map("".join), st.text()), max_size=8))
def test_any_text_has_the_librarys_ids_and_comes_back(texts):
    tok = tokenizer.read()
    column = pa.array(texts, TEXT)
    made = tok.encode(column)
    assert made.to_pylist() == [expected(text) for text in texts]
    assert tok.decode(made.values.to_numpy()) == "".join(texts)
    assert [tok.encode_one(text).tolist() for text in texts] == made.to_pylist()


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_bytes_that_are_no_text_come_back_too(values):
    valid = [v for v in values if not set(v) & {0xC0, 0xC1, *range(0xF5, 0x100)}]
    tok = tokenizer.read()
    markup = any(chr(n).encode() in v for v in valid for n in range(FIRST_MARKUP, LAST_MARKUP + 1))
    for value in [] if markup else valid:
        assert tok.decode_bytes(tok.encode_one(value)) == value


def test_every_character_is_cut_as_the_library_cuts_it():
    # Code points that Unicode has had for long: of new ones the library's parts have differing opinions.
    import unicodedata

    characters = [c for c in map(chr, range(0x110000)) if unicodedata.category(c) not in ("Cn", "Cs", "Co")]
    characters = [c for c in characters if c not in KNOWN]
    texts = [
        "".join(f"x{c}y {c} 1{c}!{c}  {c}\n" for c in characters[n : n + 3000]) for n in range(0, len(characters), 3000)
    ]
    assert encoded(texts) == [e.ids for e in oracle().encode_batch_fast(texts, add_special_tokens=False)]


def test_threads_do_not_disturb_one_another():
    tok = tokenizer.Tokenizer((tokenizer.SHIPPED / tokenizer.FILE).read_bytes())
    texts = [pa.array([f"name_{k}_{n} = value{n * k}\n" for n in range(800)], TEXT) for k in range(8)]
    alone = [tokenizer.read().encode(t) for t in texts]
    found: list[Any] = [None] * len(texts)

    def work(n: int) -> None:
        found[n] = tok.encode(texts[n])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(a.equals(b) for a, b in zip(found, alone, strict=True))


def test_tokens_have_their_bytes():
    tok = tokenizer.read()
    offsets, data = tok.bytes_of_tokens()
    assert tok.size == 49_152 == len(offsets) - 1 and offsets[-1] == len(data)
    for number in (0, 7, 18, 19, 300, tok.size - 1):
        shown = bytes(data[offsets[number] : offsets[number + 1]])
        assert shown == tok.decode_bytes(np.array([number]))
        if number > 18:
            assert shown.decode(errors="replace") == oracle().decode([number])
    ids = tok.encode_one(f"{MARKUP['<reponame>']}a/b\n")
    assert tok.spell(ids) == "<reponame>a/b\n" and tok.decode(ids) == f"{MARKUP['<reponame>']}a/b\n"
    assert tok.decode_bytes(ids[:0]) == b"" and tok.decode(tok.encode_one(b"\x80")) == "\ufffd"


def test_transformers_loads_what_is_written(tmp_path):
    transformers = pytest.importorskip("transformers")
    tok = tokenizer.read()
    tok.write(str(tmp_path / "made"))
    loaded = transformers.AutoTokenizer.from_pretrained(str(tmp_path / "made"))
    text = "def f(x):\n    return x != 12 .  # it 's ½  7\n"
    assert loaded(text)["input_ids"] == tok.encode_one(text).tolist()
    assert loaded.decode(loaded(text)["input_ids"]) == text
    assert loaded.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == list(range(19))
    assert (loaded.bos_token_id, loaded.eos_token_id, len(loaded)) == (0, 0, tok.size)
    assert loaded.clean_up_tokenization_spaces is False
    again = tokenizer.read(str(tmp_path / "made"))
    assert (again.digest, again.size) == (tok.digest, tok.size)


def changed(change: Any) -> bytes:
    made = json.loads((tokenizer.SHIPPED / tokenizer.FILE).read_text(encoding="utf-8"))
    change(made)
    return json.dumps(made).encode()


def _without(made: Any, byte: str) -> None:
    del made["model"]["vocab"][byte]
    made["model"]["merges"] = [pair for pair in made["model"]["merges"] if byte not in "".join(pair)]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda m: m["model"].update(type="Unigram"), "has the model Unigram, not BPE"),
        (lambda m: m["model"].update(dropout=0.1), "its model has dropout"),
        (lambda m: m.update(normalizer={"type": "NFC"}), "normalises its text"),
        (lambda m: m.update(pre_tokenizer=m["pre_tokenizer"]["pretokenizers"][1]), "cuts words by ByteLevel"),
        (lambda m: m["pre_tokenizer"]["pretokenizers"][0].update(individual_digits=False), "cuts words otherwise"),
        (lambda m: m["added_tokens"].pop(3), "has <fim_suffix> at no id, not at 3"),
        (lambda m: m["model"]["merges"].append(["never", "met"]), "a merge is not in its vocabulary"),
        (lambda m: _without(m, "Ā"), "no token for the byte 0x00"),
        (lambda m: m["model"]["vocab"].update({"<more>": 1 << 21}), "has 2,097,153 entries"),
    ],
)
def test_a_tokenizer_of_another_kind_is_refused(change, told):
    with pytest.raises(OpError) as error:
        tokenizer.Tokenizer(changed(change), "there/tokenizer.json")
    assert told in str(error.value) and str(error.value).startswith("there/tokenizer.json: ")


def test_a_folder_without_one_is_told(tmp_path):
    with pytest.raises(OpError, match=r"holds no tokenizer\.json"):
        tokenizer.read(str(tmp_path))
    storage.write_bytes(str(tmp_path / "tokenizer.json"), b"{")
    with pytest.raises(OpError, match="is not JSON"):
        tokenizer.read(str(tmp_path))


def test_merges_may_be_written_as_text_and_ids_be_wide(tmp_path):
    data = changed(lambda m: m["model"].update(merges=[" ".join(pair) for pair in m["model"]["merges"]]))
    text = pa.array([HOSTILE["crlf"], "word " * 30], TEXT)
    assert tokenizer.Tokenizer(data).encode(text).equals(tokenizer.read().encode(text))
    wide = changed(lambda m: m["model"]["vocab"].update({"<more>": 1 << 16}))
    made = tokenizer.Tokenizer(wide).encode(text)
    assert made.type == pa.large_list(pa.uint32()) and made.to_pylist() == encoded(text.to_pylist())


def test_different_words_are_counted():
    texts = ["a b  c\n", "a b 12 c", f"{MARKUP['<fim_pad>']}a"]
    cut = oracle().pre_tokenizer.pre_tokenize_str
    words = {word for text in texts for word, _ in cut(text.replace(MARKUP["<fim_pad>"], ""))}
    columns = [pa.array(texts[:2], TEXT), pa.array(texts[2:], TEXT)]
    assert tokenizer.different_words(columns) == len(words) + 1


def test_the_shipped_folder_is_whole():
    assert sorted(p.name for p in Path(tokenizer.SHIPPED).iterdir()) == ["README.md", tokenizer.FILE, tokenizer.CONFIG]
    assert json.loads((tokenizer.SHIPPED / tokenizer.CONFIG).read_text()) == tokenizer.config()
    assert OVERREAD >= 16
