"""One of two ops of one name."""

from typing import Literal

from engine.op import Filter


class Twin(Filter):
    def drop(self, content: str) -> Literal["b"] | None:
        return None
