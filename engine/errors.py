"""What a user can get wrong, told so that it can be mended: where, what, and the nearest right name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from unicodedata import combining, east_asian_width


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


class CatalogueError(Refused, LookupError):
    """An op's name that does not lead to one op: unknown, in a module that does not import, or taken twice.

    `unknown` says which of these it is, and `near` is the nearest name that does lead to an op.
    """

    def __init__(self, message: str, unknown: bool = False, near: str | None = None) -> None:
        self.unknown, self.near = unknown, near
        super().__init__(message)


SHOWN = 120
"""Characters of a line that are shown; of a longer one, those around the mistake."""


@dataclass(frozen=True)
class Mistake:
    """One mistake at its place; `line` and `column` count from one, `length` is that of the caret line.

    Line 0 means that there are no lines to count: the mistake is the whole file's or stands in a `--set`.
    """

    file: str
    line: int
    column: int
    message: str
    source: str = ""
    length: int = 1
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        lines = [f"{where}: {self.message}"]
        gutter = f"{self.line or '':>4} | "
        if self.source:
            shown, start = self._window()
            caret = _columns(shown[:start]) * " " + "^" * max(1, _columns(shown[start : start + self.length]))
            lines += [gutter + shown, " " * len(gutter) + caret]
        if self.hint:
            lines.append(" " * (len(gutter) - 2) + f"= {self.hint}")
        return "\n".join(lines)

    def _window(self) -> tuple[str, int]:
        """What is shown of the line, and where in it the mistake begins."""
        shown = "".join(c if c.isprintable() else " " for c in self.source)
        start = min(self.column - 1, len(shown))
        cut = max(0, min(start - SHOWN // 3, len(shown) - SHOWN))
        if cut:
            shown, start = "…" + shown[cut + 1 :], start - cut
        return (shown if len(shown) <= SHOWN else shown[: SHOWN - 1] + "…"), start


def _columns(text: str) -> int:
    """Columns that a text takes on a terminal."""
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


class RecipeError(Refused):
    """All the mistakes of one recipe, in the order of their lines, those of `--set` before: exit code 2."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = sorted(mistakes, key=lambda m: (m.line, m.column if m.line else 0))
        super().__init__("\n\n".join(str(m) for m in self.mistakes))

    def __reduce__(self) -> Any:
        return RecipeError, (self.mistakes,)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is closest to `name`, or None when none is close enough to be meant."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return close[0] if close else None


def did_you_mean(name: str, known: Iterable[str], quote: str = "`") -> str:
    """`; did you mean X?` for the nearest known name, or an empty string."""
    close = nearest(name, known)
    return f"; did you mean {quote}{close}{quote}?" if close else ""
