"""Where the constructs of an HTML text end, by the grammar of Python's `html.parser`, as kernels over bytes.

It is the grammar of Python 3.11.7, which later releases brought closer to what browsers do; StarCoder's HTML was
filtered before that, and an answer that depends on the Python at hand would be none. Each function takes the bytes, a
place in them and the end of the text, and answers a place, or `INCOMPLETE` where the text ends within the construct.
"""

from __future__ import annotations

import string
from typing import Any

import numba
import numpy as np

from engine.columns import Bytes

INCOMPLETE, REFUSED = -1, -2
"""The text ends within a construct; the parser gives the text up."""

START, EMPTY, NO_TAG = 0, 1, 2
"""What `start_tag` found: a tag, a tag that ends in `/>`, or text that only looked like a tag."""

_LT, _GT, _SLASH, _EQUALS, _QUOTE, _APOSTROPHE = 0x3C, 0x3E, 0x2F, 0x3D, 0x22, 0x27
_HYPHEN, _DOT, _COLON, _BRACKET, _SEMICOLON, _UNDERSCORE = 0x2D, 0x2E, 0x3A, 0x5D, 0x3B, 0x5F


def _classes() -> np.ndarray[Any, np.dtype[np.uint8]]:
    members = {
        SPACE: "\t\n\v\f\r\x1c\x1d\x1e\x1f ",
        BLANK: "\t\n\f\r ",
        MARKUP: "<&",
        ENDS_NAME: "\t\n\f\r />\0",
        ENDS_ATTRIBUTE: "/=>",
        LETTER: string.ascii_letters,
        DIGIT: string.digits,
    }
    table = np.zeros(256, np.uint8)
    for kind, characters in members.items():
        table[[ord(character) for character in characters]] |= kind
    # Characters beyond ASCII that are white space begin with these bytes.
    table[[0xC2, 0xE1, 0xE2, 0xE3]] = MAYBE_SPACE
    return table


SPACE, BLANK, MARKUP, ENDS_NAME, ENDS_ATTRIBUTE, LETTER, DIGIT, MAYBE_SPACE = 1, 2, 4, 8, 16, 32, 64, 128
CLASS = _classes()
"""What each byte may be: white space to Python, to HTML; the start of markup, the end of a tag's name, ..."""


@numba.njit(nogil=True, cache=True)
def is_letter(byte: int) -> bool:
    return bool(CLASS[byte] & LETTER)


@numba.njit(nogil=True, cache=True)
def is_digit(byte: int) -> bool:
    return bool(CLASS[byte] & DIGIT)


@numba.njit(nogil=True, cache=True)
def is_hexadecimal(byte: int) -> bool:
    return is_digit(byte) or 0x61 <= (byte | 0x20) <= 0x66


@numba.njit(nogil=True, cache=True)
def space_at(data: Bytes, at: int, hi: int) -> int:
    """The bytes of the white space character at a place, 0 where there is none; white space is `str.isspace`'s."""
    if at >= hi:
        return 0
    byte = data[at]
    kind = CLASS[byte]
    if not kind & MAYBE_SPACE:
        return int(kind & SPACE)
    second = data[at + 1]
    if byte == 0xC2:
        return 2 * (second == 0x85 or second == 0xA0)
    if byte == 0xE1:
        return 3 * (second == 0x9A and data[at + 2] == 0x80)
    if byte == 0xE3:
        return 3 * (second == 0x80 and data[at + 2] == 0x80)
    third = data[at + 2]
    if second == 0x80:
        return 3 * (third <= 0x8A or third == 0xA8 or third == 0xA9 or third == 0xAF)
    return 3 * (second == 0x81 and third == 0x9F)


@numba.njit(nogil=True, cache=True)
def skip_space(data: Bytes, at: int, hi: int) -> int:
    """The next place that holds no white space."""
    width = space_at(data, at, hi)
    while width:
        at += width
        width = space_at(data, at, hi)
    return at


@numba.njit(nogil=True, cache=True)
def find(data: Bytes, at: int, hi: int, byte: int) -> int:
    """The next place of a byte."""
    while at < hi:
        if data[at] == byte:
            return at
        at += 1
    return INCOMPLETE


def key_of(name: str) -> int:
    """A 64-bit FNV-1a hash of a name, as a signed number."""
    key = 0xCBF29CE484222325
    for byte in name.encode():
        key = (key ^ byte) * 0x100000001B3 % 2**64
    return key - 2**64 * (key >= 2**63)


@numba.njit(nogil=True, cache=True)
def name_key(data: Bytes, lo: int, hi: int, fold: bool) -> Any:
    """What `key_of` answers for the name between two places, in lower case if so wished."""
    key = np.uint64(0xCBF29CE484222325)
    for at in range(lo, hi):
        byte = data[at]
        if fold and 0x41 <= byte <= 0x5A:
            byte |= 0x20
        key = (key ^ np.uint64(byte)) * np.uint64(0x100000001B3)
    return np.int64(key)


