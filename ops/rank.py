"""Who survives among copies: an order of documents that depends on nothing but the documents."""

from __future__ import annotations

from typing import Literal, TypedDict

import pyarrow as pa
import pyarrow.compute as pc

from engine.schema import Flags, Integers, Strings
from ops.permissive import is_permissive

Preference = Literal["permissive", "stars", "longer", "shorter", "path"]

RANK: tuple[Preference, ...] = ("permissive", "stars", "longer", "path")
"""Permissively licensed before others, then more stars, longer text, path; the id settles what is left."""

_SortKey = tuple[str, Literal["ascending", "descending"]]

_SORT: dict[str, _SortKey] = {
    "permissive": ("permissive", "descending"),
    "stars": ("stars", "descending"),
    "longer": ("length", "descending"),
    "shorter": ("length", "ascending"),
    "path": ("path", "ascending"),
}


class Rank(TypedDict):
    """The columns that a sketch carries so that documents can be ranked."""

    permissive: Flags
    stars: Integers
    length: Integers
    path: Strings


RANK_COLUMNS = ("permissive", "stars", "length", "path")


def rank_columns(license: pa.Array, star_events_count: pa.Array, length_bytes: pa.Array, path: pa.Array) -> Rank:
    """The columns by which `order` ranks; what is unknown ranks last."""
    return {
        "permissive": is_permissive(license),
        "stars": star_events_count.fill_null(0),
        "length": length_bytes.fill_null(0),
        "path": path.fill_null(""),
    }


def order(documents: pa.Table, rank: tuple[Preference, ...], first: tuple[str, ...] = ()) -> pa.Array:
    """The places of the documents in rank order, within groups that the columns `first` name."""
    keys: list[_SortKey] = [(name, "ascending") for name in first]
    keys += [_SORT[r] for r in rank]
    return pc.sort_indices(documents, sort_keys=[*keys, ("id", "ascending")])
