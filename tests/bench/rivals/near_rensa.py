"""Near-deduplication with rensa: shingles in Python, R-MinHash and its own deduplicator, which verifies by estimate.

    python near_rensa.py CORPUS OUT THREADS [write]

Words are `[A-Za-z0-9_]+`, 5 to a shingle, 256 permutations, 32 bands of 8 (its bands must divide 256): the class
`RMinHashDeduplicator` as its page shows it; files without a word are kept. One process: the shingles, which are most of
the work, hold Python's lock.
"""

import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rensa import RMinHash, RMinHashDeduplicator

corpus, out, threads = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
files = sorted(corpus.glob("*.parquet"))
words_of = re.compile(r"[A-Za-z0-9_]+").findall
dedup = RMinHashDeduplicator(threshold=0.7, num_perm=256, use_lsh=True, num_bands=32, seed=42)
keep = []
for path in files:
    for batch in pq.ParquetFile(path, pre_buffer=False).iter_batches(2000, columns=["content"], use_threads=False):
        sets, numbers = [], []
        for number, text in enumerate(batch.column(0).to_pylist(), len(keep)):
            w = words_of(text)
            if not w:
                continue
            numbers.append(number)
            runs = zip(w, w[1:], w[2:], w[3:], w[4:], strict=False)
            sets.append(set(map(" ".join, runs)) if len(w) > 4 else {" ".join(w)})
        sketches = RMinHash.from_token_sets(sets, num_perm=256, seed=42)
        pairs = [(str(number), sketch) for number, sketch in zip(numbers, sketches, strict=True)]
        new = dict(zip(numbers, dedup.add_pairs(pairs), strict=True))
        keep += [new.get(number, True) for number in range(len(keep), len(keep) + len(batch))]
keep = np.array(keep, bool)
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
