"""Shares of letters and digits: what is left of a file's characters when data, tables and blobs are set aside."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from engine.op import Filter, Reasons, at_least, reasons
from engine.schema import Numbers, Strings
from ops.inspection import bounds

Share = Annotated[float, Field(ge=0, le=1)]
"""A share of a text's characters."""


class Alphanumeric(Filter):
    """Drops files of which too small a share is letters and digits.

    Letters and digits are those of `str.isalnum`, by a table that is the same for all Python versions; the share is of
    all characters, line ends too. An empty file has a share of 0.

    Example:
        - alphanumeric: {at_least: 0.25}

    Reference:
        Li et al. 2023, StarCoder, https://arxiv.org/abs/2305.06161, section 3.3
    """

    at_least: Share = 0.25
    """Share of characters that must be letters or digits."""
    exceptions: Literal["starcoder", "none"] = "starcoder"
    """Whether extensions that StarCoder's inspectors exempted are not judged."""

    def drop(
        self, alphanumeric_fraction: Numbers, language: Strings, extension: Strings
    ) -> Reasons[Literal["too_few_alphanumeric"]]:
        if self.exceptions == "none":
            return reasons(too_few_alphanumeric=at_least(alphanumeric_fraction, self.at_least))
        bound = bounds("alphanumeric", language, extension, self.at_least)
        return reasons(too_few_alphanumeric=at_least(alphanumeric_fraction, bound))


class Alphabetic(Filter):
    """Drops files of which too small a share is letters, for the extensions in which that means data.

    StarCoder's inspectors gave 16 extensions, among them `.ads`, `.bas` and `.aug`, a bound of 0.25, and JSON and YAML
    one of 0.5; elsewhere, as in assembly, few letters are no sign of data. Letters are those of `str.isalpha`.

    Example:
        - alphabetic

    Reference:
        Li et al. 2023, StarCoder, https://arxiv.org/abs/2305.06161, section 3.3
    """

    at_least: Share | None = None
    """Share of characters that must be letters where an extension has no bound of its own; null: not judged."""

    def drop(
        self, alphabetic_fraction: Numbers, language: Strings, extension: Strings
    ) -> Reasons[Literal["too_few_letters"]]:
        bound = bounds("alphabetic", language, extension, self.at_least)
        return reasons(too_few_letters=at_least(alphabetic_fraction, bound))
