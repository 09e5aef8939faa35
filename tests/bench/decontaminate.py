"""How fast benchmark text is found, beside StarCoder's own way and an Aho-Corasick automaton.

python tests/bench/decontaminate.py CORPUS
"""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import environments
import measure
import pyarrow as pa
import pyarrow.parquet as pq
from results import Goal, Results, Table, arguments, documents, facts, rival_versions

from engine.schema import TEXT
from ops.decontaminate import Decontaminate

ABOUT = """
One process on one core, by processor time, medians of {runs} rounds. The {texts:,} texts are those of HumanEval and
MBPP as StarCoder looked for them; one of them is planted in every 50th file, so that all have something to find. The
automaton is `ahocorasick_rs`, asked for the first match in each lower-cased file. StarCoder's way, one lower-cased text
after the other in each lower-cased file, is taken on every {every}th file. What is found is equal, file by file.
"""
PLANTED = 50
SAMPLE = 300
"""Files on which the slow way is taken."""
_AHO_CORASICK = """
import json, sys, time
import ahocorasick_rs, pyarrow.parquet as pq
column = pq.read_table(sys.argv[1]).column("content").to_pylist()
texts, rounds = json.load(open(sys.argv[2])), int(sys.argv[3])
taken = []
for _ in range(rounds):
    begin = time.process_time()
    automaton = ahocorasick_rs.AhoCorasick(texts)
    ready = time.process_time()
    found = [n for n, text in enumerate(column) if automaton.find_matches_as_indexes(text.lower())]
    taken.append((ready - begin, time.process_time() - ready))
seconds = sorted(t[1] for t in taken)[rounds // 2]
print(json.dumps({"ready": min(t[0] for t in taken), "seconds": seconds, "found": found}))
"""


def main() -> None:
    """Measures, compares and writes the results."""
    given = arguments(__doc__).parse_args()
    measure.pin(1)
    op = Decontaminate(reproduce=True)
    texts = [t or "" for t in documents(given.corpus, ["content"]).column("content").to_pylist()]
    for n in range(0, len(texts), PLANTED):
        texts[n] = f"{texts[n]}\n{op.passages[n % len(op.passages)].text}\n"
    column = pa.array(texts, TEXT)
    size, every = sum(len(t.encode()) for t in texts) / 1e6, max(1, len(texts) // SAMPLE)
    rows, found = [], set[int]()
    ours = 0.0
    for match in ("exact", "normalised", "ngram"):
        tried = Decontaminate(match=match, reproduce=match == "exact")
        tried.drop(column.slice(0, 100))
        taken = statistics.median(_seconds(lambda tried=tried: tried.drop(column)) for _ in range(given.runs))
        mine = {n for n, reason in enumerate(tried.drop(column).reason().to_pylist()) if reason}
        rows.append([f"`decontaminate: {{match: {match}}}`", size / taken, len(mine), None])
        if match == "exact":
            found, ours = mine, size / taken
    strings = [p.text.lower() for p in op.passages]
    automaton = _automaton(given.environments, texts, strings, given.runs)
    rows.append(
        ["`ahocorasick_rs`", size / automaton["seconds"], len(automaton["found"]), set(automaton["found"]) == found]
    )
    some = texts[::every]
    begin = time.process_time()
    plain = [any(s in text for s in strings) for text in map(str.lower, some)]
    slow = sum(len(t.encode()) for t in some) / 1e6 / (time.process_time() - begin)
    same = plain == [n in found for n in range(0, len(texts), every)]
    rows.append([f"each text in each file, every {every}th file", slow, sum(plain), same])
    results = Results(given.name or "decontaminate", "Decontamination", "", given.runs, {"corpus": facts(given.corpus)})
    results.about = ABOUT.format(runs=given.runs, texts=len(strings), every=every)
    results.versions = rival_versions("ahocorasick", given.environments)
    columns = ["", "MB/s a core", "files found", "the same files"]
    results.tables = [Table(f"{len(texts):,} files, {size:.1f} MB", columns, rows)]
    results.goals = [
        Goal("`decontaminate` beside each text in each file, equal findings", 10, ours / slow if same else 0)
    ]
    results.save()


def _seconds(work) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def _automaton(folder: Path, texts: list[str], strings: list[str], rounds: int) -> dict:
    with tempfile.TemporaryDirectory() as scratch:
        table, wanted = Path(scratch) / "texts.parquet", Path(scratch) / "strings.json"
        pq.write_table(pa.table({"content": texts}), table)
        wanted.write_text(json.dumps(strings))
        command = [environments.python("ahocorasick", folder), "-c", _AHO_CORASICK, table, wanted, str(rounds)]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
