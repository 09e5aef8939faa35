"""Where byte-level BPE cuts a text before it merges: StarCoder's pre-tokeniser as a kernel over bytes.

Every number character stands alone; what is between them is cut by GPT-2's expression
`'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+`. Markup is a bound as well.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np

from engine.columns import Bytes
from engine.schema import FIRST_MARKUP, SPECIAL_TOKENS
from engine.simd import mask, trailing_zeros

OTHER, LETTER, SPACE, NUMBER, MARKUP, WIDE = range(6)
"""Classes of characters; `WIDE` is that of bytes with which a character of several begins."""
SPACES = (*range(9, 14), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)
_S, _T, _M, _D, _R, _E, _V, _L = b"stmdrevl"
CHARACTERS = Path(__file__).parent / "data" / "characters.json"
"""The letters and numbers of Unicode as `tokenizers` 0.23 tells them: ranges, both ends in them."""


@cache
def classes() -> Bytes:
    """The class of every code point; behind them, 256 of every byte that begins a character."""
    table = np.full(0x110000 + 256, OTHER, np.uint8)
    ranges = json.loads(CHARACTERS.read_text(encoding="utf-8"))
    for name, kind in (("letters", LETTER), ("numbers", NUMBER)):
        for low, high in ranges[name]:
            table[low : high + 1] = kind
    table[list(SPACES)] = SPACE
    table[FIRST_MARKUP : FIRST_MARKUP + len(SPECIAL_TOKENS)] = MARKUP
    table[0x110000:] = table[:256]
    table[0x110000 + 0x80 : 0x110000 + 0xC2] = OTHER
    table[0x110000 + 0xC2 : 0x110000 + 0xF5] = WIDE
    table[0x110000 + 0xF5 :] = OTHER
    return table


@numba.njit(nogil=True, cache=True)
def _wide(data: Bytes, at: int, hi: int, table: Bytes) -> Any:
    """Class and bytes of a character of several bytes; a byte that begins none is a character of its own."""
    lead = np.int64(data[at])
    width = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    if at + width > hi:
        return OTHER, 1
    code = lead & (0xFF >> (width + 1))
    for k in range(1, width):
        following = np.int64(data[at + k])
        if following & 0xC0 != 0x80:
            return OTHER, 1
        code = (code << 6) | (following & 0x3F)
    if code >= 0x110000:
        return OTHER, 1
    return np.int64(table[code]), width


@numba.njit(nogil=True, cache=True)
def _character(data: Bytes, at: int, hi: int, table: Bytes) -> Any:
    kind, width = np.int64(table[0x110000 + np.int64(data[at])]), 1
    if kind == WIDE:
        kind, width = _wide(data, at, hi, table)
    return kind, width


@numba.njit(nogil=True, cache=True)
def _run(data: Bytes, at: int, hi: int, kind: int, table: Bytes) -> int:
    """Where the characters of a class end."""
    while at < hi:
        found, width = np.int64(table[0x110000 + np.int64(data[at])]), 1
        if found == WIDE:
            found, width = _wide(data, at, hi, table)
        if found != kind:
            break
        at += width
    return at


@numba.njit(nogil=True, cache=True)
def _spaces(data: Bytes, at: int, hi: int, table: Bytes) -> int:
    """Where white space is cut that no word takes its last space of: before its last character if a word follows."""
    last, end = at, at
    kind = SPACE
    while end < hi:
        kind, width = _character(data, end, hi, table)
        if kind != SPACE:
            break
        last = end
        end += width
    if end == hi or kind in (NUMBER, MARKUP) or last == at:
        return end
    return last


@numba.njit(nogil=True, cache=True)
def _contraction(data: Bytes, at: int, hi: int) -> int:
    """Bytes of the contraction that an apostrophe begins, or none."""
    if at + 1 >= hi:
        return 0
    one = data[at + 1]
    if one in (_S, _T, _M, _D):
        return 2
    if at + 2 < hi:
        two = data[at + 2]
        if (two == _E and one in (_R, _V)) or (two == _L and one == _L):
            return 3
    return 0


@numba.njit(nogil=True, cache=True)
def next_cut(data: Bytes, at: int, hi: int, table: Bytes) -> Any:
    """Where the word that begins at `at` ends, and the class of its last character; `at` is below `hi`."""
    kind, width = _character(data, at, hi, table)
    if kind in (NUMBER, MARKUP):
        return at + width, kind
    start = at + width
    if kind == SPACE:
        if data[at] != 0x20 or start == hi:
            return _spaces(data, at, hi, table), kind
        kind, width = _character(data, start, hi, table)
        if kind == SPACE:
            return _spaces(data, at, hi, table), kind
        if kind in (NUMBER, MARKUP):
            return start, SPACE
        start += width
    elif data[at] == 0x27:
        short = _contraction(data, at, hi)
        if short:
            return at + short, kind
    return _run(data, start, hi, kind, table), kind


_letters = mask(lambda byte: byte.letter())
_digits = mask(lambda byte: byte.between(0x30, 0x39))
_whites = mask(lambda byte: byte.any(byte.between(9, 13), byte.equal(0x20)))
_blanks = mask(lambda byte: byte.equal(0x20))
_apostrophes = mask(lambda byte: byte.equal(0x27))
_wides = mask(lambda byte: byte.between(0x80, 0xFF))


@numba.njit(nogil=True, cache=True)
def next_cuts(data: Bytes, at: int, hi: int) -> Any:
    """The cuts in the 63 bytes behind `at`, where a word begins, as bits; none where that takes a closer look.

    The last cut leaves behind it a word of which the rest was not seen, unless it is the end at `hi`. A rule looks at
    three characters at most: the one before, the one itself and the next.
    """
    one = np.uint64(1)
    letters, digits, whites = _letters(data, at), _digits(data, at), _whites(data, at)
    blanks, wides = _blanks(data, at), _wides(data, at)
    seen = trailing_zeros(wides) if wides else np.int64(64)
    whole = hi - at <= seen and hi - at < 64
    seen = min(seen, hi - at)
    inside = (one << np.uint64(seen)) - one if seen < 64 else ~np.uint64(0)
    letters, digits, whites, blanks = letters & inside, digits & inside, whites & inside, blanks & inside
    others = inside & ~(letters | digits | whites)
    cuts = digits | (digits << one)
    cuts |= letters & ~((letters | blanks) << one)
    cuts |= others & ~((others | blanks) << one)
    cuts |= whites & (~(whites << one) | ((letters | others) >> one))
    if whole:
        cuts |= one << np.uint64(seen)
    else:
        # What comes behind the last character decides on a cut before it.
        inside >>= one
        inside >>= one
        cuts &= inside
    found = _apostrophes(data, at) & (cuts | one) & (letters >> one)
    while found:
        place = trailing_zeros(found)
        found &= found - one
        size = _contraction(data, at + place, hi)
        if size:
            if not whole and place + 3 >= seen - 1:
                cuts &= (one << np.uint64(place + 1)) - one
                break
            cuts = (cuts & ~(one << np.uint64(place + 1))) | (one << np.uint64(place + size))
    return cuts & ~one
