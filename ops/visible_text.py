"""How much text of an HTML file a reader sees: what BeautifulSoup's `get_text` has, by a kernel over the bytes.

BeautifulSoup on `html.parser` reads less than 1 MB of HTML a second. Its text depends on no more than where constructs
end (`ops/html_grammar.py`) and which elements are open, since some hide their text: a stack of hashed names does, and
no tree is built.
"""

from __future__ import annotations

import html.entities
from collections.abc import Iterable
from typing import Any, TypedDict

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.columns import Bytes, Offsets, text_buffers
from engine.op import Measure
from engine.schema import TEXT, Integers, Strings
from ops.html_grammar import (
    BLANK,
    CLASS,
    EMPTY,
    INCOMPLETE,
    MARKUP,
    MAYBE_SPACE,
    NO_TAG,
    REFUSED,
    SPACE,
    comment_end,
    declaration_end,
    end_tag,
    find,
    is_letter,
    key_of,
    marked_section,
    name_key,
    named_reference,
    numeric_reference,
    raw_text_end,
    space_at,
    start_tag,
)

State = np.ndarray[Any, np.dtype[np.int64]]

_VOID, _RAW, _HIDDEN, _PRE = 1, 2, 4, 8
_ELEMENTS = {
    _VOID: "area base basefont bgsound br col command embed frame hr image img input isindex keygen link menuitem meta "
    "nextid param source spacer track wbr",
    _RAW: "script style",
    _HIDDEN: "rp rt template",
    _PRE: "pre textarea",
}
"""Elements without an end tag; whose text is no markup and not shown; whose text is not shown; whose blanks count."""
_ONE_SPACE, _ONE_BLANK = 1 | SPACE << 2, 1 | (SPACE | BLANK) << 2
"""What a character reference stands for: how many characters, and two bits up what they are."""
_PASSES = 1024
"""Passes over a file's rest in search of what ends a construct, before the file is given up."""

_INK, _WORDS, _IN_WORD, _KEPT, _NODE, _NODE_BLANK, _HIDERS, _PRES, _DEPTH = range(9)
"""The state: characters other than white space, words, whether the last character is in one, characters with white
space as it is; those of the text node under way, and whether all are blank; open elements that hide, that are `pre`,
and all of them. Behind these three parts:"""
_ENDED = 16
"""For each element of the table, how many end tags of it are to be passed over, since its start was its end."""
_OPEN = 64
"""How many elements are open, by ten bits of their names' keys."""
_STACK = _OPEN + 1024
"""The keys of the names of the open elements."""


def _table(meanings: Iterable[tuple[str, int]]) -> tuple[State, State]:
    table = dict(sorted((key_of(name), meaning) for name, meaning in meanings))
    return np.array(list(table), np.int64), np.array(list(table.values()), np.int64)


_TAGS, _KINDS = _table((name, kind) for kind, names in _ELEMENTS.items() for name in names.split())
_ENTITIES, _MEANINGS = _table(
    (name.removesuffix(";"), len(text) | (SPACE * text.isspace() | BLANK * (text in ("\t", "\n"))) << 2)
    for name, text in html.entities.html5.items()
)


@numba.njit(nogil=True, cache=True)
def _lookup(keys: State, key: Any) -> int:
    place: Any = np.searchsorted(keys, key)
    return place if place < len(keys) and keys[place] == key else -1


# --- text -------------------------------------------------------------------------------------------------------


@numba.njit(nogil=True, cache=True)
def _text(data: Bytes, at: int, hi: int, markup: bool, state: State) -> int:
    # Counts text up to `hi` or, where there may be markup, up to it; answers where it ended.
    ink, words, inside, characters, blank = 0, 0, state[_IN_WORD], 0, state[_NODE_BLANK]
    while at < hi:
        byte = data[at]
        kind = CLASS[byte]
        if markup and kind & MARKUP:
            break
        width = 1
        if kind & MAYBE_SPACE:
            width = space_at(data, at, hi)
            kind, width = (SPACE, width) if width else (0, 1)
        shown = 1 - (kind & SPACE)
        begins = byte & 0xC0 != 0x80
        characters += begins
        ink += shown & begins
        words += shown & ~inside
        inside = shown
        blank &= kind & BLANK != 0
        at += width
    if not state[_HIDERS]:
        state[_INK] += ink
        state[_WORDS] += words
        state[_IN_WORD] = inside
        state[_NODE] += characters
        state[_NODE_BLANK] = blank
    return at


