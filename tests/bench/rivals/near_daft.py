"""Near-deduplication with Daft: its MinHash expression, and what it lacks in NumPy: bands, clusters, the keep rule.

    python near_daft.py CORPUS OUT THREADS [write]

Words are what Daft's `minhash` takes for words (white space parts them), 5 to a shingle, 256 permutations, 25 bands of
10. Documents of a bucket are one cluster, of which the first stays; nothing is verified. Without `write` only the
numbers of the removed rows are written, which is what is compared first; with it the rows kept, too.
"""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

corpus, out, threads = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
os.environ.setdefault("DAFT_PROGRESS_BAR", "0")
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])

import daft  # noqa: E402  (it counts the processors when it is imported)
import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

BANDS, ROWS = 25, 10
files = sorted(corpus.glob("*.parquet"))
signed = daft.read_parquet([str(f) for f in files]).select(
    daft.col("content").minhash(num_hashes=256, ngram_size=5, seed=1, hash_function="xxhash3_64")
)
column = signed.to_arrow().column(0).combine_chunks()
signatures = np.asarray(column.flatten()).reshape(len(column), -1)

mix = np.random.default_rng(1).integers(1, 2**63, ROWS, dtype=np.uint64) | np.uint64(1)
parent = list(range(len(signatures)))


def root(x: int) -> int:
    while parent[x] != x:
        parent[x] = parent[parent[x]]
        x = parent[x]
    return x


for band in range(BANDS):
    key = (signatures[:, band * ROWS : (band + 1) * ROWS].astype(np.uint64) * mix).sum(axis=1, dtype=np.uint64)
    order = np.argsort(key, kind="stable")
    same = np.flatnonzero(key[order[1:]] == key[order[:-1]])
    for left, right in zip(order[same].tolist(), order[same + 1].tolist(), strict=True):
        a, b = root(left), root(right)
        parent[max(a, b)] = min(a, b)
keep = np.array([parent[x] == x for x in range(len(parent))])

out.mkdir(parents=True)
(out / "removed.json").write_text(json.dumps(np.flatnonzero(~keep).tolist()))
if "write" in sys.argv[4:]:
    starts = np.r_[0, np.cumsum([pq.read_metadata(f).num_rows for f in files])]

    def filtered(n: int) -> None:
        file = pq.ParquetFile(files[n], pre_buffer=False)
        with pq.ParquetWriter(out / files[n].name, file.schema_arrow, compression="zstd") as writer:
            at = starts[n]
            for group in range(file.num_row_groups):
                rows = file.read_row_group(group, use_threads=False)
                writer.write_table(rows.filter(pa.array(keep[at : at + len(rows)])))
                at += len(rows)

    with ThreadPoolExecutor(threads) as executor:
        list(executor.map(filtered, range(len(files))))
