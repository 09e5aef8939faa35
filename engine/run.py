"""A finished run as Python sees it: its tables as polars frames that read nothing before they are asked."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
from pyarrow.fs import FSSpecHandler, PyFileSystem

from engine import storage
from engine.errors import Refused, did_you_mean
from engine.publish import PUBLISHED
from engine.schema import DOCUMENT, DUPLICATE, LEDGER, QUARANTINE, SAMPLE

if TYPE_CHECKING:
    from engine.story import Story

EMPTY = {
    "documents": DOCUMENT,
    "ledger": LEDGER,
    "measures": DOCUMENT.remove(DOCUMENT.get_field_index("content")),
    "quarantine": QUARANTINE,
    "samples": SAMPLE,
    "duplicates": DUPLICATE,
}
"""The columns of a table of which the run left nothing."""


class RunReport(dict[str, Any]):
    """What `report.json` says; Jupyter shows it as the page that `report.html` is."""

    def __init__(self, run: Run) -> None:
        super().__init__(storage.read_json(storage.join(run.path, "report.json")))
        self.run = run

    def html(self) -> str:
        """The page, made anew."""
        from engine.html_report import html  # matplotlib, which who only reads tables need not load

        return html(self.run)

    def _repr_html_(self) -> str:
        # In a frame, the page's style stays off the notebook's and the other way round.
        return f'<iframe srcdoc="{escape(self.html())}" style="width:100%;height:800px;border:0"></iframe>'


class Run:
    """The run in a folder: its tables as LazyFrames, its report, and the stories of its documents.

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
    def report(self) -> RunReport:
        """What `report.json` says, which Jupyter shows as a page."""
        return RunReport(self)

    def why(self, what: str) -> list[Story]:
        """The stories of the documents that an id, its beginning, a path, its end, or `repo:path` names; at most 20."""
        from engine.story import stories  # the story of a document is told of a run: each knows the other

        return stories(self, what)

    def files(self, kind: str) -> list[str]:
        """The URLs of the Parquet files of one of the run's folders."""
        folder = storage.join(self.path, kind)
        return [
            storage.join(folder, f["name"]) if storage.is_local(self.path) else storage.join(self.path, f["place"])
            for f in self.manifest.get(kind, [])
        ]

    def frame(self, kind: str) -> pl.LazyFrame:
        """The tables of a folder as one LazyFrame; an empty one where the run left none."""
        streams: dict[str, list[str]] = {}
        for file, url in zip(self.manifest.get(kind, []), self.files(kind), strict=True):
            streams.setdefault(file["name"].split("-")[0], []).append(url)
        if streams:
            # The columns of a stream's documents are its own.
            return pl.concat([scan(urls) for urls in streams.values()], how="diagonal")
        empty = pl.from_arrow(EMPTY.get(kind, pa.schema([])).empty_table())
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


def scan(urls: Sequence[str]) -> pl.LazyFrame:
    """Parquet files of one kind and stream as one LazyFrame; columns that some lack are null there."""
    if storage.is_local(urls[0]):
        return pl.scan_parquet(list(urls), missing_columns="insert", extra_columns="ignore")
    from pyarrow.dataset import dataset  # it loads pandas where that is installed: a quarter of a second

    # The run was written by fsspec and is read by it: whatever it reaches, with the same credentials.
    kind: Any = FSSpecHandler
    handler = kind(storage.file_system(urls[0])[0])
    paths = [storage.file_system(url)[1] for url in urls]
    return pl.scan_pyarrow_dataset(dataset(paths, filesystem=PyFileSystem(handler), format="parquet"))


__all__ = ["PUBLISHED", "Run", "RunReport", "scan"]
