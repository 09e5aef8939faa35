"""Conversations made of events that lie in many files."""

from __future__ import annotations

from typing import Any, ClassVar, TypedDict

import numpy as np
import pyarrow as pa

from engine.op import Gather, Groups
from engine.schema import TEXT, Flags, Integers, Strings
from ops.gharchive import OPENINGS
from ops.issue_events import EVENT, Events, closed, join, pc, sums, whole_text


class Conversation(TypedDict):
    """An issue or pull request with all that was said in it."""

    content: Strings
    repo_name: Strings
    path: Strings
    title: Strings
    events: Events
    pull_request: Flags
    no_opening: Flags


class GatherConversations(Gather):
    """Makes a conversation of all events of an issue or pull request, in whatever files they lie.

    Events are in the order of their time, and of their number where times are equal. `title` is the last that is known
    of; `content` is all that was said, until `render_issue` writes it. A conversation of which neither title nor text
    is known as it was opened, because that lies outside the files or because they leave it out, is kept and counted as
    `no_opening`. An event that lies in two files is dropped before, as `repeated`.

    Example:
        - gather_conversations

    Reference:
        Li et al. 2023, StarCoder, https://arxiv.org/abs/2305.06161, section 3.5
    """

    key: ClassVar[tuple[str, ...]] = ("repo_name", "number")
    order: ClassVar[tuple[str, ...]] = ("created_at", "event")

    def gather(
        self,
        groups: Groups,
        repo_name: Strings,
        number: Integers,
        created_at: Strings,
        event: Strings,
        type: Strings,
        action: Strings,
        author: Strings,
        title: Strings,
        content: Strings,
        pull_request: Flags,
    ) -> Conversation:
        starts = pc.and_(pc.is_in(type, pa.array(OPENINGS, TEXT)), pc.equal(action, "opened"))
        said = pc.or_(pc.not_equal(content, ""), title.is_valid())
        opening = np.asarray(pc.fill_null(pc.and_(starts, said), False))
        first = pc.if_else(pa.array(opening), title, pa.scalar(None, TEXT))
        fields = [author, type, action, created_at, first, content]
        events = pa.StructArray.from_arrays(fields, fields=list(EVENT))
        heads: Any = pa.array(groups[:-1])
        name = join("issues/", number.take(heads).cast(TEXT))
        return {
            "content": whole_text(events, groups),
            "repo_name": repo_name.take(heads),
            "path": name,
            "title": _last(title, groups),
            "events": closed(events, groups),
            "pull_request": pa.array(sums(np.asarray(pull_request), groups) > 0),
            "no_opening": pa.array(sums(opening, groups) == 0),
        }


def _last(column: Any, groups: Groups) -> Any:
    """The last value of each group that is not null."""
    places = np.where(np.asarray(column.is_valid()), np.arange(len(column)), -1)
    last = np.maximum.reduceat(places, groups[:-1]) if len(groups) > 1 else places
    last = np.where(last >= groups[:-1], last, -1)
    return column.take(pa.array(last, mask=last < 0))