@numba.njit(nogil=True, cache=True)
def tag_name_end(data: Bytes, at: int, hi: int) -> int:
    """The end of the tag's name that begins at a place."""
    while at < hi and not CLASS[data[at]] & ENDS_NAME:
        at += 1
    return at


@numba.njit(nogil=True, cache=True)
def _attribute_end(data: Bytes, at: int, hi: int) -> int:
    while at < hi:
        kind = CLASS[data[at]]
        if kind & (SPACE | ENDS_ATTRIBUTE) or (kind & MAYBE_SPACE and space_at(data, at, hi)):
            break
        at += 1
    return at


@numba.njit(nogil=True, cache=True)
def _unquoted_end(data: Bytes, at: int, hi: int) -> int:
    while at < hi and data[at] != _GT and not space_at(data, at, hi):
        at += 1
    return at


@numba.njit(nogil=True, cache=True)
def _value_end(data: Bytes, at: int, hi: int) -> int:
    # The end of ` = value`; the place itself where there is none. A quote that is never closed opens no value.
    signs = skip_space(data, at, hi)
    after = signs
    while after < hi and data[after] == _EQUALS:
        after += 1
    if after == signs:
        return at
    value = skip_space(data, after, hi)
    if value == hi or (data[value] != _QUOTE and data[value] != _APOSTROPHE):
        return _unquoted_end(data, value, hi)
    closing = find(data, value + 1, hi, int(data[value]))
    if closing != INCOMPLETE:
        return closing + 1
    if value > after:
        return after
    return _unquoted_end(data, after - 1, hi) if after - signs > 1 else at


@numba.njit(nogil=True, cache=True)
def _is_apart(data: Bytes, at: int) -> bool:
    # An attribute begins behind white space, a slash or a quote only.
    before = data[at - 1]
    if before < 0x80:
        return CLASS[before] & SPACE != 0 or before in (_SLASH, _QUOTE, _APOSTROPHE)
    return space_at(data, at - 2, at) == 2 or space_at(data, at - 3, at) == 3


@numba.njit(nogil=True, cache=True)
def start_tag(data: Bytes, at: int, hi: int) -> tuple[int, int, int]:
    """For a `<` and a letter: the place behind, the end of the tag's name, and which of `START`, `EMPTY`, `NO_TAG`."""
    name_end = tag_name_end(data, at + 2, hi)
    here = name_end
    while here < hi and (data[here] == _SLASH or space_at(data, here, hi)):
        here += max(space_at(data, here, hi), 1)
    if here < hi and data[here] == _GT:
        return here + 1, name_end, EMPTY if data[here - 1] == _SLASH and here > name_end else START
    while here < hi and data[here] != _SLASH and data[here] != _GT and _is_apart(data, here):
        here = _value_end(data, _attribute_end(data, here + 1, hi), hi)
        while here < hi:
            width = space_at(data, here, hi)
            if data[here] == _SLASH and (here + 1 == hi or data[here + 1] != _GT):
                width = 1
            if not width:
                break
            here += width
    if here == hi or data[here] == _EQUALS:
        return INCOMPLETE, name_end, NO_TAG
    if data[here] == _GT:
        return here + 1, name_end, START
    if data[here] == _SLASH:
        return here + 2, name_end, EMPTY
    return here, name_end, NO_TAG


@numba.njit(nogil=True, cache=True)
def end_tag(data: Bytes, at: int, hi: int) -> tuple[int, int, int]:
    """For a `</`: the place behind, and where the tag's name begins and ends; a name of no bytes is a comment."""
    if find(data, at + 2, hi, _GT) == INCOMPLETE:
        return INCOMPLETE, at, at
    name = skip_space(data, at + 2, hi)
    if is_letter(data[name]):
        end = name + 1
        while CLASS[data[end]] & (LETTER | DIGIT) or data[end] in (_HYPHEN, _DOT, _COLON, _UNDERSCORE):
            end += 1
        close = skip_space(data, end, hi)
        if data[close] == _GT:
            return close + 1, name, end
    name = at + 2
    end = tag_name_end(data, name, hi) if is_letter(data[name]) else name
    return find(data, end, hi, _GT) + 1, name, end


@numba.njit(nogil=True, cache=True)
def comment_end(data: Bytes, at: int, hi: int) -> int:
    """The place behind the first `--`, white space, `>` from a place on."""
    while at + 2 < hi:
        if data[at] == _HYPHEN and data[at + 1] == _HYPHEN:
            close = skip_space(data, at + 2, hi)
            if close < hi and data[close] == _GT:
                return close + 1
        at += 1
    return INCOMPLETE


