"""Sizes of data files: in JSON and YAML, settings written by hand are small and dumps of data are large."""

from __future__ import annotations

from typing import Annotated, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, NonNegativeInt, model_validator

from engine.op import Filter, Reasons, at_least, at_most, reasons
from engine.schema import TEXT, Integers, Strings


class Size(Filter):
    """Drops files of data languages that are too small to say anything or too large to be written by hand.

    Sizes are in characters, and both bounds are sizes that are kept.

    Example:
        - size: {languages: [json, yaml], at_least: 50, at_most: 5000}

    Reference:
        Li et al. 2023, StarCoder, https://arxiv.org/abs/2305.06161, section 3.3
    """

    languages: Annotated[tuple[str, ...], Field(min_length=1)] = ("json", "yaml")
    """Languages that are judged."""
    at_least: NonNegativeInt = 50
    """Characters that a file must have."""
    at_most: NonNegativeInt = 5000
    """Characters that a file may have."""

    @model_validator(mode="after")
    def _ordered(self) -> Size:
        if self.at_least > self.at_most:
            raise ValueError(f"no size is at least {self.at_least} and at most {self.at_most}")
        return self

    def drop(
        self, characters: Integers, language: Strings
    ) -> Reasons[Literal["too_few_characters", "too_many_characters"]]:
        judged = pc.is_in(language.cast(TEXT), value_set=pa.array(self.languages, TEXT))
        size = pc.if_else(judged, characters, pa.scalar(None, characters.type))
        return reasons(
            too_few_characters=at_least(size, self.at_least), too_many_characters=at_most(size, self.at_most)
        )
