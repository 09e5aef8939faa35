"""Notebooks in folders, or else the few that are shipped with the recipes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from typing import Any

from pydantic import PositiveInt

from engine.op import Batch, Losses, Shard
from ops.files import Files
from ops.licenses import is_license_file
from ops.trees import Entry

ENDING = ".ipynb"


class NotebookFiles(Files):
    """Reads the notebooks (`.ipynb`) of folders, as `files` reads all files.

    Without a path it reads the few notebooks that are shipped with the recipes, so that there is something to look at.
    Notebooks hold images as text, so that the bound on their bytes is higher than that of other files.

    Example:
        - notebook_files: {path: "notebooks"}
    """

    path: str | list[str] = ""
    """Folder, glob, file, or a list of them; local or a URL such as `s3://bucket/folder`. Empty: those shipped."""
    max_bytes: PositiveInt = 16 << 20
    """Bytes that a notebook may have; larger ones are dropped unread."""

    def shards(self) -> Iterator[Shard]:
        if self.path:
            return super().shards()
        shipped = str(files("recipes") / "sample" / "notebooks")
        return Files.shards(self.model_copy(update={"path": shipped}))

    def read(self, shard: Shard, losses: Losses, columns: frozenset[str] | None = None) -> Iterator[Batch]:
        at: dict[str, Any] = {**shard.at}
        # Licence files are listed with the notebooks, for what they say of them.
        at["files"] = [path for path in at["files"] if _is_notebook(path)]
        at["others"] = [other for other in at["others"] if _is_notebook(other[0]) or other[1] == "unreadable"]
        return super().read(replace(shard, at=at), losses, columns)

    def _listings(self, given: str) -> Iterator[tuple[str, str, list[Entry]]]:
        for root, label, entries in super()._listings(given):
            wanted = [_is_notebook(entry.path) or entry.kind == "unreadable" for entry in entries]
            # Without a notebook the licence files of a folder are nothing to be read.
            listed = [e for e, is_wanted in zip(entries, wanted, strict=True) if is_wanted or is_license_file(e.path)]
            yield root, label, listed if any(wanted) else []


def _is_notebook(path: str) -> bool:
    return path.lower().endswith(ENDING)
