"""Two sources."""

from collections.abc import Iterator

from engine.op import Batch, Losses, Shard, Source


class Environment(Source):
    """Read what is installed.

    Example:
        - environment
    """

    reasons = ("too_large",)

    def shards(self) -> Iterator[Shard]:
        yield from ()

    def read(self, shard: Shard, losses: Losses, columns: frozenset[str] | None = None) -> Iterator[Batch]:
        yield from ()


class Parquet(Environment):
    """Read Parquet files.

    Example:
        source: {parquet: {path: "s3://bucket/*.parquet"}}
    """

    path: str
    """Where the files lie."""
    rows: int | None = None
    """Rows that are read of each."""
