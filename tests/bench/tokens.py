"""How fast texts become ids on one core, beside other libraries, and that the ids are right.

python tests/bench/tokens.py CORPUS [--all]

With `--all` the ids of every document are compared with those of `tokenizers`, which takes minutes.
From documents to token shards, whole processes: pack.py.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import environments
import measure
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from results import RIVALS, Goal, Results, Table, arguments, facts, files, rival_versions
from rivals.tokenize_one_core import texts as texts_of

from engine import tokenizer
from engine.schema import TEXT

ABOUT = """
Texts that lie in memory become ids on one core; processor time, the best of {runs} rounds of each library but
tokenizers, which has one: what else a machine does to its caches only ever adds time. *Cold* is the first time that a
tokenizer sees the texts, *warm* the second. All have the shipped vocabulary. gigatoken refuses
StarCoder's way of cutting words and is given GPT-2's plain one, so its ids are others.
"""
ONE_CORE = ("tokenizers", "kitoken", "gigatoken")
ROWS = 600


def main() -> None:
    """Measures, compares ids and writes the results."""
    parser = arguments(__doc__)
    parser.add_argument("--libraries", nargs="*", choices=ONE_CORE, default=list(ONE_CORE))
    parser.add_argument("--limit", type=float, default=40, help="MB of text for each library")
    parser.add_argument("--all", action="store_true", help="compare the ids of every document with tokenizers'")
    given = parser.parse_args()
    measure.pin(1)
    known = facts(given.corpus)
    results = Results(given.name or "tokens", "Documents to ids", "", given.runs, {"corpus": known})
    results.about = ABOUT.format(runs=given.runs)
    speeds = _one_core(given, results)
    _round_trip(given.corpus, results)
    if given.all:
        _compare(given.corpus, results)
    for name in given.libraries:
        if name in environments.RIVALS:
            results.versions |= rival_versions(name, given.environments)
    cold, warm = speeds["engine"]
    results.goals[:0] = [
        Goal("ids, cold", 60, cold, "MB/s a core"),
        Goal("ids, warm", 150, warm, "MB/s a core"),
        *(Goal(f"ids beside {n}, cold", 1, cold / speeds[n][0]) for n in ("tokenizers", "kitoken") if n in speeds),
    ]
    results.save()


# --- one core ---------------------------------------------------------------------------------------------------------


def _one_core(given: Any, results: Results) -> dict[str, list[float]]:
    texts = texts_of(given.corpus, int(given.limit * 1e6))
    columns = [pa.array(texts[n : n + ROWS], TEXT) for n in range(0, len(texts), ROWS)]
    size = sum(len(text.encode()) for text in texts) / 1e6
    data = (tokenizer.SHIPPED / tokenizer.FILE).read_bytes()
    seconds: list[list[float]] = []
    tokenizer.read().encode_one("compile")
    for _ in range(given.runs):
        own = tokenizer.Tokenizer(data)
        seconds.append([_seconds(own, columns), _seconds(own, columns)])
    speeds = {"engine": [size / s for s in np.min(np.array(seconds), axis=0)]}
    own = tokenizer.read()
    mine = _digest(own.encode(column) for column in columns)
    rows: list[list[Any]] = [["engine", *speeds["engine"], "the same"]]
    for name in given.libraries:
        command = [environments.python("here" if name == "tokenizers" else name, given.environments)]
        command += [RIVALS / "tokenize_one_core.py", name, given.corpus, tokenizer.SHIPPED / tokenizer.FILE]
        command += [str(int(given.limit * 1e6))]
        rounds = [
            subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environments.OFFLINE})
            for _ in range(1 if name == "tokenizers" else given.runs)
        ]
        failed = next((done for done in rounds if done.returncode), None)
        if failed:
            print(failed.stderr[-2000:])
            rows.append([name, None, None, "failed"])
            continue
        answers = [json.loads(done.stdout) for done in rounds]
        told = answers[0]
        best = np.min([answer["seconds"] for answer in answers], axis=0)
        speeds[name] = [told["bytes"] / 1e6 / s for s in best.tolist()]
        same = "the same" if told["ids"] == mine else "others"
        rows.append([name, speeds[name][0], speeds[name][1] if len(speeds[name]) > 1 else None, same])
        print(f"  {name:<12} {speeds[name]} {same}", flush=True)
    title = f"One core, {len(texts):,} files of {size:.0f} MB"
    results.tables.append(Table(title, ["library", "cold MB/s", "warm MB/s", "ids"], rows))
    return speeds


def _seconds(own: tokenizer.Tokenizer, columns: list[pa.Array]) -> float:
    begin = time.process_time()
    for column in columns:
        own.encode(column)
    return time.process_time() - begin


def _digest(made: Any) -> str:
    digest = hashlib.sha256()
    for column in made:
        ids, edges = column.values.to_numpy(), column.offsets.to_numpy()
        ended = np.insert(ids.astype(np.uint32), edges[1:] - edges[0], np.uint32(0xFFFFFFFF))
        digest.update(ended.tobytes())
    return digest.hexdigest()


# --- that it is right -------------------------------------------------------------------------------------------------


def _columns(corpus: Path) -> Any:
    for path in files(corpus):
        for batch in pq.ParquetFile(path).iter_batches(4000, columns=["content"]):
            yield batch.column(0).cast(TEXT)


def _round_trip(corpus: Path, results: Results) -> None:
    """Whether every document comes back from its ids."""
    own, lost = tokenizer.read(), 0
    for column in _columns(corpus):
        made = own.encode(column)
        edges, texts = made.offsets.to_numpy(), column.to_pylist()
        ids = made.values.to_numpy()
        lost += sum(own.decode(ids[a:b]) != t for t, a, b in zip(texts, edges[:-1], edges[1:], strict=True))
    results.goals.append(Goal("documents that do not come back from their ids", 0, lost, "files", "at most"))


def _compare(corpus: Path, results: Results) -> None:
    """Whether every document has the ids that `tokenizers` gives it."""
    import tokenizers

    own, other, unlike = tokenizer.read(), tokenizers.Tokenizer.from_file(str(tokenizer.SHIPPED / tokenizer.FILE)), 0
    other.encode_special_tokens = True
    for column in _columns(corpus):
        told = other.encode_batch_fast(column.to_pylist(), add_special_tokens=False)
        unlike += sum(a != b.ids for a, b in zip(own.encode(column).to_pylist(), told, strict=True))
    results.goals.append(Goal("documents with other ids than those of tokenizers", 0, unlike, "files", "at most"))


if __name__ == "__main__":
    main()
