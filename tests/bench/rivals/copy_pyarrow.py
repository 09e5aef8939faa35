"""Copies Parquet files with pyarrow, row group by row group, a file a thread: as fast as a filter pass can be.

    python copy_pyarrow.py CORPUS OUT THREADS [plain]

With `plain` the text is written without a dictionary and without statistics, as the engine writes it; otherwise as
pyarrow writes unless it is told more than `zstd`.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

corpus, out, threads = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
plain = "plain" in sys.argv[4:]
pa.set_cpu_count(1)
out.mkdir(parents=True)


def copy(path: Path) -> None:
    file = pq.ParquetFile(path, pre_buffer=False)
    names = [n for n in file.schema_arrow.names if n not in ("content", "hexsha", "max_stars_repo_path")]
    options = {"use_dictionary": names, "write_statistics": names} if plain else {}
    with pq.ParquetWriter(out / path.name, file.schema_arrow, compression="zstd", **options) as writer:
        for group in range(file.num_row_groups):
            writer.write_table(file.read_row_group(group, use_threads=False))


with ThreadPoolExecutor(int(threads)) as executor:
    list(executor.map(copy, sorted(corpus.glob("*.parquet"), key=lambda p: -p.stat().st_size)))
