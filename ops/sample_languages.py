"""Fewer documents of some languages, by chance."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, NonNegativeInt, field_validator

from engine.digest import chances
from engine.errors import did_you_mean
from engine.op import Check, Filter, Reasons, reasons
from engine.schema import TEXT, Strings
from ops.commit_changes import pc
from ops.language import folders

DATA_FORMATS = {"json": 0.5, "yaml": 0.5, "xml": 0.5, "html": 0.5}


class SampleLanguages(Filter):
    """Keep a share of the documents of some languages, chosen by chance, and all of the others.

    By default it is a half of the formats that hold data rather than code, as in StarCoder's commits. A document's
    chance is made of its id, so that the choice depends on no other document.

    Example:
        - sample_languages: {keep: {json: 0.5, yaml: 0.5, xml: 0.5, html: 0.5}}

    Reference:
        Li et al. 2023, StarCoder, https://arxiv.org/abs/2305.06161, section 3.6
    """

    keep: dict[str, Annotated[float, Field(ge=0, le=1)]] = DATA_FORMATS
    """For each of these languages, by the names of The Stack's folders, the share that stays."""
    seed: NonNegativeInt | None = None
    """What chance is made of beside a document's id; the recipe's seed unless given."""

    @field_validator("keep")
    @classmethod
    def _known(cls, keep: dict[str, float]) -> dict[str, float]:
        for name in keep:
            if name not in folders():
                raise ValueError(f"there is no language `{name}`{did_you_mean(name, sorted(folders()))}")
        return keep

    def drop(self, id: Strings, language: Strings) -> Reasons[Literal["language_sampled"]]:
        place = pc.index_in(language, pa.array(list(self.keep), TEXT)).fill_null(len(self.keep))
        share = np.array([*self.keep.values(), 1.0])[np.asarray(place)]
        chance = chances(id, self.seed or 0, self.name())
        return reasons(language_sampled=Check(pa.array(chance >= share), pa.array(chance)))
