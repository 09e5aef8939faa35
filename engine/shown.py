"""Text of documents made fit for a page or a terminal: it is not ours, and may hold anything.

Characters that would steer a terminal, turn the direction of a line or end a file are shown as signs; special tokens
that `content` carries as single characters are spelled out. What is too long is cut, and says how much is missing.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.schema import spell_out

_CONTROL = {code: chr(0x2400 + code) for code in range(32) if code not in (9, 10)} | {0x7F: "\N{SYMBOL FOR DELETE}"}
_HIDDEN = {
    code: f"<U+{code:04X}>"
    for code in (*range(0x80, 0xA0), *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF)
}
_LINES = {0x2028: "<U+2028>", 0x2029: "<U+2029>", 0xFFFE: "<U+FFFE>", 0xFFFF: "<U+FFFF>", 0x061C: "<U+061C>"}
_SIGNS = _CONTROL | _HIDDEN | _LINES
TAB = 4
"""Columns between tab stops in what is shown."""


class Excerpt(NamedTuple):
    """Some lines of a text, and how many there are before and after them."""

    before: int
    lines: list[str]
    after: int


def visible(text: str) -> str:
    """The text with special tokens spelled out and every character that is not to be seen shown as a sign."""
    return spell_out(text.replace("\r\n", "\n")).translate(_SIGNS)


def lines(text: str) -> list[str]:
    """The lines of a text as they are shown, without their ends."""
    shown = visible(text).expandtabs(TAB).split("\n")
    return shown[:-1] if shown and not shown[-1] else shown


def cut(line: str, width: int) -> str:
    """The line, or its beginning and how many characters more it has."""
    return line if len(line) <= width else f"{line[:width].rstrip()} … {len(line) - width:,} more characters"


def excerpt(text: str, most: int = 12, width: int = 160) -> Excerpt:
    """The first lines of a text, each cut to `width` characters; where one is much longer, the lines about that."""
    found = lines(text)
    longest = max(range(len(found)), key=lambda n: len(found[n]), default=0)
    begin = max(0, longest - 2) if found and len(found[longest]) > 2 * width else 0
    begin = max(0, min(begin, len(found) - most))
    shown = [cut(line, width) for line in found[begin : begin + most]]
    return Excerpt(begin, shown, len(found) - begin - len(shown))


def one_line(text: str | None) -> str:
    """A path or name, on one line."""
    return (
        visible(text or "")
        .replace("\n", "\N{SYMBOL FOR LINE FEED}")
        .replace("\t", "\N{SYMBOL FOR HORIZONTAL TABULATION}")
    )
