"""Conversations as text, with the markup that StarCoder has for them."""

from __future__ import annotations

from typing import Any, ClassVar, TypedDict

import numpy as np
import pyarrow as pa

from engine.columns import Offsets
from engine.op import Map
from engine.schema import MARKUP, TEXT, Strings
from ops.issue_events import EVENTS, Events, field, join, kept, opened, pc
from ops.issue_events import closed as conversations

_CLOSING = ("closed", "merged", "reopened")


class Rendered(TypedDict):
    """Conversations as text."""

    content: Strings
    title: Strings
    events: Events


class RenderIssue(Map):
    """Writes each conversation as one text: its title, what it was opened with, and every comment under its author.

    `<issue_start>Title: …`, a line break, `username_0: …`, then for each further event with a text
    `<issue_comment>username_1: …`, and `<issue_closed>` where the issue was closed and not opened again. Of a
    conversation whose opening is not known there are the title, if that is, and the comments.

    Example:
        - render_issue

    Reference:
        Li et al. 2023, StarCoder, https://arxiv.org/abs/2305.06161, section 3.5
    """

    version: ClassVar[int] = 2

    title_prefix: str = "Title: "
    """What stands before the title."""
    closed: bool = True
    """Whether `<issue_closed>` is written."""
    keep_events: bool = False
    """Whether title and events stay beside the text; else they are null, since `redact` looks only at the text."""

    def map(self, title: Strings, events: Events) -> Rendered:
        all_events, edges = opened(events)
        texts, actions = field(all_events, "text"), field(all_events, "action")
        first = np.zeros(len(all_events), bool)
        first[edges[:-1][np.diff(edges) > 0]] = True
        said = np.asarray(pc.not_equal(texts, ""))
        opening = first & np.asarray(pc.or_(pc.equal(actions, "opened"), pc.not_equal(field(all_events, "title"), "")))
        mark = pc.if_else(pa.array(opening), pa.scalar("\n", TEXT), pa.scalar(MARKUP["<issue_comment>"], TEXT))
        spoken = join(mark, field(all_events, "author"), ": ", texts)
        left, new_edges = kept(spoken, edges, said | opening)
        lists = pa.LargeListArray.from_arrays(pa.array(new_edges, pa.int64()), left)
        head = pc.fill_null(join(self.title_prefix, title), "")
        end = np.where(_closed(actions, edges) & self.closed, MARKUP["<issue_closed>"], "")
        body = pc.binary_join(lists, pa.scalar("", TEXT))
        content = join(MARKUP["<issue_start>"], head, body, pa.array(end.tolist(), TEXT))
        if self.keep_events:
            return {"content": content, "title": title, "events": conversations(all_events, edges)}
        return {"content": content, "title": pa.nulls(len(content), TEXT), "events": pa.nulls(len(content), EVENTS)}


def _closed(actions: pa.Array, edges: Offsets) -> Any:
    """For each conversation whether the last that was said of its state is that it is closed."""
    closing = np.asarray(pc.is_in(actions, pa.array(_CLOSING, TEXT)))
    places = np.append(-1, np.maximum.accumulate(np.where(closing, np.arange(len(closing)), -1)))[edges[1:]]
    there = places >= edges[:-1]
    closes = np.append(np.asarray(pc.not_equal(actions, "reopened")), False)
    return there & closes[places]
