"""What Daft's script does, with the project's kernels and nothing else: no guarantees, to see what those cost.

    python near_bare.py CORPUS OUT THREADS [write]

Signatures of 256 permutations, 25 bands of 10, one cluster a bucket, the first row stays; nothing is verified, named or
kept on disk. With `write` the rows that stay are written as Parquet.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ops.buckets import components
from ops.minhash import MinHash, band_hashes, signatures

BANDS, ROWS = 25, 10


def main() -> None:
    """Finds the rows to remove, and with `write` leaves the others."""
    corpus, out, threads = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    pa.set_cpu_count(1)
    files = sorted(corpus.glob("*.parquet"))
    opened = [pq.ParquetFile(path, pre_buffer=False) for path in files]
    groups = [(n, g) for n, file in enumerate(opened) for g in range(file.num_row_groups)]

    def signed(group: tuple[int, int]) -> tuple[object, object]:
        path, number = files[group[0]], group[1]
        batches = pq.ParquetFile(path, pre_buffer=False).iter_batches(
            600, row_groups=[number], columns=["content"], use_threads=False
        )
        made = [signatures(batch.column(0), MinHash(256, 5, 1)) for batch in batches]
        bands = [band_hashes(signature, BANDS, ROWS) for signature, _ in made]
        return np.concatenate(bands), np.concatenate([shingles for _, shingles in made])

    with ThreadPoolExecutor(threads) as executor:
        parts = list(executor.map(signed, groups))
        keys, shingles = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
        keep = _kept(keys, shingles)
        out.mkdir(parents=True)
        (out / "removed.json").write_text(json.dumps(np.flatnonzero(~keep).tolist()))
        if "write" in sys.argv[4:]:
            starts = np.r_[0, np.cumsum([file.metadata.num_rows for file in opened])]
            list(executor.map(lambda n: _write(files[n], out, keep[starts[n] : starts[n + 1]]), range(len(files))))


def _kept(keys: object, shingles: object) -> object:
    bands = np.asarray(keys).T
    left, right = [], []
    for band in bands:
        order = np.argsort(band, kind="stable")
        same = np.flatnonzero((band[order[1:]] == band[order[:-1]]) & (np.asarray(shingles)[order[1:]] > 0))
        left.append(order[same])
        right.append(order[same + 1])
    documents, roots = components(np.concatenate(left).astype(np.uint64), np.concatenate(right).astype(np.uint64))
    keep = np.ones(bands.shape[1], bool)
    keep[documents[documents != roots].astype(np.int64)] = False
    return keep


def _write(path: Path, out: Path, keep: object) -> None:
    file, at = pq.ParquetFile(path, pre_buffer=False), 0
    with pq.ParquetWriter(out / path.name, file.schema_arrow, compression="zstd") as writer:
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group, use_threads=False)
            writer.write_table(rows.filter(pa.array(np.asarray(keep)[at : at + len(rows)])))
            at += len(rows)


if __name__ == "__main__":
    main()