@numba.njit(nogil=True, cache=True)
def _section_close(data: Bytes, at: int, hi: int, brackets: int) -> tuple[int, int]:
    # Where the first `]`, or `]` white space `]`, white space, `>` begins and what lies behind it.
    while at < hi:
        if data[at] == _BRACKET:
            here = skip_space(data, at + 1, hi)
            if brackets == 2 and here < hi and data[here] == _BRACKET:
                here = skip_space(data, here + 1, hi)
            elif brackets == 2:
                at += 1
                continue
            if here < hi and data[here] == _GT:
                return at, here + 1
        at += 1
    return INCOMPLETE, INCOMPLETE


_SECTIONS = np.array([key_of(name) for name in ("cdata", "temp", "ignore", "include", "rcdata", "if", "else", "endif")])
_DOCTYPE = key_of("doctype")


@numba.njit(nogil=True, cache=True)
def marked_section(data: Bytes, at: int, hi: int) -> tuple[int, int, int]:
    """For a `<![`: the place behind, and where its text begins and ends, which it has if it is `<![CDATA[`.

    A section of an unknown name makes the parser give up.
    """
    name = at + 3
    if name == hi:
        return INCOMPLETE, at, at
    if not is_letter(data[name]):
        return REFUSED, at, at
    end = name + 1
    while end < hi and (CLASS[data[end]] & (LETTER | DIGIT) or data[end] in (_HYPHEN, _DOT, _UNDERSCORE)):
        end += 1
    if skip_space(data, end, hi) == hi:
        return INCOMPLETE, at, at
    key = name_key(data, name, end, True)
    section = 0
    while section < len(_SECTIONS) and _SECTIONS[section] != key:
        section += 1
    if section == len(_SECTIONS):
        return REFUSED, at, at
    close, after = _section_close(data, name, hi, 2 if section < 5 else 1)
    if after == INCOMPLETE or section or data[end] != 0x5B:
        return after, at, at
    return after, end + 1, close


@numba.njit(nogil=True, cache=True)
def declaration_end(data: Bytes, at: int, hi: int) -> int:
    """For a `<!` or `<?` that is neither a comment nor a section: the place behind."""
    doctype = at + 9 <= hi and data[at + 1] == 0x21 and name_key(data, at + 2, at + 9, True) == _DOCTYPE
    close = find(data, at + 9 if doctype else at + 2, hi, _GT)
    return close if close == INCOMPLETE else close + 1


@numba.njit(nogil=True, cache=True)
def raw_text_end(data: Bytes, at: int, hi: int, key: int) -> int:
    """The place behind the end tag of the element whose name has this key."""
    while True:
        at = find(data, at, hi, _LT)
        if at == INCOMPLETE:
            return INCOMPLETE
        if at + 2 < hi and data[at + 1] == _SLASH:
            name = skip_space(data, at + 2, hi)
            end = name
            while end < hi and is_letter(data[end]):
                end += 1
            if name_key(data, name, end, True) == key:
                close = skip_space(data, end, hi)
                if close < hi and data[close] == _GT:
                    return close + 1
        at += 1


@numba.njit(nogil=True, cache=True)
def numeric_reference(data: Bytes, at: int, hi: int) -> tuple[int, int]:
    """For a `&#`: the place behind the reference and the number, which is 0x110000 where it is larger."""
    here, base = at + 2, 10
    if here < hi and data[here] | 0x20 == 0x78:
        here, base = here + 1, 16
    digits, number = here, 0
    while here < hi and (is_digit(data[here]) or (base == 16 and is_hexadecimal(data[here]))):
        digit = int(data[here]) - 0x30 if is_digit(data[here]) else (int(data[here]) | 0x20) - 0x57
        number = min(number * base + digit, 0x110000)
        here += 1
    if here in (digits, hi) or is_hexadecimal(data[here]):
        return INCOMPLETE, 0
    return here + (data[here] == _SEMICOLON), number


@numba.njit(nogil=True, cache=True)
def named_reference(data: Bytes, at: int, hi: int) -> tuple[int, int]:
    """For a `&` and a letter: the place behind the reference and the end of its name."""
    end = at + 2
    while end < hi and (CLASS[data[end]] & (LETTER | DIGIT) or data[end] == _HYPHEN or data[end] == _DOT):
        end += 1
    if end == hi:
        # What follows the name may not be the end of the text, but a hyphen or dot of the name itself.
        end -= 1
        while end > at + 1 and data[end] != _HYPHEN and data[end] != _DOT:
            end -= 1
        if end == at + 1:
            return INCOMPLETE, at
    return end + (data[end] == _SEMICOLON), end
