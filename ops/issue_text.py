"""The text of events: automated e-mail taken out, long texts cut."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypedDict

import pyarrow as pa
from pydantic import NonNegativeInt

from engine.op import Map
from engine.schema import TEXT
from ops.issue_events import Events, closed, field, opened, pc, with_fields

NOTIFICATIONS = "notifications@github.com"
REPLY = "Reply to this email directly"
VIEW = "view it on GitHub"
FROM_HEADER = ("From:", REPLY, VIEW)
ON_HEADER = ("On", NOTIFICATIONS, "wrote:", REPLY, VIEW)
SIGN_OFF = "Signed-off-by: "

_DATED = r"[0-9]+/[0-9]+/[0-9]+ [0-9]{1,2}:[0-9]{2} [AP]M.*wrote"
_SUSPECT = f"(?m){NOTIFICATIONS}|{REPLY}|{SIGN_OFF}|^>|_{{20}}|{_DATED}"
_SIGNED_LINE = re.compile(r"^[ \t]*Signed-off-by: [^\n<>]*<[^\n<>]*>[ \t]*(?:\n|\Z)", re.MULTILINE)
_UNDERSCORES = re.compile("_{20,}")
_LINE_ENDS = "\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]"


class Rewritten(TypedDict):
    """Conversations with other texts."""

    events: Events


class EmailTrailers(Map):
    """Takes out of comments what an e-mail program put there when they were sent by mail, and sign-offs.

    In this order, the first that is found: a quoted mail from the last `From:`, or from the last `On … wrote:` with
    GitHub's notification address, to the line that says `view it on GitHub`; lines `Signed-off-by: name <address>`;
    the lines from a notification's address or a date `1/2/2020 3:45 PM … wrote` to the last that is quoted or says
    `Reply to this email directly`. Then runs of 20 underscores and more, and white space around the text.

    Example:
        - email_trailers

    Reference:
        Li et al. 2023, StarCoder, https://arxiv.org/abs/2305.06161, section 3.5
    """

    reproduce: bool = False
    """Cut as StarCoder did: all behind a quoted mail, all from a sign-off to the last `>`, all before a quotation."""

    def map(self, events: Events) -> Rewritten:
        strip = trailers_as_starcoder if self.reproduce else trailers
        all_events, edges = opened(events)
        texts = pc.utf8_trim_whitespace(_rewritten(field(all_events, "text"), _SUSPECT, strip))
        return {"events": closed(with_fields(all_events, text=texts), edges)}


class TruncateComments(Map):
    """Cuts the middle out of long comments, logs for the most part, and says so in a line `[Truncated]`.

    The paper speaks of 100 lines of which the last 20 are kept; its code has the numbers that stand here by default.

    Example:
        - truncate_comments: {at_most: 80, first: 60, last: 20}

    Reference:
        Li et al. 2023, StarCoder, https://arxiv.org/abs/2305.06161, section 3.5
    """

    at_most: NonNegativeInt = 80
    """Lines that a comment may have as it is."""
    first: NonNegativeInt = 60
    """Lines that are kept of the beginning of a longer one."""
    last: NonNegativeInt = 20
    """Lines that are kept of its end."""

    def map(self, events: Events) -> Rewritten:
        all_events, edges = opened(events)
        texts = field(all_events, "text")
        long = pc.greater_equal(pc.count_substring_regex(texts, _LINE_ENDS), self.at_most)
        return {"events": closed(with_fields(all_events, text=_where(texts, long, self._cut)), edges)}

    def _cut(self, text: str) -> str:
        lines = text.splitlines()
        if len(lines) <= max(self.at_most, self.first + self.last):
            return text
        end = lines[len(lines) - self.last :]
        return "\n".join([*lines[: self.first], "[Truncated]", *end])


# --- texts ------------------------------------------------------------------------------------------------------


def _rewritten(texts: pa.Array, pattern: str, rewrite: Callable[[str], str]) -> pa.Array:
    """The texts, with those that a pattern is found in rewritten: few are, so that a call for each costs little."""
    return _where(texts, pc.match_substring_regex(texts, pattern), rewrite)


def _where(texts: Any, chosen: Any, rewrite: Callable[[str], str]) -> pa.Array:
    if not pc.any(chosen).as_py():
        return texts
    return pc.replace_with_mask(texts, chosen, pa.array([rewrite(t) for t in texts.filter(chosen).to_pylist()], TEXT))


def _header(text: str, marks: tuple[str, ...]) -> tuple[int, int]:
    """Where the last of the first marks stands that has the others behind it in order, and where the last one ends."""
    at = end = len(text)
    for n, mark in enumerate(reversed(marks)):
        at = text.rfind(mark, 0, at)
        if at < 0:
            return -1, -1
        end = at + len(mark) if n == 0 else end
    return at, end


def trailers(text: str) -> str:
    """A comment without what came by e-mail; only from what is recognised to where it is recognised to end."""
    text = text.strip()
    for marks in (FROM_HEADER, ON_HEADER):
        at, end = _header(text, marks)
        if at >= 0:
            line_end = text.find("\n", end)
            text = text[:at] + (text[line_end + 1 :] if line_end >= 0 else "")
            break
    else:
        unsigned = _SIGNED_LINE.sub("", text)
        if unsigned != text:
            text = unsigned
        else:
            lines = text.splitlines()
            start, end = _quoted(lines)
            if 0 <= start <= end:
                text = "\n".join([*lines[:start], *lines[end + 1 :]])
    return _UNDERSCORES.sub("", text).strip()


def trailers_as_starcoder(text: str) -> str:
    """A comment as StarCoder's code left it."""
    text = text.strip()
    for marks in (FROM_HEADER, ON_HEADER):
        at, _ = _header(text, marks)
        if at >= 0:
            text = text[:at]
            break
    else:
        greater = text.rfind(">")
        signed = text.rfind(SIGN_OFF, 0, max(text.rfind(" <", 0, max(greater, 0)), 0))
        if signed >= 0:
            text = text[:signed] + text[greater + 1 :]
        else:
            lines = text.splitlines()
            start, end = _quoted(lines)
            text = "\n".join([*lines[: max(start, 0)], *lines[end + 1 :]]) if start >= 0 or end >= 0 else text
    return _UNDERSCORES.sub("", text).strip()


def _quoted(lines: list[str]) -> tuple[int, int]:
    """The last line that a notification begins with, and the last that belongs to one; -1 where there is none."""
    start = end = -1
    for n, line in enumerate(lines):
        if NOTIFICATIONS in line or re.search(_DATED, line):
            start = n
        if REPLY in line:
            end = n + line.endswith(":")
        elif line.startswith(">"):
            end = n
    return start, end
