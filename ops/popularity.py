"""How much people like a repository, as a sign of its files' worth."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeInt

from engine.op import Filter, Reasons, more_than, reasons
from engine.schema import Integers


class Stars(Filter):
    """Drops files of repositories that have few stars.

    A repository whose stars are not known has none. SantaCoder tried it and found that it makes the model worse, since
    it takes away too much of the text; StarCoder left it out.

    Example:
        - stars: {more_than: 5}

    Reference:
        Ben Allal et al. 2023, SantaCoder, https://arxiv.org/abs/2301.03988
    """

    more_than: NonNegativeInt = 5
    """Stars that a repository must exceed."""

    def drop(self, star_events_count: Integers) -> Reasons[Literal["too_few_stars"]]:
        return reasons(too_few_stars=more_than(star_events_count.fill_null(0), self.more_than))
