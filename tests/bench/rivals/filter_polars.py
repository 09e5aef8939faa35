"""The filter pass in polars expressions: the same filters with the same bounds, lazily, in the streaming engine.

    python filter_polars.py CORPUS OUT THREADS TABLES

Letters are those of Unicode's general categories; lines end at line feeds. Letters are counted in what is left
of a text when all but letters and digits is taken out, and files are gone through one by one: the fastest of the
forms tried (one plan for all files took half as long again and three times the memory).
"""

import json
import os
import sys
from pathlib import Path

corpus, out, threads, given = sys.argv[1:]
os.environ["POLARS_MAX_THREADS"] = threads

import polars as pl  # noqa: E402  (it reads the number of threads when it is imported)

tables = json.loads(Path(given).read_text())
suffixes, names, wanted, refused, bounds = (tables[k] for k in ("suffixes", "names", "wanted", "refused", "bounds"))


def bound(measure: str, default: float | None) -> pl.Expr:
    """The bound of each file: its pair's own, else the default; null where it is not judged."""
    own = bounds[measure]
    if not own:
        return pl.lit(default, pl.Float64)
    return pl.col("pair").replace_strict(
        list(own), pl.Series(list(own.values()), dtype=pl.Float64), default=pl.lit(default, pl.Float64)
    )


def looked_up(key: pl.Expr, table: dict[str, str]) -> pl.Expr:
    return key.replace_strict(table, default=None, return_dtype=pl.String)


content, path = pl.col("content"), pl.col("max_stars_repo_path")
name = path.str.extract(r"([^/]*)$")
one, two = name.str.extract(r"\.([^.]+)$"), name.str.extract(r"\.([^.]+\.[^.]+)$")
extension = pl.coalesce(
    pl.when(looked_up(name, names).is_not_null()).then(pl.lit("")),
    *(pl.when(looked_up(e, suffixes).is_not_null()).then(e) for e in (two, two.str.to_lowercase())),
    *(pl.when(looked_up(e, suffixes).is_not_null()).then(e) for e in (one, one.str.to_lowercase())),
)
language = pl.coalesce(looked_up(name, names), *(looked_up(e, suffixes) for e in (two, two.str.to_lowercase(), one)))
language = pl.coalesce(language, looked_up(one.str.to_lowercase(), suffixes))
licences = pl.col("max_stars_repo_licenses")
permissive = pl.element().is_in(tables["permissive"])


def kept(file: Path) -> pl.LazyFrame:
    return (
        pl.scan_parquet(file)
        .with_columns(language=language, extension=extension)
        .filter(pl.col("language").is_in(wanted))
        .with_columns(pair=pl.concat_str("language", pl.lit("/"), "extension"))
        .filter(~pl.col("pair").is_in(refused) & (licences.list.len() > 0) & licences.list.eval(permissive).list.all())
        .with_columns(
            characters=content.str.len_chars(),
            ends=content.str.count_matches("\n", literal=True),
            open_line=(~content.str.ends_with("\n")).cast(pl.UInt32),
            longest=content.str.split("\n").list.eval(pl.element().str.len_chars()).list.max(),
            shown=content.str.replace_all(r"[^\p{L}\p{N}]+", ""),
            xml=content.str.head(100).str.contains("<?xml version=", literal=True),
        )
        .with_columns(
            mean=(pl.col("characters") - pl.col("ends")) / (pl.col("ends") + pl.col("open_line")).clip(1),
            alphanumeric=pl.col("shown").str.len_chars() / pl.col("characters").clip(1),
            alphabetic=pl.col("shown").str.replace_all(r"\p{N}+", "").str.len_chars() / pl.col("characters").clip(1),
        )
        .filter(
            ~(pl.col("xml") & (pl.col("language") != "xslt")),
            ~(pl.col("longest") > bound("longest_line", 1000)).fill_null(False),
            ~(pl.col("mean") > bound("mean_line", 100)).fill_null(False),
            ~(pl.col("alphanumeric") < bound("alphanumeric", 0.25)).fill_null(False),
            ~(pl.col("alphabetic") < bound("alphabetic", None)).fill_null(False),
            ~pl.col("language").is_in(["json", "yaml"]) | pl.col("characters").is_between(50, 5000),
        )
        .drop("pair", "ends", "open_line", "shown")
    )


Path(out).mkdir(parents=True)
for file in sorted(Path(corpus).glob("*.parquet")):
    frame = kept(file).collect(engine="streaming")
    frame.write_parquet(Path(out) / file.name, compression="zstd", compression_level=1)