@numba.njit(nogil=True, cache=True)
def _resolved(meaning: int, state: State) -> None:
    # Counts what a character reference stands for.
    if state[_HIDERS]:
        return
    characters, kind = meaning & 3, meaning >> 2
    state[_NODE] += characters
    state[_NODE_BLANK] &= kind & BLANK != 0
    if kind & SPACE:
        state[_IN_WORD] = 0
    else:
        state[_INK] += characters
        state[_WORDS] += 1 - state[_IN_WORD]
        state[_IN_WORD] = 1


@numba.njit(nogil=True, cache=True)
def _end_node(state: State) -> None:
    # A text node of blanks alone becomes one blank, but for those in `pre`.
    if state[_NODE]:
        state[_KEPT] += 1 if state[_NODE_BLANK] and not state[_PRES] else state[_NODE]
    state[_NODE] = 0
    state[_NODE_BLANK] = 1


@numba.njit(nogil=True, cache=True)
def _meaning(number: int) -> int:
    if number == 0x20 or (0x09 <= number <= 0x0D and number != 0x0B):
        return _ONE_BLANK
    # Not U+0085: references to C1 controls mean the characters of Windows-1252.
    space = number == 0x0B or 0x1C <= number <= 0x1F or number == 0xA0 or number == 0x1680 or 0x2000 <= number <= 0x200A
    return _ONE_SPACE if space or number in (0x2028, 0x2029, 0x202F, 0x205F, 0x3000) else 1


@numba.njit(nogil=True, cache=True)
def _reference(data: Bytes, at: int, hi: int, state: State) -> int:
    if at + 1 == hi:
        return INCOMPLETE
    if data[at + 1] == 0x23:
        after, number = numeric_reference(data, at, hi)
        if after != INCOMPLETE:
            _resolved(_meaning(number), state)
        return after
    if not is_letter(data[at + 1]):
        return _text(data, at, at + 1, False, state)
    after, end = named_reference(data, at, hi)
    if after != INCOMPLETE:
        known = _lookup(_ENTITIES, name_key(data, at + 1, end, False))
        if known < 0:
            # Its semicolon is lost.
            _text(data, at, end, False, state)
        else:
            _resolved(_MEANINGS[known], state)
    return after


# --- markup -----------------------------------------------------------------------------------------------------


@numba.njit(nogil=True, cache=True)
def _start(data: Bytes, at: int, hi: int, state: State) -> int:
    after, name_end, form = start_tag(data, at, hi)
    if after == INCOMPLETE:
        return INCOMPLETE
    if form == NO_TAG:
        return _text(data, at, after, False, state)
    _end_node(state)
    if form == EMPTY:
        return after
    key = name_key(data, at + 1, name_end, True)
    known = _lookup(_TAGS, key)
    kind = _KINDS[known] if known >= 0 else 0
    if kind == _VOID:
        state[_ENDED + known] += 1
        return after
    if kind == _RAW:
        after = raw_text_end(data, after, hi, key)
        return hi if after == INCOMPLETE else after
    state[_STACK + state[_DEPTH]] = key
    state[_OPEN + (key & 1023)] += 1
    state[_DEPTH] += 1
    state[_HIDERS] += kind == _HIDDEN
    state[_PRES] += kind == _PRE
    return after


@numba.njit(nogil=True, cache=True)
def _close(key: int, state: State) -> None:
    # Closes the innermost open element of this name and all within it, if there is one.
    depth = state[_DEPTH] - 1 if state[_OPEN + (key & 1023)] else -1
    while depth >= 0 and state[_STACK + depth] != key:
        depth -= 1
    while depth >= 0 and state[_DEPTH] > depth:
        state[_DEPTH] -= 1
        closed = state[_STACK + state[_DEPTH]]
        state[_OPEN + (closed & 1023)] -= 1
        known = _lookup(_TAGS, closed)
        if known >= 0:
            state[_HIDERS] -= _KINDS[known] == _HIDDEN
            state[_PRES] -= _KINDS[known] == _PRE


@numba.njit(nogil=True, cache=True)
def _end(data: Bytes, at: int, hi: int, state: State) -> int:
    after, name, name_end = end_tag(data, at, hi)
    if after == INCOMPLETE or after == at + 3:
        return after
    if name == name_end:
        _end_node(state)
        return after
    key = name_key(data, name, name_end, True)
    known = _lookup(_TAGS, key)
    if known >= 0 and state[_ENDED + known]:
        state[_ENDED + known] -= 1
        return after
    _end_node(state)
    _close(key, state)
    return after


@numba.njit(nogil=True, cache=True)
def _section(data: Bytes, at: int, hi: int, state: State) -> int:
    after, text, text_end = marked_section(data, at, hi)
    if after < 0:
        return after
    _end_node(state)
    if text > at:
        # A CDATA section is shown wherever it stands; an empty one counts as a blank.
        hiders, state[_HIDERS] = state[_HIDERS], 0
        if text == text_end and not state[_PRES]:
            _resolved(_ONE_BLANK, state)
        _text(data, text, text_end, False, state)
        _end_node(state)
        state[_HIDERS] = hiders
    return after


