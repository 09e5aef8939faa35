"""A sample as people see it: its text, in whose tokens it is, whose documents, and what training makes of it."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from command_line import engine
from hypothesis import given
from hypothesis import strategies as st
from token_corpus import packed_run, rows, tiny_tokenizer

from engine.errors import Refused
from engine.schema import SPECIAL_TOKENS, spell_out
from engine.token_view import SPECIAL, coloured, pieces, seen, token_folder, view
from model.loader import reader


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return tiny_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    return str(packed_run(tmp_path_factory.mktemp("packed"), validation=0.1))


def plain(shown) -> str:
    return "\n".join(part.plain for part in shown)


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=40))
def test_the_characters_of_all_tokens_are_the_text(tokenizer, text):
    assert "".join(pieces(tokenizer, tokenizer.encode_one(text))) == text


@given(st.lists(st.integers(0, 300), max_size=20))
def test_any_tokens_can_be_shown(tokenizer, tokens):
    tokens = np.array(tokens, np.uint16)
    assert len(pieces(tokenizer, tokens)) == len(tokens)
    assert coloured(tokenizer, tokens, whole=True) is not None


def test_special_tokens_are_spelled_and_have_a_colour_of_their_own(tokenizer):
    shown = coloured(tokenizer, np.array([1, *tokenizer.encode_one("abc <fim_prefix>"), 0], np.uint16))
    assert shown.plain == "<fim_prefix>abc <fim_prefix><|endoftext|>"
    special = [shown.plain[s.start : s.end] for s in shown.spans if s.style == SPECIAL]
    assert special == ["<fim_prefix>", "<|endoftext|>"]


def test_a_terminal_is_not_steered(tokenizer):
    shown = coloured(tokenizer, tokenizer.encode_one("a\x1b[31mb\u202e"))
    assert "\x1b" not in shown.plain and "\u202e" not in shown.plain


def test_long_texts_show_their_beginning_and_end(tokenizer):
    lines = [f"line {n}\n" for n in range(200)]
    tokens = tokenizer.encode_one("".join(lines))
    short, whole = coloured(tokenizer, tokens, whole=False).plain, coloured(tokenizer, tokens, whole=True).plain
    assert whole == "".join(lines)
    left_out = re.search(r"· ([\d,]+) tokens, (\d+) lines more\n", short)
    assert left_out and short.startswith("line 0\nline 1\n") and short.endswith("line 198\nline 199\n")
    assert int(left_out[2]) == 200 - (short.count("\n") - 1)


def test_fragments_are_of_their_documents_before_and_after(folder):
    documents = {d["id"]: d for d in rows(300) + rows(100, "issues", first=10_000)}
    look = reader(folder, fim_rate=1.0)
    for sample in (0, 5, look.samples - 1):
        parts = seen(look, sample, 0, folder)
        told = plain(view(look, sample, 0, folder, whole=True))
        for part in parts:
            content = spell_out(documents[part.id]["content"]) + "<|endoftext|>"
            assert part.before in content and part.id in told
            assert (part.start == 0) == content.startswith(part.before)
            if part.before == content:
                again = part.after
                if again.startswith("<fim_prefix>"):
                    prefix, suffix, middle = fim_parts(again.removesuffix("<|endoftext|>"))
                    again = prefix + middle + suffix + "<|endoftext|>"
                assert again == content


def fim_parts(text: str) -> tuple[str, str, str]:
    rest = text.removeprefix("<fim_prefix>")
    if rest.startswith("<fim_suffix>"):
        suffix, both = rest.removeprefix("<fim_suffix>").split("<fim_middle>")
        return both, suffix, ""
    prefix, rest = rest.split("<fim_suffix>")
    suffix, middle = rest.split("<fim_middle>")
    return prefix, suffix, middle


def test_what_training_sees_is_told(folder):
    look = reader(folder, fim_rate=1.0)
    told = plain(view(look, 2, 0, folder, whole=False))
    assert "as training sees it in epoch 0" in told and re.search(r"(PSM|SPM)\), \d+ tokens", told)
    assert "training sees it as it is" in plain(view(reader(folder, fim_rate=0), 2, 0, folder, whole=False))


def test_samples_packed_to_reproduce_are_shown_megatrons_way(tmp_path):
    look = reader(str(packed_run(tmp_path, reproduce=True)), fim_rate=1.0)
    assert look.fim and look.fim.reproduce
    told = plain(view(look, 1, 0, "", whole=True))
    assert "as training sees it" in told and SPECIAL_TOKENS[1] in told
    assert len(seen(look, 1, 0, "")[0].after) > 0


def test_what_is_not_there_is_told(folder, tmp_path):
    with pytest.raises(Refused, match="holds no token shards"):
        token_folder(str(tmp_path))
    with pytest.raises(Refused, match="there is no sample 999999; the split `train` has"):
        list(view(reader(folder), 999999, 0, folder, whole=False))
    with pytest.raises(Refused, match="from 0 to 1, not 3"):
        reader(folder, fim_rate=3)


def test_the_command_shows_a_run_and_a_folder_of_shards(folder, capsys):
    run = folder.removesuffix("/tokens")
    assert token_folder(folder) == folder == token_folder(run)
    told = engine(capsys, "tokens", run, "--sample", 1, "--fim", 0, "--all")
    assert told.code == 0 and "sample 1 of" in told.out and re.search(r"o/r\d+-1\.\d:src/f\d+\.py", told.out)
    (first, *_) = json.loads(engine(capsys, "tokens", run, "--sample", 1, "--json").out)
    assert first["path"].startswith("src/f") and {"id", "start", "before", "after"} <= set(first)
    assert json.loads(engine(capsys, "tokens", folder, "--sample", 1, "--json").out)[0]["path"] is None
    assert engine(capsys, "tokens", folder, "--split", "test").code == 2
