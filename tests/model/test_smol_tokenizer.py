"""The smol recipe's tokenizer is the beginning of the shipped one."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa

from engine import tokenizer

FOLDER = Path(__file__).parents[2] / "recipes" / "smol_tokenizer"
ENTRIES = 4096


def test_it_is_the_first_entries_of_the_shipped_one():
    made = json.loads((tokenizer.SHIPPED / "tokenizer.json").read_bytes())
    model = made["model"]
    model["vocab"] = {token: n for token, n in model["vocab"].items() if n < ENTRIES}
    model["merges"] = [pair for pair in model["merges"] if "".join(pair) in model["vocab"]]
    assert json.loads((FOLDER / "tokenizer.json").read_bytes()) == made
    assert json.loads((FOLDER / "tokenizer_config.json").read_bytes()) == tokenizer.config()


def test_it_gives_back_what_it_encodes():
    small = tokenizer.read(str(FOLDER))
    text = Path(__file__).read_text() + "π ≈ 3.14159\n\tнет\r\n"
    ids = small.encode(pa.array([text], pa.large_string()), end=True)
    assert small.size == ENTRIES and ids.values[-1].as_py() == tokenizer.END
    assert small.decode(ids.values.to_numpy()[:-1]) == text
