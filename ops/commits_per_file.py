"""Of the commits that change the same file, a few: what makes a corpus of commits varied."""

from __future__ import annotations

from typing import Any, ClassVar, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute
from pydantic import PositiveInt

from engine.digest import document_lanes
from engine.op import Global, Meeting
from engine.schema import TEXT, VERDICT, Strings
from ops.exact_dedup import Key

pc: Any = pyarrow.compute


class FileSketch(TypedDict):
    """The digest of a file's repository and path, in two halves."""

    key: Key
    rest: Key


class CommitsPerFile(Global):
    """Keep a few of all documents that have the same path in the same repository.

    StarCoder kept one commit of each file. Which ones stay the ids tell, which are hashes: it is chance, but the same
    whatever the order of the input.

    Example:
        - commits_per_file: {at_most: 1}

    Reference:
        Li et al. 2023, StarCoder, https://arxiv.org/abs/2305.06161, section 3.6
    """

    at_most: PositiveInt = 1
    """Documents that are kept of one file."""

    reasons: ClassVar[tuple[str, ...]] = ("same_file",)

    def sketch(self, repo_name: Strings, path: Strings) -> FileSketch:
        lanes = document_lanes("", [repo_name, path])
        return {"key": pa.array(lanes[:, 0]), "rest": pa.array(lanes[:, 1])}

    def match(self, meeting: Meeting) -> pa.Table:
        documents: Any = meeting.fetch(["id", "row", "rest"])
        ids, rest = documents.column("id"), documents.column("rest").to_numpy()
        rank = np.asarray(pc.rank(ids, tiebreaker="first"))
        places = np.lexsort((rank, rest, meeting.keys))
        key, rest, at = meeting.keys[places], rest[places], np.arange(len(places))
        begins = np.ones(len(places), bool)
        begins[1:] = (key[1:] != key[:-1]) | (rest[1:] != rest[:-1])
        first = np.maximum.accumulate(np.where(begins, at, 0))
        over = at - first >= self.at_most
        lost: Any = pa.array(places[over])
        of: Any = pa.array(places[first[over]])
        return pa.table(
            {
                "shard": pa.array(meeting.shard).take(lost),
                "row": documents.column("row").take(lost),
                "reason": pa.repeat(pa.scalar("same_file", TEXT), len(lost)),
                "of": ids.take(of),
                "score": pa.nulls(len(lost), pa.float64()),
            },
            schema=VERDICT,
        )
