"""Which commits are worth learning from, by the size of their file, the size of the change, and what they say of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, NonNegativeInt

from engine.digest import chances
from engine.op import Check, Filter, Reasons, absent, at_most, more_than, reasons
from engine.schema import TEXT, Integers, Strings
from ops.commit_changes import Commits, pc, subjects

Share = Annotated[float, Field(ge=0, le=1)]

AUTOMATIC = ("auto commit", "update contributing", "<?xml")
DULL = (
    *("readme", "update", "dummy", "updated", "debug", "test", "update readme", "update readme.md"),
    *("updated readme.md", "updated readme"),
)


class CommitSize(Filter):
    """Drops commits to large files, and those that leave nothing of their file.

    Example:
        - commit_size: {at_most: 100000}

    Reference:
        Li et al. 2023, StarCoder, https://arxiv.org/abs/2305.06161, section 3.6
    """

    at_most: NonNegativeInt = 99_999
    """Characters that the file may have before and after."""
    reproduce: bool = False
    """Whether only the file before is held to it, as in StarCoder."""

    def drop(
        self, old_characters: Integers, new_characters: Integers
    ) -> Reasons[Literal["old_file_too_large", "new_file_too_large", "empty_new_file"]]:
        return reasons(
            old_file_too_large=at_most(old_characters, self.at_most),
            new_file_too_large=at_most(new_characters, None if self.reproduce else self.at_most),
            empty_new_file=more_than(new_characters, 0),
        )


class CommitChange(Filter):
    """Drops most of the commits that change next to nothing, and of those that change a great deal.

    A change is as large as the lines from the first to the last that differ, in the file before or after, whichever has
    more. Chance is made of a commit's id, so that the choice depends on no other commit.

    Example:
        - commit_change: {small_share: 0.1}

    Reference:
        Li et al. 2023, StarCoder, https://arxiv.org/abs/2305.06161, section 3.6: a half of small changes is kept; its
        code kept a tenth
    """

    small: NonNegativeInt = 2
    """Lines that a small change has at most."""
    small_share: Share = 0.5
    """Share of small changes that is kept."""
    large: NonNegativeInt = 200
    """Lines that a large change has at least."""
    large_share: Share = 0.1
    """Share of large changes that is kept."""
    reproduce: bool = False
    """Whether a change is as large as StarCoder's code took it to be: from the first line of the file before."""
    seed: NonNegativeInt | None = None
    """What chance is made of beside a document's id; the recipe's seed unless given."""

    def drop(
        self,
        id: Strings,
        old_change_start: Integers,
        old_change_end: Integers,
        new_change_start: Integers,
        new_change_end: Integers,
    ) -> Reasons[Literal["small_change", "large_change"]]:
        before = pc.subtract(old_change_end, old_change_start)
        after = pc.subtract(new_change_end, new_change_start)
        lines = old_change_end if self.reproduce else pc.max_element_wise(before, after)
        chance = chances(id, self.seed or 0, self.name())
        return reasons(
            small_change=_sampled(pc.less_equal(lines, self.small), chance, self.small_share, lines),
            large_change=_sampled(pc.greater_equal(lines, self.large), chance, self.large_share, lines),
        )


class CommitSubject(Filter):
    """Drops commits whose subject, the message's first line, says nothing of the change.

    Chance is made of a commit's id, so that the choice depends on no other commit.

    Example:
        - commit_subject: {words: 5, short_share: 0.5}

    Reference:
        Li et al. 2023, StarCoder, https://arxiv.org/abs/2305.06161, section 3.6
    """

    contains: tuple[str, ...] = AUTOMATIC
    """What no subject may contain, in upper or lower case: signs of commits that nobody wrote."""
    equals: tuple[str, ...] = DULL
    """What no subject may be, in upper or lower case."""
    words: NonNegativeInt = 5
    """Words below which a subject is short."""
    short_share: Share = 0.5
    """Share of the commits with short subjects that is kept."""
    word_characters: Annotated[float, Field(gt=0)] = 20
    """Characters a word, spaces among them, above which a subject is taken for a hash."""
    seed: NonNegativeInt | None = None
    """What chance is made of beside a document's id; the recipe's seed unless given."""

    def drop(
        self, id: Strings, commit: Commits
    ) -> Reasons[
        Literal[
            "empty_subject",
            "automatic_subject",
            "dull_subject",
            "short_subject",
            "version_subject",
            "hash_like_subject",
            "odd_leading_space",
        ]
    ]:
        subject = subjects(commit)
        words = _words(subject)
        length = pc.divide(pc.utf8_length(subject).cast(pa.float64()), pc.max_element_wise(words, 1))
        marks = [pc.match_substring(subject, mark, ignore_case=True) for mark in self.contains]
        whole = pa.array([text.lower() for text in self.equals], TEXT)
        one_word = pc.and_(pc.starts_with(subject, " "), pc.equal(words, 1))
        chance = chances(id, self.seed or 0, self.name())
        return reasons(
            empty_subject=absent(pc.equal(words, 0)),
            automatic_subject=absent(_any(marks, len(subject))),
            dull_subject=absent(pc.is_in(pc.utf8_lower(subject), whole)),
            short_subject=_sampled(pc.less(words, self.words), chance, self.short_share, words),
            version_subject=absent(pc.match_substring_regex(subject, r"^v?\d+\.\d+\.\d+")),
            hash_like_subject=at_most(length, self.word_characters),
            odd_leading_space=absent(one_word),
        )


def _sampled(of: pa.Array, chance: Any, share: float, score: pa.Array) -> Check:
    """Fails in those rows that chance has not in the share that is kept of their kind."""
    return Check(pc.and_(pc.fill_null(of, False), pa.array(chance >= share)), score.cast(pa.float64()))


def _words(texts: pa.Array) -> pa.Array:
    """How many runs of characters without white space each text has."""
    trimmed = pc.utf8_trim_whitespace(texts)
    counts = pc.list_value_length(pc.utf8_split_whitespace(trimmed))
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(0, counts.type), counts)


def _any(flags: list[pa.Array], rows: int) -> pa.Array:
    found = pa.array(np.zeros(rows, bool))
    for flag in flags:
        found = pc.or_(found, pc.fill_null(flag, False))
    return found
