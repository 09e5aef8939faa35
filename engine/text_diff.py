"""What differs between two texts: line by line, and within a line word by word, for pages and terminals.

Equal beginnings and ends are taken off first, so that the costly comparison sees only what lies between. Texts that
differ in too much are shown as one change: a comparison that takes minutes would tell a reader no more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import NamedTuple

from engine.shown import lines

AROUND = 3
"""Equal lines that are shown on either side of a change."""
LARGEST = 4_000_000
"""Lines before times lines after beyond which a stretch is shown as one change."""
WIDEST = 400
"""Characters of a line that are compared word by word, and shown."""
ALIKE = 0.35
"""Share of two lines that must be equal for their words to be compared."""

_WORD = re.compile(r"\w+|\s+|[^\w\s]")


class Piece(NamedTuple):
    """A stretch of a line; `marked` says that the other text does not have it."""

    text: str
    marked: bool


class Line(NamedTuple):
    """A line of one of the texts, with its number from one."""

    number: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Row:
    """A line before and the one after that stands for it; None where one text has none. `same` if they are equal."""

    before: Line | None
    after: Line | None
    same: bool = False


@dataclass(frozen=True)
class Fold:
    """Lines that are left out: equal ones between changes, or the rest of a long comparison."""

    lines: int
    equal: bool = True


def rows(before: str, after: str, around: int = AROUND, whole: bool = True) -> list[Row | Fold]:
    """The changed lines of two texts side by side, with `around` equal lines about them, the others folded.

    With `whole=False` the first text is only a beginning, and what the second has beyond it is left out.
    """
    old, new = lines(before), lines(after)
    changes = list(_changes(old, new) if whole else _changes_of_a_beginning(old, new))
    found: list[Row | Fold] = []
    for n, (tag, a, b, c, d) in enumerate(changes):
        if tag == "equal":
            head = around if n else 0
            tail = around if n < len(changes) - 1 else 0
            same = [Row(_line(a + k, old[a + k]), _line(c + k, new[c + k]), True) for k in range(b - a)]
            folded = len(same) - head - tail
            found += same if folded < 2 else [*same[:head], Fold(folded), *same[len(same) - tail :]]
        else:
            found += [_row(a, i, old, c, j, new) for i, j in zip_longest(range(b - a), range(d - c))]
    return found


def _row(a: int, i: int | None, old: list[str], c: int, j: int | None, new: list[str]) -> Row:
    if i is None or j is None:
        return Row(
            None if i is None else Line(a + i + 1, (Piece(_cut(old[a + i]), True),)),
            None if j is None else Line(c + j + 1, (Piece(_cut(new[c + j]), True),)),
        )
    left, right = _words(_cut(old[a + i]), _cut(new[c + j]))
    return Row(Line(a + i + 1, left), Line(c + j + 1, right))


def _line(at: int, text: str) -> Line:
    return Line(at + 1, (Piece(_cut(text), False),))


def _cut(line: str) -> str:
    return line if len(line) <= WIDEST else line[:WIDEST] + "…"


def _changes(old: list[str], new: list[str]) -> Iterator[tuple[str, int, int, int, int]]:
    """The stretches of two lists of lines as difflib tells them."""
    most = min(len(old), len(new))
    head = next((n for n in range(most) if old[n] != new[n]), most)
    tail = next((n for n in range(most - head) if old[-1 - n] != new[-1 - n]), most - head)
    if head:
        yield "equal", 0, head, 0, head
    a, b, c, d = head, len(old) - tail, head, len(new) - tail
    if (b - a) * (d - c) > LARGEST:
        yield "replace", a, b, c, d
    elif b > a or d > c:
        for tag, i, j, k, m in SequenceMatcher(None, old[a:b], new[c:d], autojunk=False).get_opcodes():
            yield tag, a + i, a + j, c + k, c + m
    if tail:
        yield "equal", b, len(old), d, len(new)


def _changes_of_a_beginning(old: list[str], new: list[str]) -> list[tuple[str, int, int, int, int]]:
    """The changes of a text that was cut off, most likely within a line."""
    old = old[:-1]
    changes = list(_changes(old, new[: len(old) + len(old) // 2 + AROUND]))
    if changes:
        tag, a, b, c, d = changes.pop()
        if tag == "equal" or b > a:
            changes.append((tag, a, b, c, min(d, c + b - a)))
    return changes


def _words(old: str, new: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Two lines in pieces, those marked that the other lacks; lines that are hardly alike are marked whole."""
    left, right = _WORD.findall(old), _WORD.findall(new)
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    if matcher.quick_ratio() < ALIKE or matcher.ratio() < ALIKE:
        return (Piece(old, True),), (Piece(new, True),)
    pieces: tuple[list[Piece], list[Piece]] = ([], [])
    for tag, a, b, c, d in matcher.get_opcodes():
        for side, text in zip(pieces, ("".join(left[a:b]), "".join(right[c:d])), strict=True):
            if text:
                side.append(Piece(text, tag != "equal"))
    return tuple(pieces[0]), tuple(pieces[1])
