"""How fast the kernels are, on one core and without reading or writing.

python tests/bench/kernels.py CORPUS
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import measure
import numpy as np
import pyarrow as pa
from results import Goal, Results, Table, arguments, documents, facts

from engine.columns import one_array
from engine.digest import digests
from engine.schema import TEXT
from ops.exact_dedup import white_space_collapsed
from ops.language import Language
from ops.measures import TextMeasures
from ops.minhash import MinHash, band_hashes, signatures
from ops.shingles import shingle_sets

ABOUT = """
Columns of text that lie in memory, as batches of about 4 MB, go through the kernels of the ops on one core. Processor
time, medians of {runs} rounds after one that compiles.
"""
BATCH_ROWS = 600
SIGNATURES = "signatures, 256 permutations"


def main() -> None:
    """Measures the kernels and writes the results."""
    parser = arguments(__doc__, runs=5)
    parser.add_argument("--limit", type=float, default=250, help="MB of text that are taken, from the beginning")
    given = parser.parse_args()
    measure.pin(1)
    known = facts(given.corpus)
    table = documents(given.corpus, ["content", "max_stars_repo_path"])
    sizes = np.cumsum(np.asarray(pa.compute.binary_length(table.column("content"))))
    table = table.slice(0, int(np.searchsorted(sizes, given.limit * 1e6)) + 1)
    texts, paths = (
        [one_array(b.column(name)).cast(TEXT) for b in table.to_batches(BATCH_ROWS)]
        for name in ("content", "max_stars_repo_path")
    )
    size = sum(int(pa.compute.sum(pa.compute.binary_length(c)).as_py()) for c in texts)
    sketch = MinHash(256, 5, 1)
    signed = [signatures(c, sketch)[0] for c in texts]
    kernels: dict[str, Callable[[int], object]] = {
        SIGNATURES: lambda n: signatures(texts[n], sketch),
        "signatures, 128 permutations": lambda n: signatures(texts[n], MinHash(128, 5, 1)),
        "sets of shingles": lambda n: shingle_sets(texts[n], np.arange(len(texts[n]))),
        "band hashes, 42 bands of 6": lambda n: band_hashes(signed[n], 42, 6),
        "measures of the filters": lambda n: TextMeasures().map(texts[n]),
        "digests of 128 bits": lambda n: digests(texts[n]),
        "white space collapsed": lambda n: white_space_collapsed(texts[n]),
        "languages by path": lambda n: Language().drop(paths[n]),
    }
    rows = []
    speeds = {}
    for name, work in kernels.items():
        seconds = statistics.median(_seconds(work, len(texts)) for _ in range(given.runs))
        speeds[name] = size / 1e6 / seconds
        rows.append([name, speeds[name], seconds / len(table) * 1e6])
        print(f"  {name:<32} {speeds[name]:9,.0f} MB/s", flush=True)
    results = Results(given.name or "kernels", "Kernels", ABOUT.format(runs=given.runs), given.runs, {"corpus": known})
    title = f"One core, {len(table):,} files of {size / 1e6:.0f} MB"
    results.tables = [Table(title, ["kernel", "MB/s", "µs a file"], rows)]
    goal = Goal(
        "near-dedup: signatures of 256 permutations", 380, speeds["signatures, 256 permutations"], "MB/s a core"
    )
    results.goals = [goal]
    results.save()
    if "avx2" not in results.machine["vectors"]:
        print("this processor has no AVX2, with which the goal was set")


def _seconds(work: Callable[[int], object], batches: int) -> float:
    work(0)
    begin = time.process_time()
    for n in range(batches):
        work(n)
    return time.process_time() - begin


if __name__ == "__main__":
    main()
