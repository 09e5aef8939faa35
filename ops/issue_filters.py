"""Which conversations are worth reading, by how much was said and by how many."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import NonNegativeInt

from engine.columns import Offsets
from engine.op import Filter, Reasons, at_least, at_most, reasons
from ops.issue_events import Events, field, opened, pc, rows, sums


class UsersAndSize(Filter):
    """Drops conversations that say little, and monologues that say too much.

    The size of a conversation is that of its events' texts in characters. With two people in it it needs no more than
    `at_least`; with one it must not be longer than `alone_characters`, nor have more than `alone_events`: such are logs
    and notes for the most part.

    Example:
        - users_and_size: {at_least: 200}

    Reference:
        Li et al. 2023, StarCoder, https://arxiv.org/abs/2305.06161, section 3.5: 38 % of issues that bots left
    """

    at_least: NonNegativeInt = 200
    """Characters that a conversation has at least."""
    alone_characters: NonNegativeInt = 7000
    """Characters that a conversation of one author has at most."""
    alone_events: NonNegativeInt = 10
    """Events that a conversation of one author has at most."""

    def drop(
        self, events: Events
    ) -> Reasons[Literal["too_short", "one_author_too_long", "one_author_too_many_events"]]:
        all_events, edges = opened(events)
        size = pa.array(sums(np.asarray(pc.utf8_length(field(all_events, "text"))), edges))
        several = pa.array(authors(all_events, edges) > 1)
        alone = pa.scalar(None, pa.int64())
        return reasons(
            too_short=at_least(size, self.at_least),
            one_author_too_long=at_most(size, pc.if_else(several, alone, self.alone_characters)),
            one_author_too_many_events=at_most(pa.array(np.diff(edges)), pc.if_else(several, alone, self.alone_events)),
        )


def authors(events: pa.Array, edges: Offsets) -> Any:
    """How many people took part in each conversation."""
    if not len(events):
        return np.zeros(len(edges) - 1, np.int64)
    found = field(events, "author").dictionary_encode()
    pairs = np.unique(rows(edges) * len(found.dictionary) + np.asarray(found.indices))
    return np.bincount(pairs // len(found.dictionary), minlength=len(edges) - 1)
