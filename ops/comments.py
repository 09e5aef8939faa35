"""The share of a text that is comments, and a filter by it."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import NonNegativeFloat, PositiveFloat, field_validator

from engine.columns import padded_parts, text_buffers
from engine.errors import did_you_mean
from engine.op import Filter, Measure, Reasons, less_than, more_than, reasons
from engine.schema import TEXT, Numbers, Strings
from ops.comment_scan import comment_fractions
from ops.comment_syntax import LANGUAGES, tables

MEASURED = ("python", *LANGUAGES)
"""The languages whose comments are known, by The Stack's folder names."""


class CommentMeasures(TypedDict):
    comment_fraction: Numbers


class Comments(Measure):
    """Measures the characters of comments as a fraction of all characters of a text.

    Of Python: what follows the `#` of each comment, without further `#`; and what stands between the quotes of each
    docstring of a module, class or function, as it is written. Of other languages: comments with their marks, by the
    table in `ops/comment_syntax.py`. Null for an empty text and a language that the table lacks. A text is not parsed:
    one that Python refuses is measured too.
    """

    def map(self, content: Strings, language: Strings) -> CommentMeasures:
        codes = pc.index_in(language, value_set=pa.array(MEASURED, TEXT)).fill_null(-1)
        data, offsets = text_buffers(content)
        out = np.empty(len(content))
        t = tables()
        for rows, part, ends in padded_parts(data, offsets):
            some = np.asarray(codes)[rows]
            comment_fractions(part, ends, some, t.begins, t.marks, t.widths, t.traits, t.escapes, t.first, out[rows])
        return {"comment_fraction": pa.array(out, mask=np.isnan(out))}


class CommentRatio(Filter):
    """Drops files of a few languages that are nearly without comments, or nearly nothing but comments.

    Both bounds are strict. StarCoder did not use it; SantaCoder did, for the three languages that are its default. The
    bounds are SantaCoder's.

    Example:
        - comment_ratio: {more_than: 0.01, less_than: 0.8, languages: [python, java, javascript, go]}

    Reference:
        Ben Allal et al. 2023, SantaCoder, https://arxiv.org/abs/2301.03988
    """

    more_than: NonNegativeFloat = 0.01
    """The fraction of a text's characters that its comments must exceed."""
    less_than: PositiveFloat = 0.8
    """The fraction that they must stay below."""
    languages: tuple[str, ...] = ("python", "java", "javascript")
    """The languages that are judged; files of all others are kept."""

    @field_validator("languages")
    @classmethod
    def _measured(cls, languages: tuple[str, ...]) -> tuple[str, ...]:
        for name in languages:
            if name not in MEASURED:
                raise ValueError(f"how `{name}` writes comments is not known{did_you_mean(name, MEASURED)}")
        return languages

    def drop(
        self, language: Strings, comment_fraction: Numbers
    ) -> Reasons[Literal["too_few_comments", "too_many_comments"]]:
        judged = pc.is_in(language, value_set=pa.array(self.languages, TEXT))
        fraction: Any = pc.if_else(judged, comment_fraction, pa.scalar(None, pa.float64()))
        return reasons(
            too_few_comments=more_than(fraction, self.more_than),
            too_many_comments=less_than(fraction, self.less_than),
        )
