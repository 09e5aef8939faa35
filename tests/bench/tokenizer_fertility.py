"""Characters per token by language: the shipped tokenizer beside published ones.

python tests/bench/tokenizer_fertility.py CORPUS [--limit MB]

The published vocabularies are those that the package `litellm` carries for counting tokens: nothing is downloaded from
a hub. The shipped tokenizer was trained on a sample of this corpus, so its own figure here flatters it; the column
*held out* is from its card, of documents that it was not trained on.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import environments
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from results import Goal, Results, Table, arguments, facts, files

from engine import tokenizer
from engine.schema import TEXT

ABOUT = """
Characters that a token holds, by language: the more, the shorter a text. Up to {limit:g} MB of each language from all
files of the corpus, every one as it is. The others are what the package litellm carries: OpenAI's vocabularies with
tiktoken, Anthropic's and DeepSeek's with tokenizers; their sizes are in the head. *Held out* is what the card of the
shipped tokenizer says of documents that it was not trained on, after filtering.
"""
RIVAL = "vocabularies"
NAMES = {
    "9b5ad71b2ce5302211f9c61530b329a4922fc6a4": "cl100k_base",
    "fb374d419588a4632f3f557e76b4b70aebbca790": "o200k_base",
    "ec7223a39ce59f226a68acc30dc1af2788490e15": "p50k_base",
    "anthropic_tokenizer.json": "anthropic",
    "deepseek_tokenizer.json": "deepseek",
}
"""The files of the package, by what they hold."""
_WHERE = "import importlib.util as u, os; print(os.path.dirname(u.find_spec('litellm').origin))"
_COUNT = """
import json, sys
import tiktoken
from tiktoken_ext import openai_public
from tokenizers import Tokenizer
place, name = sys.argv[1:]
if name.endswith("_base"):
    tiktoken.load.read_file_cached = lambda path, expected=None: open(place, "rb").read()
    openai_public.load_tiktoken_bpe = lambda path, **_: tiktoken.load.load_tiktoken_bpe(place)
    made = tiktoken.Encoding(**getattr(openai_public, name)())
    size, count = made.n_vocab, lambda texts: sum(len(ids) for ids in made.encode_ordinary_batch(texts, num_threads=2))
else:
    made = Tokenizer.from_file(place)
    made.encode_special_tokens = True
    size = made.get_vocab_size()
    count = lambda texts: sum(len(e.ids) for e in made.encode_batch_fast(texts, add_special_tokens=False))
print(json.dumps(size), flush=True)
for line in sys.stdin:
    print(count(json.loads(line)), flush=True)
"""


def main() -> None:
    """Counts and writes the results."""
    parser = arguments(__doc__)
    parser.add_argument("--limit", type=float, default=1, help="MB of text of each language")
    given = parser.parse_args()
    texts = _by_language(given.corpus, int(given.limit * 1e6))
    characters = {name: sum(map(len, own)) for name, own in texts.items()}
    own = tokenizer.read()
    counts = {"shipped": {name: len(own.encode(pa.array(t, TEXT)).values) for name, t in texts.items()}}
    heads = {"shipped": f"shipped, {own.size:,}"}
    python = environments.python(RIVAL, given.environments)
    folder = Path(subprocess.run([python, "-c", _WHERE], check=True, capture_output=True, text=True).stdout.strip())
    for place in sorted(folder.rglob("*")):
        if place.name in NAMES and place.is_file():
            name = NAMES[place.name]
            given_lines = "".join(json.dumps(t) + "\n" for t in texts.values())
            command = [python, "-c", _COUNT, place, name]
            done = subprocess.run(command, input=given_lines, capture_output=True, text=True, env=environments.OFFLINE)
            if done.returncode:
                print(done.stderr[-1500:])
                continue
            size, *found = map(int, done.stdout.split())
            counts[name], heads[name] = dict(zip(texts, found, strict=True)), f"{name}, {size:,}"
            print(heads[name], flush=True)
    results = Results(given.name or "tokenizer_fertility", "The shipped tokenizer's vocabulary", "", 1)
    results.about, results.corpora = ABOUT.format(limit=given.limit), {"corpus": facts(given.corpus)}
    held_out = _card()
    rows: list[list[Any]] = []
    for name in sorted(texts, key=lambda n: -characters[n]):
        rows.append([name, held_out.get(name), *(characters[name] / counts[who][name] for who in counts)])
    whole = {who: sum(characters.values()) / sum(counts[who].values()) for who in counts}
    rows.append(["all of these", held_out.get(""), *whole.values()])
    results.tables = [Table("Characters a token", ["language", "held out", *(heads[who] for who in counts)], rows)]
    told = (("p50k_base", 1, "of the same size"), ("cl100k_base", 0.9, "of twice the size"))
    results.goals = [
        Goal(f"characters a token beside {who}, {size}", goal, whole["shipped"] / whole[who])
        for who, goal, size in told
        if who in whole
    ]
    results.versions = {"litellm": environments.packages(RIVAL, given.environments).get("litellm", "?")}
    results.save()


def _by_language(corpus: Path, most: int) -> dict[str, list[str]]:
    """Texts of each language, as they come."""
    found: dict[str, list[str]] = {}
    sizes: dict[str, int] = {}
    for path in files(corpus):
        table = pq.read_table(path, columns=["lang", "content"])
        for name in pc.unique(table.column("lang")).to_pylist():
            if name is None:
                continue
            content = table.filter(pc.equal(table.column("lang"), name)).column("content")
            ends = np.cumsum(np.asarray(pc.binary_length(content)))
            fit = int(np.searchsorted(ends, most - sizes.get(name, 0)))
            if fit:
                found.setdefault(name, []).extend(content.slice(0, fit).to_pylist())
                sizes[name] = sizes.get(name, 0) + int(ends[fit - 1])
    return {name: texts for name, texts in found.items() if sizes[name] > 50_000}


def _card() -> dict[str, float]:
    """What the card of the shipped tokenizer says of documents held out, by language."""
    told = {}
    for line in (tokenizer.SHIPPED / "README.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 4 and cells[3].replace(".", "").isdigit():
            told[cells[0]] = float(cells[3])
    return told


if __name__ == "__main__":
    main()
