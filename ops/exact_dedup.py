"""Exact deduplication: of documents with the same text, one is kept."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypedDict

import numba
import numpy as np
import pyarrow as pa

from engine.columns import Bytes, Offsets, text_buffers, text_column
from engine.digest import digests
from engine.op import Global, Meeting
from engine.schema import TEXT, VERDICT, Flags, Integers, Strings
from ops.rank import RANK, RANK_COLUMNS, Preference, order, rank_columns

Key = Annotated[pa.Array, pa.uint64()]


class ExactSketch(TypedDict):
    """The digest of a text in two halves, and what ranks its document."""

    key: Key
    rest: Key
    permissive: Flags
    stars: Integers
    length: Integers
    path: Strings


class ExactDedup(Global):
    """Keep one of all documents whose text is the same.

    Texts are compared by a 128-bit digest. Which document of a group survives is its rank among them, never the order
    of the input. Empty texts are a source's matter and do not come here.

    Example:
        - exact_dedup: {compare: white_space}
    """

    compare: Literal["text", "white_space"] = "text"
    """Compares the text as it is, or with each run of white space taken for one space and none at the ends."""
    rank: tuple[Preference, ...] = RANK
    """What ranks documents, most important first; the id settles what is left."""

    reasons: ClassVar[tuple[str, ...]] = ("exact_duplicate",)

    def sketch(
        self, content: Strings, license: Strings, star_events_count: Integers, length_bytes: Integers, path: Strings
    ) -> ExactSketch:
        digest = digests(content if self.compare == "text" else white_space_collapsed(content))
        rank = rank_columns(license, star_events_count, length_bytes, path)
        return {"key": pa.array(digest[:, 0]), "rest": pa.array(digest[:, 1]), **rank}

    def match(self, meeting: Meeting) -> pa.Table:
        documents = meeting.fetch(["id", "row", "rest", *RANK_COLUMNS])
        documents = documents.append_column("key", pa.array(meeting.keys, pa.uint64()))
        places = np.asarray(order(documents, self.rank, ("key", "rest")))
        key, rest = meeting.keys[places], documents.column("rest").to_numpy()[places]
        first = np.ones(len(places), bool)
        first[1:] = (key[1:] != key[:-1]) | (rest[1:] != rest[:-1])
        kept = np.maximum.accumulate(np.where(first, np.arange(len(places)), 0))
        lost, of = pa.array(places[~first], pa.uint64()), pa.array(places[kept[~first]], pa.uint64())
        return pa.Table.from_pydict(
            {
                "shard": pa.array(meeting.shard).take(lost),
                "row": documents.column("row").take(lost),
                "reason": pa.repeat(pa.scalar("exact_duplicate", TEXT), len(lost)),
                "of": documents.column("id").take(of),
                "score": pa.repeat(pa.scalar(1.0), len(lost)),
            },
            schema=VERDICT,
        )


@numba.njit(nogil=True, cache=True)
def _collapse(data: Bytes, offsets: Offsets, out: Bytes, ends: Offsets) -> Any:
    at = 0
    for n in range(len(offsets) - 1):
        waiting = False
        begin = at
        for k in range(offsets[n], offsets[n + 1]):
            byte = data[k]
            if byte == 32 or 9 <= byte <= 13:
                waiting = at > begin
                continue
            if waiting:
                out[at] = 32
                at += 1
                waiting = False
            out[at] = byte
            at += 1
        ends[n + 1] = at
    return at


def white_space_collapsed(content: pa.Array) -> pa.Array:
    """The texts with each run of ASCII white space as one space, and none at either end."""
    data, offsets = text_buffers(content)
    out = np.empty(int(offsets[-1] - offsets[0]), np.uint8)
    ends = np.zeros(len(offsets), np.int64)
    used = _collapse(data, offsets, out, ends)
    return text_column(out[:used], ends)
