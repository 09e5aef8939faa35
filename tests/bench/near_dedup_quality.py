"""What near-deduplication drops and keeps, the engine's and the others', against brute-force exact Jaccard.

python tests/bench/near_dedup_quality.py SMALL_CORPUS
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import environments
import jaccard
import measure
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
from results import RIVALS, Goal, Results, Table, arguments, documents, engine_run, facts, kept_paths, rival_versions

ABOUT = """
The truth is exact: the Jaccard similarity of sets of word 5-grams for every pair of files that can reach 0.7, computed
by a script that shares no code with the project. Each tool is held against the truth *under its own words*, since tools
cut words differently. A drop has a witness if a file that the tool kept is as similar as 0.7; a drop without one lost
text of which there is no near-duplicate left. A pair is left over if both of its files were kept.

The engine is also held against the one right answer for its rule: files in rank order (longer first, then path), each
dropped if a kept one is as similar as 0.7.
"""

TOOLS = {
    "engine": ("engine", "ours"),
    "daft": ("Daft, 25 × 10", "spaces"),
    "rensa": ("rensa, 32 × 8", "ascii"),
    "datatrove": ("datatrove, 25 × 10", "ascii"),
    "data-juicer": ("data-juicer", "spaces"),
    "text-dedup": ("text-dedup", "no_word"),
}
SAID = {"ours": "letters, digits, `_`, all beyond ASCII", "ascii": "`[A-Za-z0-9_]+`", "spaces": "between white space"}
SAID["no_word"] = "between `\\W`, lower case, empty ones"


Key = tuple[str, str]
"""A file by its repository and path."""


def main() -> None:
    """Computes the truths, runs the tools, compares and writes the results."""
    parser = arguments(__doc__, runs=1)
    parser.add_argument("--tools", nargs="+", choices=list(TOOLS), default=list(TOOLS))
    given = parser.parse_args()
    measure.pin(given.cores)
    table = documents(given.corpus, ["content", "max_stars_repo_name", "max_stars_repo_path"])
    texts, repositories, paths = (column.to_pylist() for column in table.columns)
    keys: list[Key] = list(zip(repositories, paths, strict=True))
    if len(set(keys)) < len(keys):
        raise SystemExit("two files of the corpus have one repository and path: they cannot be told apart")
    near: dict[str, jaccard.Near] = {}
    pairs: dict[str, jaccard.Pairs] = {}
    for name in dict.fromkeys(["ascii", *(TOOLS[tool][1] for tool in given.tools)]):
        print(f"  truth for words {SAID[name]} ...", file=sys.stderr, flush=True)
        pairs[name] = jaccard.near_pairs([jaccard.shingles(text, jaccard.WORDS[name]) for text in texts])
        near[name] = jaccard.neighbours(pairs[name])
    title = "What is dropped and what is kept"
    results = Results(given.name or "near_dedup_quality", title, ABOUT, 1, {"corpus": facts(given.corpus)})
    rows = []
    for tool in given.tools:
        title, words = TOOLS[tool]
        with measure.fresh(given.scratch) as out:
            try:
                removed = _removed(tool, given, keys, out)
            except measure.Failed as error:
                print(error, file=sys.stderr)
                rows.append([title, SAID[words], "failed", *[None] * 5])
                continue
            if tool == "engine":
                found = _against_the_rule(removed, _ranked(texts, keys, out), texts, near)
        rows.append([title, SAID[words], *_against(removed, near[words], pairs[words])])
        if tool == "engine":
            results.tables.append(_rule_table(found))
            results.goals = [
                Goal("near-dedup: right drops found, ASCII words", 0.995, found[2][4], "of the drops"),
                Goal("near-dedup: right drops found, our words", 0.995, found[0][4], "of the drops"),
                Goal("near-dedup: drops without a witness", 0, rows[-1][2] - rows[-1][3], "files", "at most"),
            ]
        if tool in environments.RIVALS:
            results.versions |= rival_versions(tool, given.environments)
    columns = [
        "tool",
        "its words",
        "dropped",
        "with a witness",
        "precision",
        "in no pair",
        "pairs left",
        "recall of pairs",
    ]
    note = "True pairs: " + "; ".join(f"{SAID[name]}: {len(p):,}" for name, p in pairs.items()) + "."
    results.tables.insert(0, Table("Against the truth under each tool's own words", columns, rows, note))
    results.save()


def _removed(tool: str, given: argparse.Namespace, keys: list[Key], out: Path) -> set[int]:
    """The rows that a tool removes; its output stays in `out`."""
    if tool == "engine":
        measure.run(engine_run("near_quality", given.cores)(given.corpus, out))
        kept = kept_paths(out / "documents")
    else:
        python, script = environments.python(tool, given.environments), f"near_{tool.replace('-', '_')}.py"
        measure.run([python, RIVALS / script, given.corpus, out, str(given.cores)], environments.OFFLINE)
        if (out / "removed.json").exists():
            return set(json.loads((out / "removed.json").read_text()))
        kept = _arrow_paths(out / "kept") if tool == "text-dedup" else _parquet_paths(out)
    return {n for n, key in enumerate(keys) if key not in kept}


def _ranked(texts: list[str], keys: list[Key], run: Path) -> list[int]:
    """The rows in the engine's rank order: longer first, then path, then the id that the run gave."""
    table = pa.concat_tables(pq.read_table(f, columns=["repo_name", "path", "id"]) for f in run.glob("measures/*"))
    ids = {(repository, path): name for repository, path, name in zip(*table.to_pydict().values(), strict=True)}
    return sorted(range(len(keys)), key=lambda n: (-len(texts[n].encode()), keys[n][1], ids[keys[n]]))


