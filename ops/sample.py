"""A smaller corpus by chance."""

from __future__ import annotations

from typing import Annotated, Literal

import pyarrow as pa
from pydantic import Field, NonNegativeInt

from engine.digest import chances
from engine.op import Filter, Reasons, less_than, reasons
from engine.schema import Strings


class Sample(Filter):
    """Keep a share of the documents, chosen by chance.

    A document's chance is made of its id, so that the choice depends on no other document, and a smaller share is part
    of a larger one. How many are kept is near the share, not exactly it.

    Example:
        - sample: {keep: 0.1}
    """

    keep: Annotated[float, Field(ge=0, le=1)]
    """Share of the documents that stay."""
    seed: NonNegativeInt | None = None
    """What chance is made of beside a document's id; the recipe's seed unless given."""

    def drop(self, id: Strings) -> Reasons[Literal["not_sampled"]]:
        return reasons(not_sampled=less_than(pa.array(chances(id, self.seed or 0, "sample")), self.keep))
