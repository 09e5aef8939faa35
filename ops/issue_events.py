"""The events of an issue as a column: what was said, by whom, in the order of time."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from engine.columns import Offsets, one_array
from engine.schema import TEXT

pc: Any = pyarrow.compute
"""Arrow's functions; their stubs do not know that a plain value may stand for a column."""

EVENT = pa.struct([(name, TEXT) for name in ("author", "type", "action", "created_at", "title", "text")])
"""An event: `type` is GitHub's (`IssueCommentEvent`), `action` what happened (`opened`, `created`, `closed`)."""
EVENTS = pa.large_list(EVENT)
Events = Annotated[pa.Array, EVENTS]
"""A whole column of conversations, each the list of its events."""


def opened(given: Any) -> tuple[Any, Offsets]:
    """All events of a column as one struct array, and where those of each row begin and end; a null has none."""
    column: Any = one_array(given)
    if column.null_count:
        column = pc.coalesce(column, pa.scalar([], EVENTS))
    offsets = np.asarray(column.offsets)
    return column.values.slice(int(offsets[0]), int(offsets[-1] - offsets[0])), offsets - offsets[0]


def closed(events: pa.Array, offsets: Offsets) -> pa.Array:
    """Events as a column of conversations again."""
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), events).cast(EVENTS)


def field(events: Any, name: str) -> Any:
    """One field of all events, empty where it is missing."""
    return pc.fill_null(pc.struct_field(events, name), "")


def with_fields(events: pa.Array, **columns: pa.Array) -> pa.Array:
    """The events with some of their fields replaced."""
    arrays = [columns[f.name] if f.name in columns else pc.struct_field(events, f.name) for f in EVENT]
    return pa.StructArray.from_arrays(arrays, fields=list(EVENT))


def kept(events: pa.Array, offsets: Offsets, keep: Any) -> tuple[pa.Array, Offsets]:
    """The events for which `keep` is true, with the edges of what is left of each row."""
    counts = np.append(0, np.cumsum(keep))
    return events.filter(pa.array(keep, pa.bool_())), counts[offsets]


def rows(offsets: Offsets) -> Any:
    """For each event the row that it belongs to."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def sums(values: Any, offsets: Offsets) -> Any:
    """The sum over the events of each row."""
    return np.diff(np.append(0, np.cumsum(values))[offsets])


def join(*parts: Any, between: str = "") -> Any:
    """For each row its parts as one text; null where a part is. A text stands for itself in every row."""
    columns = [pa.scalar(part, TEXT) if isinstance(part, str) else part for part in parts]
    return pc.binary_join_element_wise(*columns, pa.scalar(between, TEXT))


def whole_text(events: pa.Array, offsets: Offsets) -> pa.Array:
    """For each row its titles and texts, a line break between them: what it says, before any rule."""
    first = join(field(events, "title"), field(events, "text"), between="\n")
    first = pc.if_else(pc.equal(field(events, "title"), ""), field(events, "text"), first)
    lists = pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), first)
    return pc.binary_join(lists, pa.scalar("\n", TEXT))