def _against_the_rule(
    removed: set[int], order: list[int], texts: list[str], near: dict[str, jaccard.Near]
) -> list[list[Any]]:
    """For our words, ASCII words, and these in files with n words and more: right drops, dropped, of them right, ..."""
    enough = {n for n, text in enumerate(texts) if len(jaccard.WORDS["ascii"](text)) >= jaccard.N}
    rows: list[list[Any]] = []
    for name, few in (("ours", False), ("ascii", False), ("ascii", True)):
        known = {d: others & enough for d, others in near[name].items() if d in enough} if few else near[name]
        truth, dropped = jaccard.greedy_drops(order, known), removed & enough if few else removed
        right = len(truth & dropped)
        said = f"{SAID[name]}, files of {jaccard.N} words and more" if few else SAID[name]
        rows.append([said, len(truth), len(dropped), right, right / len(truth), right / max(1, len(dropped))])
    return rows


def _rule_table(rows: list[list[Any]]) -> Table:
    columns = ["words of the truth", "right drops", "dropped", "of them right", "recall", "precision"]
    note = "A file of fewer than 5 words is one shingle of all its words; the last row leaves such files out."
    return Table("The engine against the one right answer of its rule", columns, rows, note)


def _parquet_paths(out: Path) -> set[Key]:
    folder = out / "kept"
    if folder.exists():
        return kept_paths(folder)
    table = pq.read_table(out / "kept.parquet", columns=["max_stars_repo_name", "max_stars_repo_path"])
    return set(zip(*(column.to_pylist() for column in table.columns), strict=True))


def _arrow_paths(folder: Path) -> set[Key]:
    kept: set[Key] = set()
    for path in folder.glob("*.arrow"):
        table = pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
        names = ("max_stars_repo_name", "max_stars_repo_path")
        kept |= set(zip(*(table.column(name).to_pylist() for name in names), strict=True))
    return kept


def _against(removed: set[int], near: jaccard.Near, pairs: jaccard.Pairs) -> list[float]:
    """Dropped, with a witness, precision, in no pair, pairs left over, share of the pairs found."""
    witnessed = sum(bool(near.get(d, set()) - removed) for d in removed)
    alone = sum(d not in near for d in removed)
    left = sum(one not in removed and other not in removed for one, other in pairs)
    precision = witnessed / len(removed) if removed else math.nan
    return [len(removed), witnessed, precision, alone, left, 1 - left / max(1, len(pairs))]


if __name__ == "__main__":
    main()