@numba.njit(nogil=True, cache=True)
def _markup(data: Bytes, at: int, hi: int, state: State) -> int:
    if at + 1 == hi:
        return INCOMPLETE
    byte = data[at + 1]
    if is_letter(byte):
        return _start(data, at, hi, state)
    if byte == 0x2F:
        return _end(data, at, hi, state)
    if byte != 0x21 and byte != 0x3F:
        return _text(data, at, at + 1, False, state)
    if byte == 0x21 and at + 2 < hi and data[at + 2] == 0x5B:
        return _section(data, at, hi, state)
    if byte == 0x21 and at + 3 < hi and data[at + 2] == 0x2D and data[at + 3] == 0x2D:
        after = comment_end(data, at + 4, hi)
    else:
        after = declaration_end(data, at, hi)
    if after != INCOMPLETE:
        _end_node(state)
    return after


# --- files ------------------------------------------------------------------------------------------------------


@numba.njit(nogil=True, cache=True)
def _read(data: Bytes, lo: int, hi: int, state: State) -> bool:
    # Whether the file could be read. html.parser stops at a construct without end, starts again there once told that
    # no more comes, and then takes tags without end as text; at a broken reference it stops for good.
    at, told, passes = lo, False, _PASSES * (hi - lo)
    while at < hi and passes >= 0:
        at = _text(data, at, hi, True, state)
        if at == hi:
            break
        opening = data[at] == 0x3C
        after = _markup(data, at, hi, state) if opening else _reference(data, at, hi, state)
        if after == REFUSED:
            return False
        if after != INCOMPLETE:
            at = after
        elif not told:
            told = True
            if not opening and at + 1 < hi and data[at + 1] == 0x23 and find(data, at, hi, 0x3B) != INCOMPLETE:
                at = _text(data, at, at + 2, False, state)
        elif opening:
            passes -= hi - at
            close = find(data, at + 1, hi, 0x3E)
            if close == INCOMPLETE:
                close = find(data, at + 1, hi, 0x3C) - 1
            at = _text(data, at, close + 1 if close >= 0 else at + 1, False, state)
        else:
            if at + 2 == hi and is_letter(data[at + 1]):
                at += 1
            at = _text(data, at, hi, False, state)
    _end_node(state)
    return passes >= 0


@numba.njit(nogil=True, cache=True)
def _collapsed(state: State) -> int:
    return state[_INK] + max(state[_WORDS] - 1, 0)


@numba.njit(nogil=True, cache=True)
def _measure(data: Bytes, offsets: Offsets, rows: Any, state: Any, out: Any) -> None:
    for n in rows:
        lo, hi = int(offsets[n]), int(offsets[n + 1])
        state[:_STACK] = 0
        state[_NODE_BLANK] = 1
        if _read(data, lo, hi, state):
            out[n, 0] = _collapsed(state)
            out[n, 1] = state[_KEPT]
        state[:_OPEN] = 0
        _text(data, lo, hi, False, state)
        out[n, 2] = _collapsed(state)


class Visible(TypedDict):
    visible_text: Integers
    visible_text_kept: Integers
    collapsed_length: Integers


class VisibleText(Measure):
    """Measures the text that an HTML file shows, and the file itself, in characters; null for other languages.

    Visible text is what BeautifulSoup's `get_text` answers with `html.parser` after `script` and `style` are taken out:
    `visible_text` with white space collapsed, as `" ".join(text.split())` has it, `visible_text_kept` as it is.
    `collapsed_length` is the length of the whole file with white space collapsed. A file that the parser refuses, such
    as one with an unknown `<![section`, has no visible text.

    Reference:
        Li et al. 2023, https://arxiv.org/abs/2305.06161
    """

    def map(self, content: Strings, language: Strings) -> Visible:
        html_files = np.asarray(pc.is_in(language.cast(TEXT), value_set=pa.array(["html"], TEXT)))
        rows = np.flatnonzero(html_files)
        data, offsets = text_buffers(content)
        longest = int(np.diff(offsets)[rows].max(initial=0))
        out = np.zeros((len(content), 3), np.int64)
        if len(rows):
            # Each open element took three bytes at least.
            _measure(data, offsets, rows, np.zeros(_STACK + longest // 3 + 1, np.int64), out)
        visible, kept, collapsed = (pa.array(column, mask=~html_files) for column in out.T)
        return {"visible_text": visible, "visible_text_kept": kept, "collapsed_length": collapsed}
