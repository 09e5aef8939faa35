"""What rules find of e-mails, IP addresses and secrets: quality against planted ones, other tools beside, and speed.

    python tests/bench/pii.py CORPUS [--secrets samples.jsonl.gz] [--half unseen] [--seed 7] [--documents 3000]

`--secrets` takes JSON lines of `path`, `content` and `findings` (`line`, `value`), such as the samples of CredSweeper's
tests; they are split in two by a hash of the content, and only the half `seen` was looked at while the rules were made.
"""

from __future__ import annotations

import gzip
import json
import random
import statistics
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import environments
import measure
import pyarrow as pa
import xxhash
from planted_pii import BASE62, HEX, PEOPLE, PLANTED, WORDS, Span, chars, planted
from results import Cell, Goal, Results, Table, arguments, documents, facts, rival_versions

from engine.columns import text_buffers
from engine.schema import TEXT
from ops.emails import find_emails
from ops.gibberish import is_gibberish
from ops.ip_addresses import find_ip_addresses
from ops.pii import DetectPiiRules
from ops.secret_rules import find_secrets

ABOUT = """
Quality: {documents:,} documents made from seed {seed} by templates that no test of the rules uses, with hard negatives
beside what is planted; a span counts if it overlaps a planted one by more than 80 % of both. Speed: one process on one
core, by processor time, medians of {runs} rounds; the other tools scan every {every}th file, as files, with their own
default settings. StarCoder's rules (`detect-secrets` and regular expressions) had other templates to find and are not
compared.
"""
SECRETS = """
The half `{half}` of the labelled samples, {files:,} files of {size:,} bytes with {lines:,} lines that the labels name:
a line is found if a tool names it, and a find is right if the labels name its line.
"""
GOALS = {"EMAIL": 0.95, "IP_ADDRESS": 0.90, "KEY": 0.70}
SAMPLE = 400
"""Files that the other tools scan."""

# --- planted ----------------------------------------------------------------------------------------------------------


def _alike(a: Span, b: Span) -> bool:
    # The annotators' own measure: the overlap is more than 80 % of both.
    overlap = min(a[1], b[1]) - max(a[0], b[0])
    return a[2] == b[2] and overlap > 0.8 * max(a[1] - a[0], b[1] - b[0])


def _scores(right: int, found: int, wanted: int) -> tuple[float, float, float]:
    """Precision, recall and F1."""
    precision, recall = right / max(found, 1), right / max(wanted, 1)
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)


def planted_ones(seed: int, documents: int, results: Results) -> None:
    """Enters how many of the planted spans are found."""
    truth = list(planted(seed, documents))
    spans = DetectPiiRules().map(pa.array([text for text, _ in truth], TEXT))["pii"].to_pylist()
    rows: list[list[Cell]] = []
    for kind in PLANTED:
        found = [[(s["start"], s["end"], kind) for s in row if s["kind"] == kind] for row in spans]
        wanted = [[s for s in row if s[2] == kind] for _, row in truth]
        right = sum(any(_alike(a, b) for b in w) for f, w in zip(found, wanted, strict=True) for a in f)
        counts = (right, sum(map(len, found)), sum(map(len, wanted)))
        rows.append([kind, *_scores(*counts), *counts])
        if kind in GOALS:
            results.goals.append(Goal(f"planted {kind}: F1", GOALS[kind], _scores(*counts)[2], ""))
    columns = ["kind", "precision", "recall", "F1", "right", "found", "planted"]
    results.tables.append(Table("Planted spans", columns, rows))


# --- secrets beside other tools ---------------------------------------------------------------------------------------

_DETECT_SECRETS = """
import json, sys, time
from detect_secrets import SecretsCollection
from detect_secrets.settings import default_settings
files = [line.rstrip("\\n") for line in sys.stdin]
begin = time.process_time()
found = SecretsCollection()
with default_settings():
    for file in files:
        found.scan_file(file)
seconds = time.process_time() - begin
print(json.dumps({"seconds": seconds, "found": [[f, s.line_number, s.line_number] for f, s in found]}))
"""

