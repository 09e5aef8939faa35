"""How fast benchmark text is found: ours, and the search of every string in every lower-cased file.

    python tests/bench/decontaminate.py FOLDER

FOLDER holds Parquet files with a column `content`. A text of the benchmarks is planted in every 50th file, so that both
have something to find; what they find must be equal.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from engine.schema import TEXT
from ops.decontaminate import Decontaminate


def _texts(folder: Path) -> list[str]:
    return [t for f in sorted(folder.glob("*.parquet")) for t in pq.read_table(f, columns=["content"])[0].to_pylist()]


def _ours(match: Literal["exact", "normalised", "ngram"], column: pa.Array) -> list[bool]:
    op = Decontaminate(match=match, reproduce=match == "exact")
    op.drop(column.slice(0, 100))
    seconds = []
    for _ in range(3):
        begin = time.process_time()
        verdict = op.drop(column)
        seconds.append(time.process_time() - begin)
    kept = verdict.reason().is_null()
    speed = column.nbytes / 1e6 / sorted(seconds)[1]
    print(f"  {match:<11} {len(op.passages):,} texts  {speed:8,.0f} MB/s a core, {len(kept) - kept.true_count} files")
    return [not k for k in kept.to_pylist()]


def main() -> None:
    """Prints MB/s a core and the number of files found."""
    texts = _texts(Path(sys.argv[1]))
    passages = Decontaminate(reproduce=True).passages
    for n in range(0, len(texts), 50):
        texts[n] = f"{texts[n]}\n{passages[n % len(passages)].text}\n"
    column = pa.array(texts, TEXT)
    print(f"decontaminate: {len(texts):,} files, {column.nbytes / 1e6:.1f} MB; medians of processor time")
    found = _ours("exact", column)
    _ours("normalised", column)
    _ours("ngram", column)
    every = max(1, len(texts) // 200)
    strings = [p.text.lower() for p in passages]
    begin = time.process_time()
    plain = [any(s in text for s in strings) for text in map(str.lower, texts[::every])]
    seconds = time.process_time() - begin
    size = sum(len(t.encode()) for t in texts[::every])
    same = plain == found[::every]
    print(f"  each string in each file: {size / 1e6 / seconds:.1f} MB/s a core; the same files found: {same}")


if __name__ == "__main__":
    main()
