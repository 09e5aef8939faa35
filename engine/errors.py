"""What a user can get wrong, told so that it can be mended: where, what, and the nearest right name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


class EngineError(Exception):
    """A failure that is the user's to mend; its text is the whole message, shown without a traceback."""

    exit_code = 1


class RunError(EngineError):
    """A run that cannot go on or ended badly: exit code 1."""


class OpError(EngineError):
    """Parameters or input that an op cannot work with, found while it runs: exit code 1."""


class Refused(EngineError):
    """A request refused before anything ran: exit code 2."""

    exit_code = 2


@dataclass(frozen=True)
class Mistake:
    """One mistake at its place; `line` and `column` count from one, `length` is that of the caret line."""

    file: str
    line: int
    column: int
    message: str
    source: str = ""
    length: int = 1
    hint: str = ""

    def __str__(self) -> str:
        head = f"{self.file}:{self.line}:{self.column}: {self.message}"
        number = f"{self.line:>4} | "
        lines = [head]
        if self.source:
            shown = self.source.replace("\t", " ")
            caret = " " * (self.column - 1) + "^" * max(1, min(self.length, len(shown) - self.column + 1))
            lines += [number + shown, " " * len(number) + caret]
        if self.hint:
            lines.append(" " * (len(number) - 2) + f"= {self.hint}")
        return "\n".join(lines)


class RecipeError(Refused):
    """All the mistakes of one recipe, in the order of their lines: exit code 2."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = sorted(mistakes, key=lambda m: (m.file, m.line, m.column))
        super().__init__("\n\n".join(str(m) for m in self.mistakes))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is closest to `name`, or None when none is close enough to be meant."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return close[0] if close else None


def did_you_mean(name: str, known: Iterable[str], quote: str = "`") -> str:
    """`; did you mean X?` for the nearest known name, or an empty string."""
    close = nearest(name, known)
    return f"; did you mean {quote}{close}{quote}?" if close else ""
