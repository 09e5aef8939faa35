"""Commits as text, with the markup that StarCoder has for them."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

import numpy as np
import pyarrow as pa
from pydantic import Field, NonNegativeInt, PositiveInt

from engine.digest import chances
from engine.op import Map
from engine.schema import MARKUP, TEXT, Integers, Strings
from ops.commit_changes import COMMIT, Commits, field, lines_of, pc, subjects

_BEFORE, _MESSAGE, _AFTER = (MARKUP[f"<commit_{part}>"] for part in ("before", "msg", "after"))


class Rendered(TypedDict):
    """Commits as text."""

    content: Strings
    commit: Commits


class RenderCommit(Map):
    """Writes each commit as one text: the file before, the subject of the message, the file after.

    `<commit_before>…<commit_msg>…<commit_after>…`. A share of the commits have their whole files; of the others there
    are the lines that were changed and some around them: as many before the change, and as many behind it, as chance
    has for each, the same in both files. Chance is made of a commit's id. Of what is no commit the text stays.

    Example:
        - render_commit: {whole: 0.2, lines: 32}

    Reference:
        Li et al. 2023, StarCoder, https://arxiv.org/abs/2305.06161, section 3.6
    """

    whole: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Share of the commits that are written with whole files."""
    lines: PositiveInt = 32
    """Lines around the change on either side are fewer than these, any number as likely as another."""
    reproduce: bool = False
    """Whether the lines begin with the first of the file, as StarCoder's code took all changes to."""
    keep_commit: bool = False
    """Whether the commit stays beside the text; else its column is null, since the text says it all."""
    seed: NonNegativeInt | None = None
    """What chance is made of beside a document's id; the recipe's seed unless given."""

    def map(
        self,
        id: Strings,
        content: Strings,
        commit: Commits,
        old_change_start: Integers,
        old_change_end: Integers,
        new_change_start: Integers,
        new_change_end: Integers,
    ) -> Rendered:
        whole = self._chances(id, "whole") < self.whole
        above, below = ((self._chances(id, side) * self.lines).astype(np.int64) for side in ("above", "below"))

        def window(text: pa.Array, start: pa.Array, end: pa.Array) -> pa.Array:
            first = np.zeros(len(text), np.int64) if self.reproduce else _integers(start) - above
            return pc.if_else(pa.array(whole), text, lines_of(text, first, _integers(end) + below))

        old = window(field(commit, "old_contents"), old_change_start, old_change_end)
        new = window(content, new_change_start, new_change_end)
        parts = (_BEFORE, old, _MESSAGE, subjects(commit), _AFTER, new)
        columns = [pa.scalar(part, TEXT) if isinstance(part, str) else part for part in parts]
        text = pc.binary_join_element_wise(*columns, pa.scalar("", TEXT))
        kept = commit if self.keep_commit else pa.nulls(len(content), COMMIT)
        return {"content": pc.if_else(commit.is_null(), content, text), "commit": kept}

    def _chances(self, id: pa.Array, what: str) -> Any:
        return chances(id, self.seed or 0, f"{self.name()} {what}")


def _integers(column: pa.Array) -> Any:
    return np.asarray(column.fill_null(0))
