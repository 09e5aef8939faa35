"""What data sets call the columns of a document, and how their values become ours.

The names are those of The Stack v1 and v2, StarCoderData, this engine's own documents and plain text corpora.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import OpError, did_you_mean
from engine.schema import SOURCE_COLUMNS, TEXT
from ops.language import folder_of

THEIR_NAMES: Mapping[str, tuple[str, ...]] = {
    "content": ("content", "text", "code"),
    "path": ("path", "max_stars_repo_path"),
    "repo_name": ("repo_name", "max_stars_repo_name"),
    "revision_id": ("revision_id", "max_stars_repo_head_hexsha"),
    "language": ("language", "lang"),
    "extension": ("extension", "ext"),
    "license": ("license", "detected_licenses", "max_stars_repo_licenses"),
    "license_source": ("license_source",),
    "star_events_count": ("star_events_count", "max_stars_count"),
}
"""Under which names data sets have each of our columns; of those in a file the first counts."""

NESTED = "files"
"""The column in which The Stack v2's rows for whole repositories have a list of files."""

_SOFTWARE_HERITAGE = (
    "; this is The Stack v2, which names its files and leaves their text in Software Heritage's archive: "
    "download the text first, as the data set's page shows, into a column `content`"
)


def check_names(columns: Mapping[str, str]) -> None:
    """ValueError where a column map sets a column that a source does not have."""
    for name in columns:
        if name not in SOURCE_COLUMNS:
            known = ", ".join(SOURCE_COLUMNS)
            raise ValueError(
                f"no column of a document is called `{name}`{did_you_mean(name, SOURCE_COLUMNS)} ({known})"
            )


def candidates(given: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Our columns, and the names of theirs that each may come from, with those given in place of the known ones."""
    return {ours: (given[ours],) if ours in given else names for ours, names in THEIR_NAMES.items()}


def chosen(names: Sequence[str], given: Mapping[str, str], where: str) -> dict[str, str]:
    """Our columns and the names of theirs that a file has, of `names`, which are all of its columns.

    Fields of structs are named with a dot, and so are those of the list `files`, which count where the file has no text
    of its own. OpError where the file lacks `content`, or a column that the map gives.
    """
    there = set(names)
    known = candidates(given)
    nested = not there.intersection(known["content"]) or given.get("content", "").startswith(f"{NESTED}.")
    answer: dict[str, str] = {}
    for ours, theirs in known.items():
        # A row of files says more of each file by its own columns.
        spelled = [f"{NESTED}.{name}" for name in theirs if nested] + list(theirs)
        found = next((name for name in spelled if name in there), None)
        if found is not None:
            answer[ours] = found
        elif ours in given or ours == "content":
            raise missing(ours, given, names, where)
    return answer


def missing(ours: str, given: Mapping[str, str], there: Sequence[str], where: str) -> OpError:
    """The error that tells that a file lacks one of our columns, which it has and how to name the right one."""
    known = f"`{given[ours]}`" if ours in given else f"`{ours}`"
    likely = did_you_mean(given.get(ours, ours), there)
    if ours not in given and "src_encoding" in {name.rpartition(".")[2] for name in there}:
        likely = _SOFTWARE_HERITAGE
    listed = ", ".join(there) if there else "none"
    advice = f"name the column of theirs: `columns: {{{ours}: …}}`"
    return OpError(f"{where}: no column {known}{likely}\n  its columns: {listed}\n  {advice}")


# --- values -----------------------------------------------------------------------------------------------------


def expression(licenses: Iterable[str | None]) -> str | None:
    """One SPDX expression for licences that all apply, in their order and each once; None where there is none."""
    distinct = dict.fromkeys(name.strip() for name in licenses if name and name.strip())
    if len(distinct) > 1:
        distinct = dict.fromkeys(f"({n})" if " OR " in n.upper() and not n.startswith("(") else n for n in distinct)
    return " AND ".join(distinct) or None


def by_value(column: Any, change: Callable[[str], str | None]) -> pa.Array:
    """The column with each distinct value changed once."""
    encoded = column.dictionary_encode()
    values: list[Any] = encoded.dictionary.to_pylist()
    return pa.array([change(value) for value in values], TEXT).take(encoded.indices)


def text(column: Any) -> pa.Array:
    """A column of any type as `large_string`: bytes that are no UTF-8 become U+FFFD, lists and structs null."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return text(column.dictionary).take(column.indices)
    if pa.types.is_nested(kind) or pa.types.is_null(kind):
        return pa.nulls(len(column), TEXT)
    if pa.types.is_fixed_size_binary(kind) or pa.types.is_binary_view(kind) or pa.types.is_string_view(kind):
        column = column.cast(pa.large_binary())
    elif not (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    ):
        column = column.cast(TEXT)
    # Parquet files may call bytes a string that are none: nobody has looked yet.
    raw = column.cast(pa.large_binary())
    try:
        return raw.cast(TEXT)
    except pa.ArrowInvalid:
        return pa.array(
            [None if value is None else value.decode("utf-8", "replace") for value in raw.to_pylist()], TEXT
        )


def is_list(kind: pa.DataType) -> bool:
    """Whether a type is that of lists."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def path(column: pa.Array) -> pa.Array:
    """Paths as relative ones: The Stack v2's begin with a slash."""
    return pc.utf8_ltrim(text(column), "/")


def extension(column: pa.Array) -> pa.Array:
    """Extensions without their dot."""
    return pc.utf8_ltrim(text(column), ".")


def license(column: Any) -> pa.Array:
    """SPDX expressions of licences, or of lists of licences."""
    if is_list(column.type) and not pa.types.is_nested(column.type.value_type):
        lists: Any = column.cast(pa.list_(pa.string()))
        names = lists.flatten()
        if names.null_count:
            lists = pa.array([given and [n for n in given if n] for given in lists.to_pylist()], lists.type)
        one_each = len(names) == len(lists) and pc.min(pc.list_value_length(lists)).as_py() == 1
        column = names if one_each and not lists.null_count else pc.binary_join(lists, "\n")
    return by_value(text(column), _expression)


@lru_cache(1 << 16)
def _expression(lines: str) -> str | None:
    return expression(lines.split("\n"))


def language(column: pa.Array) -> pa.Array:
    """The folders that The Stack has for languages."""
    return by_value(text(column), _folder)


@lru_cache(1 << 12)
def _folder(name: str) -> str | None:
    return folder_of(pa.array([name], TEXT))[0].as_py()


def count(column: pa.Array) -> pa.Array:
    """Whole numbers; what is none becomes null."""
    if pa.types.is_integer(column.type):
        return column.cast(pa.int64(), safe=False)
    series = pl.Series(text(column) if not pa.types.is_floating(column.type) else column)
    return pl.Series(series.cast(pl.Float64, strict=False)).cast(pl.Int64, strict=False).to_arrow()


CONVERSIONS: Mapping[str, Callable[[pa.Array], pa.Array]] = {
    "path": path,
    "repo_name": text,
    "revision_id": text,
    "language": language,
    "extension": extension,
    "license": license,
    "license_source": text,
    "star_events_count": count,
}
"""How a column of theirs becomes each of ours; `content` is `ops.dataset_rows`'."""
