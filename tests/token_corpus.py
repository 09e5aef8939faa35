"""Tokenized documents and packed shards, made without a run of the engine, and a small tokenizer for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer as Trained
from tokenizers import decoders, models, pre_tokenizers, trainers

from engine import storage, tokenizer
from engine.pool import InlinePool, Pool
from engine.schema import MARKUP, SPECIAL_TOKENS, TEXT
from ops.pack import Pack

WORDS = [
    *("def", "return", "self", "import", "value", "=", "+", "(", ")", "[", "]", ":", ",", ".", "naïve", "漢字", "été"),
    *("12", "x1", "{}", "'ll", "it's", "\t", "\n", "\n\n", "#", "--", "🙂"),
]


def text(seed: int, words: int) -> str:
    """A text of so many words and white space, some of it of several bytes a character."""
    chance = np.random.default_rng(seed)
    gaps = [" ", " ", " ", "\n", "\n    ", "", "  "]
    return "".join(WORDS[w] + gaps[g] for w, g in chance.integers(0, (len(WORDS), len(gaps)), (words, 2)))


def tiny_tokenizer(folder: Path, entries: int = 600) -> tokenizer.Tokenizer:
    """A tokenizer of the engine's scheme with a small vocabulary, trained on such texts."""
    made = Trained(models.BPE())
    digits, level = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.pre_tokenizer = pre_tokenizers.Sequence([digits, level])  # type: ignore[assignment]
    made.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    options: dict[str, Any] = {"vocab_size": entries, "special_tokens": list(SPECIAL_TOKENS), "show_progress": False}
    made.train_from_iterator(
        [text(n, 300) for n in range(20)], trainers.BpeTrainer(initial_alphabet=alphabet, **options)
    )
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    return tokenizer.read(str(folder))


def rows(count: int, stream: str = "code", first: int = 0) -> list[dict[str, Any]]:
    """Documents from one word to thousands; every fifth has a header of metadata, every ninth comes three times."""
    made = []
    for n in range(first, first + count):
        content = text(n, 3000 if n % 31 == 7 else 1 + n * 7 % 90)
        if n % 5 == 0:
            content = f"{MARKUP['<reponame>']}o/r{n % 7}{MARKUP['<filename>']}src/f{n}.py\n{content}"
        row = {"id": f"{n:032x}", "stream": stream, "language": ("python", "c", None)[n % 3], "path": f"src/f{n}.py"}
        row |= {"repo_name": f"o/r{n % 12}-1.{n % 2}" if n % 11 else None, "content": content}
        made.append(row | {"length_bytes": len(content.encode()), "repeats": 3 if n % 9 == 4 else 1})
    return made


def tokenized(documents: list[dict[str, Any]], made_by: tokenizer.Tokenizer) -> pa.Table:
    """The documents with their column `tokens`."""
    table = pa.Table.from_pylist(documents)
    for name in ("id", "stream", "language", "path", "repo_name", "content"):
        table = table.set_column(table.schema.get_field_index(name), name, table.column(name).cast(TEXT))
    tokens = made_by.encode(pa.array([d["content"] for d in documents], TEXT), end=True)
    return table.append_column("tokens", tokens)


def finished_run(folder: Path, tables: list[pa.Table], made_by: Path, group: int = 40) -> Path:
    """A folder as a run leaves it: documents in files, a manifest, and the recipe that tokenized them."""
    files = []
    for n, table in enumerate(tables):
        (folder / "documents").mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / "documents" / f"{n}.parquet", row_group_size=group)
        files.append({"name": f"{n}.parquet", "place": f"documents/{n}.parquet"})
    storage.write_json(str(folder / "manifest.json"), {"documents": files})
    (folder / "recipe.yaml").write_text(f'name: x\nseed: 1\nsteps:\n  - tokenize: {{tokenizer: "{made_by}"}}\n')
    return folder


def packed_run(folder: Path, pool: Pool | None = None, count: int = 300, **parameters: Any) -> Path:
    """The folder `tokens` of a run of two streams, packed."""
    made_by = tiny_tokenizer(folder / "tokenizer")
    documents = rows(count) + rows(count // 3, "issues", first=10_000)
    tables = [tokenized(documents[n::3], made_by) for n in range(3)]
    run = finished_run(folder / "run", tables, folder / "tokenizer")
    Pack.model_validate({"length": 256, "seed": 5, **parameters}).run(
        str(run), str(run / "tokens"), pool or InlinePool()
    )
    return run / "tokens"
