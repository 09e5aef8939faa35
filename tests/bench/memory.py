"""The largest memory of a worker, whatever the layout of the corpus.

python tests/bench/memory.py CORPUS
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import measure
import pyarrow as pa
import pyarrow.parquet as pq
from results import Goal, Results, Table, arguments, engine_run, facts, files

ABOUT = """
Two passes over text in layouts that are hard on memory, each in a whole process: the largest PSS of the tree at any of
several looks a second, and the largest resident set of one process. With `--on here` and Parquet, workers are threads
of one process, so its memory is that of {cores} workers and the driver together.
"""
LARGE = 512 << 10
"""Bytes of a large file."""
REPEATS = 20_000
RECIPES_RUN = ("filters", "near")


def batches(corpus: Path) -> Iterator[pa.RecordBatch]:
    """The rows of a corpus."""
    for path in files(corpus):
        yield from pq.ParquetFile(path).iter_batches(2000)


def one_row_group(corpus: Path, out: Path) -> None:
    """All text in one row group of one file."""
    table = pa.Table.from_batches(list(batches(corpus)))
    pq.write_table(table, out / "data.parquet", compression="zstd", row_group_size=1 << 30)


def tiny_row_groups(corpus: Path, out: Path) -> None:
    """A row group for every twenty files."""
    table = pa.Table.from_batches(list(batches(corpus)))
    pq.write_table(table, out / "data.parquet", compression="zstd", row_group_size=20)


def large_files(corpus: Path, out: Path) -> None:
    """Files of half a MiB to one MiB and nothing else, over and over, in one row group."""
    table = pa.Table.from_batches(list(batches(corpus)))
    large = table.filter(pa.compute.greater(pa.compute.binary_length(table.column("content")), LARGE))
    if not large.num_rows:
        large = table.slice(0, 1)
    times = max(1, int(400e6 / max(1, large.column("content").nbytes)))
    repeated = pa.concat_tables([large] * times)
    pq.write_table(repeated, out / "data.parquet", compression="zstd", row_group_size=1 << 30, use_dictionary=False)


def one_text(corpus: Path, out: Path) -> None:
    """One text of some 50 kB in 20,000 rows: a few bytes in the file, a GB of text."""
    row = next(batches(corpus)).slice(0, 1).to_pylist()[0]
    row["content"] = (row["content"] or "x = 1\n") * max(1, 50_000 // max(1, len(row["content"])))
    rows = [row | {"max_stars_repo_path": f"{n:06}.py"} for n in range(REPEATS)]
    pq.write_table(pa.Table.from_pylist(rows), out / "data.parquet", compression="zstd", row_group_size=1 << 30)


LAYOUTS: dict[str, Callable[[Path, Path], None]] = {
    "one row group": one_row_group,
    "row groups of 20 files": tiny_row_groups,
    "large files only": large_files,
    "one text in 20,000 rows": one_text,
}


def main() -> None:
    """Makes the layouts, runs over each, and writes the results."""
    given = arguments(__doc__, runs=1).parse_args()
    measure.pin(given.cores)
    results = Results(given.name or "memory", "Memory", ABOUT.format(cores=given.cores), given.runs)
    results.corpora["corpus"] = facts(given.corpus)
    rows, most = [], 0.0
    for name in ("as it is", *LAYOUTS):
        with measure.fresh(given.scratch) as folder:
            corpus = given.corpus
            if name in LAYOUTS:
                folder.mkdir()
                LAYOUTS[name](given.corpus, folder)
                corpus = folder
            known = facts(corpus)
            row = [name, known["files"], known["text_bytes"] / 1e6, known["row_groups"]]
            for recipe in RECIPES_RUN:
                with measure.fresh(given.scratch) as out:
                    taken = measure.Taken(f"{name}, {recipe}")
                    taken.runs = [measure.run(engine_run(recipe, given.cores)(corpus, out)) for _ in range(given.runs)]
                results.timed([taken])
                peaks = [max(getattr(run, kind) for run in taken.runs) / 1e6 for kind in ("pss", "rss")]
                most = max(most, peaks[0])
                row += peaks
            rows.append(row)
            print(f"  {name}: {row[4:]}", file=sys.stderr, flush=True)
    columns = ["layout", "files", "MB of text", "row groups"]
    columns += [f"`{recipe}` {kind}" for recipe in RECIPES_RUN for kind in ("PSS MB", "RSS MB")]
    results.tables = [Table("Largest memory of the whole process", columns, rows)]
    results.goals = [Goal("memory of the whole process, any layout", 1000, most, "MB", "at most")]
    results.save()


if __name__ == "__main__":
    main()