_BETTERLEAKS = """
import json, sys, time, betterleaks
files = [line.rstrip("\\n") for line in sys.stdin]
begin, found = time.process_time(), []
for file in files:
    text = open(file, encoding="utf-8", newline="").read()
    found += [[file, f.location.start_line, f.location.end_line] for f in betterleaks.scan_string(text)]
print(json.dumps({"seconds": time.process_time() - begin, "found": found}))
"""

Lines = set[tuple[str, int, int]]


RIVALS = {"detect-secrets": _DETECT_SECRETS, "betterleaks": _BETTERLEAKS}


def _rival(tool: str, folder: Path, files: list[Path]) -> tuple[Lines, float]:
    given = "\n".join(map(str, files)) + "\n"
    command = [environments.python(tool, folder), "-c", RIVALS[tool]]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    return {(Path(f).name, first, last) for f, first, last in answer["found"]}, answer["seconds"]


def _as_files(folder: str, names: list[str], texts: list[str]) -> list[Path]:
    files = [Path(folder) / name for name in names]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text, encoding="utf-8", newline="")
    return files


def _ours(names: list[str], texts: list[str]) -> tuple[Lines, float]:
    column = pa.array(texts, TEXT)
    data, offsets = text_buffers(column)
    list(find_secrets(*text_buffers(column.slice(0, 1))))
    begin = time.process_time()
    found = list(find_secrets(data, offsets))
    seconds = time.process_time() - begin
    lines = set()
    for span in found:
        start = int(offsets[span.row])
        first = 1 + bytes(data[start : span.begin]).count(b"\n")
        lines.add((names[span.row], first, first + bytes(data[span.begin : span.end - 1]).count(b"\n")))
    return lines, seconds


