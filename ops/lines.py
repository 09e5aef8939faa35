"""Line length: the cheapest sign that a file was not written by hand."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from engine.op import Filter, Reasons, at_most, reasons
from engine.schema import Integers, Numbers, Strings
from ops.inspection import bounds


class LineLength(Filter):
    """Drops files whose lines are too long for code written by hand.

    Lengths are in characters, lines those of `str.splitlines`, and the mean is over all of them, empty ones too.
    StarCoder did not judge the lines of some extensions, such as `.asm`, `.tex` and `.json`, and held `.fsh` to another
    longest line; with `exceptions: starcoder` these have their own bounds whatever `longest` and `mean` say.

    Example:
        - line_length: {longest: 1000, mean: 100}

    Reference:
        Li et al. 2023, StarCoder, https://arxiv.org/abs/2305.06161, section 3.3
    """

    longest: PositiveInt = 1000
    """Characters that the longest line may have."""
    mean: PositiveFloat = 100
    """Characters that lines may have on average."""
    exceptions: Literal["starcoder", "none"] = "starcoder"
    """Whether extensions have bounds of their own, or none, as StarCoder's inspectors decided."""

    def drop(
        self, longest_line: Integers, mean_line: Numbers, language: Strings, extension: Strings
    ) -> Reasons[Literal["longest_line", "mean_line"]]:
        if self.exceptions == "none":
            return reasons(longest_line=at_most(longest_line, self.longest), mean_line=at_most(mean_line, self.mean))
        return reasons(
            longest_line=at_most(longest_line, bounds("longest_line", language, extension, self.longest)),
            mean_line=at_most(mean_line, bounds("mean_line", language, extension, self.mean)),
        )
