"""A finished run as Python sees it: its tables as polars frames that read nothing before they are asked."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import polars as pl
import pyarrow as pa

from engine import storage
from engine.errors import Refused, did_you_mean
from engine.publish import PUBLISHED
from engine.schema import LEDGER, QUARANTINE, SAMPLE


class Run:
    """The run in a folder: `documents`, `ledger`, `measures`, `quarantine`, `samples` as LazyFrames, and its report.

    Raises Refused where the folder holds no finished run.
    """

    def __init__(self, path: str) -> None:
        self.path = path.rstrip("/")
        if not storage.exists(storage.join(self.path, "manifest.json")):
            near = ""
            if storage.is_local(self.path):
                place = storage.local_path(self.path)
                near = did_you_mean(place.name, storage.names(str(place.parent)))
            started = storage.exists(storage.join(self.path, "recipe.yaml"))
            told = "holds a run that did not finish; run it again to go on" if started else "holds no run"
            raise Refused(f"{path} {told}{near}")

    @cached_property
    def manifest(self) -> dict[str, list[dict[str, Any]]]:
        """The run's files by folder."""
        return storage.read_json(storage.join(self.path, "manifest.json"))

    @cached_property
    def report(self) -> dict[str, Any]:
        """What `report.json` says."""
        return storage.read_json(storage.join(self.path, "report.json"))

    def files(self, kind: str) -> list[str]:
        """The URLs of the Parquet files of one of the run's folders."""
        folder = storage.join(self.path, kind)
        return [
            storage.join(folder, f["name"]) if storage.is_local(self.path) else storage.join(self.path, f["place"])
            for f in self.manifest.get(kind, [])
        ]

    def frame(self, kind: str) -> pl.LazyFrame:
        """The tables of a folder as one LazyFrame; an empty one where the run left none."""
        files = self.files(kind)
        if files:
            return pl.scan_parquet(files, missing_columns="insert", extra_columns="ignore")
        schema = {"ledger": LEDGER, "quarantine": QUARANTINE, "samples": SAMPLE}.get(kind, pa.schema([]))
        empty = pl.from_arrow(schema.empty_table())
        assert isinstance(empty, pl.DataFrame)
        return empty.lazy()

    @property
    def documents(self) -> pl.LazyFrame:
        """The documents kept."""
        return self.frame("documents")

    @property
    def ledger(self) -> pl.LazyFrame:
        """Every document dropped, with step, reason, cause and score."""
        return self.frame("ledger")

    @property
    def measures(self) -> pl.LazyFrame:
        """Every document read, with its measures, without its text."""
        return self.frame("measures")

    @property
    def quarantine(self) -> pl.LazyFrame:
        """What could not be read or made an op raise."""
        return self.frame("quarantine")

    @property
    def samples(self) -> pl.LazyFrame:
        """The text of a few dropped documents a reason."""
        return self.frame("samples")

    @property
    def duplicates(self) -> pl.LazyFrame:
        """Near-duplicates dropped, each with the document that was kept in its place."""
        return self.frame("duplicates")

    def __repr__(self) -> str:
        r = self.report
        return f"Run({self.path!r}: read {r['read']:,}, kept {r['kept']:,}, dropped {r['dropped']:,})"


__all__ = ["PUBLISHED", "Run"]
