"""Documents as the ids that a model is trained on."""

from __future__ import annotations

import functools
from typing import Annotated, Any, ClassVar, TypedDict

import numpy as np
import pyarrow as pa

from engine import tokenizer
from engine.op import Map, Resources, fail
from engine.schema import Strings

IDS = pa.large_list(pa.uint16())
Tokens = Annotated[pa.Array, IDS]


class Tokenized(TypedDict):
    """The ids of the document's text, `<|endoftext|>` behind them."""

    tokens: Tokens


class Tokenize(Map):
    """Write the tokens of each document, with `<|endoftext|>` at the end.

    Ids are those of the library `tokenizers` for the same `tokenizer.json`, with text that spells a special token taken
    as text: only what steps put there as markup (`metadata`, `render_issue`, …) becomes a special token. No character
    is lost: decoding gives the document back. The shipped tokenizer was trained by `train_tokenizer` on permissive
    code in some forty languages; its card lies beside it.

    `pack` makes token shards of the column. A tokenizer has at most 65,536 entries here.

    Example:
        - tokenize

    Reference:
        Li et al. 2023, StarCoder, https://arxiv.org/abs/2305.06161, section 4.2
    """

    resources: ClassVar[Resources] = Resources(memory=1 << 30)

    tokenizer: str | None = None
    """Folder or URL of a tokenizer like StarCoder's (`tokenizer.json`); the shipped one unless given."""

    def besides(self) -> Any:
        """The digest of the tokenizer."""
        return tokenizer.digest(self.tokenizer)

    def map(self, content: Strings) -> Tokenized:
        encoder = _read(self.tokenizer)
        if encoder.type is not np.uint16:
            raise fail(self, f"{self.tokenizer} has {encoder.size:,} entries; 65,536 are the most")
        return {"tokens": encoder.encode(content, end=True)}


@functools.lru_cache(4)
def _read(folder: str | None) -> tokenizer.Tokenizer:
    return tokenizer.read(folder)