def secrets(path: Path, half: str, folder: Path, results: Results) -> None:
    """Enters what each tool finds of labelled secrets."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    wanted_bit = {"seen": (0,), "unseen": (1,), "all": (0, 1)}[half]
    rows = [r for r in rows if xxhash.xxh64_intdigest(r["content"].encode()) & 1 in wanted_bit]
    names = [f"{n:04}{Path(r['path']).suffix}" for n, r in enumerate(rows)]
    texts = [r["content"] for r in rows]
    size = sum(len(t.encode()) for t in texts)
    truth = {(name, f["line"]) for name, r in zip(names, rows, strict=True) for f in r["findings"]}
    found = {"`detect_pii_rules`": _ours(names, texts)}
    with tempfile.TemporaryDirectory() as scratch:
        files = _as_files(scratch, names, texts)
        found |= {tool: _rival(tool, folder, files) for tool in RIVALS}
    table: list[list[Cell]] = []
    for tool, (lines, seconds) in found.items():
        right = [s for s in lines if any((s[0], n) in truth for n in range(s[1], s[2] + 1))]
        covered = {(name, n) for name, first, last in lines for n in range(first, last + 1)} & truth
        precision, recall = len(right) / max(len(lines), 1), len(covered) / max(len(truth), 1)
        f1 = 2 * precision * recall / max(precision + recall, 1e-9)
        table.append([tool, precision, recall, f1, len(lines), len(covered), size / 1e6 / seconds])
    columns = ["tool", "precision", "recall", "F1", "finds", "labelled lines found", "MB/s a core"]
    told = SECRETS.format(half=half, files=len(rows), size=size, lines=len(truth))
    results.tables.append(Table("Labelled secrets", columns, table, told.strip()))
    results.goals.append(
        Goal("labelled secrets: F1 beside detect-secrets'", 1, float(table[0][3]) / float(table[1][3]))
    )


# --- speed ------------------------------------------------------------------------------------------------------------


def _speed(size: float, work: Callable[[], Any], runs: int) -> float:
    work()
    seconds = []
    for _ in range(runs):
        begin = time.process_time()
        work()
        seconds.append(time.process_time() - begin)
    return size / statistics.median(seconds)


def speed(corpus: Path, folder: Path, results: Results) -> int:
    """Enters the speed of each rule and tool; every how manyth file the other tools scan."""
    column = documents(corpus, ["content"]).column("content").cast(TEXT).combine_chunks()
    data, offsets = text_buffers(column)
    size, runs = int(offsets[-1] - offsets[0]) / 1e6, results.runs
    each: dict[str, Callable[[], Any]] = {
        "e-mail addresses": lambda: list(find_emails(data, offsets)),
        "IP addresses": lambda: list(find_ip_addresses(data, offsets)),
        "secrets": lambda: list(find_secrets(data, offsets)),
        "`detect_pii_rules`, all of it": lambda: DetectPiiRules().map(column),
    }
    speeds = {name: _speed(size, work, runs) for name, work in each.items()}
    every = max(1, len(column) // SAMPLE)
    texts = [t or "" for t in column.to_pylist()[::every]]
    names, some = [f"{n:04}.txt" for n in range(len(texts))], sum(len(t.encode()) for t in texts) / 1e6
    lines, _ = _ours(names, texts)
    rows: list[list[Cell]] = [[name, mbs, None, None] for name, mbs in speeds.items()]
    rows[2][2] = len(lines)
    with tempfile.TemporaryDirectory() as scratch:
        files = _as_files(scratch, names, texts)
        for tool in RIVALS:
            theirs, seconds = _rival(tool, folder, files)
            rows.append([tool, some / seconds, len(theirs), speeds["secrets"] * seconds / some])
    title = f"{len(column):,} files, {size:.1f} MB; finds are of secrets in {len(texts):,} of them"
    results.tables.append(Table(title, ["", "MB/s a core", "finds", "our secrets are faster, times"], rows))
    theirs = next(float(row[1]) for row in rows if row[0] == "detect-secrets")
    results.goals.append(Goal("secrets: speed beside detect-secrets' scan", 10, speeds["secrets"] / theirs))
    whole = speeds["`detect_pii_rules`, all of it"]
    results.goals.append(Goal("`detect_pii_rules` beside detect-secrets' scan of secrets alone", 10, whole / theirs))
    return every


def gibberish(seed: int, results: Results) -> None:
    """Enters which shares of drawn strings and of names are taken for gibberish."""
    chance = random.Random(seed)
    rows: list[list[Cell]] = []
    for name, alphabet in (("base 62", BASE62), ("base 36", string.ascii_lowercase + string.digits), ("hex", HEX)):
        row: list[Cell] = [name]
        for size in (12, 20, 40):
            drawn = [chars(chance, alphabet, size).encode() for _ in range(5000)]
            row.append(sum(map(is_gibberish, drawn)) / 5000)
        rows.append(row)
    names = ["_".join(chance.choice(WORDS + PEOPLE) for _ in range(chance.randrange(2, 4))) for _ in range(5000)]
    rows.append(["names of two or three words", sum(is_gibberish(n.encode()) for n in names) / 5000, None, None])
    columns = ["5,000 each of", "12 characters", "20 characters", "40 characters"]
    results.tables.append(Table("Shares that are taken for gibberish", columns, rows))


def main() -> None:
    """Measures, compares and writes the results."""
    parser = arguments(__doc__)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--documents", type=int, default=3000)
    parser.add_argument("--secrets", type=Path)
    parser.add_argument("--half", choices=("seen", "unseen", "all"), default="unseen")
    given = parser.parse_args()
    measure.pin(1)
    results = Results(given.name or "pii", "Personal data and secrets", "", given.runs, {"corpus": facts(given.corpus)})
    planted_ones(given.seed, given.documents, results)
    if given.secrets:
        secrets(given.secrets, given.half, given.environments, results)
    every = speed(given.corpus, given.environments, results)
    gibberish(given.seed, results)
    for tool in RIVALS:
        results.versions |= rival_versions(tool, given.environments)
    results.about = ABOUT.format(documents=given.documents, seed=given.seed, runs=given.runs, every=every)
    results.save()


if __name__ == "__main__":
    sys.exit(main())
