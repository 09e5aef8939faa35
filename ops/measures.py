"""The measures of a text that filters judge, all taken in one scan.

The scan goes by windows of 64 bytes. In ASCII, which most code is, everything is counted with masks; only a window with
other characters is decoded, and then only its characters beyond ASCII.
"""

from __future__ import annotations

from typing import Any, TypedDict

import numba
import numpy as np
import pyarrow as pa

from engine.columns import Bytes, Offsets, padded_parts, text_buffers
from engine.op import Measure
from engine.schema import Flags, Integers, Numbers, Strings
from engine.simd import load64, mask, ones, trailing_zeros
from ops.letters import LETTER, classes

_ALL, _ONE = np.uint64(2**64 - 1), np.uint64(1)

letters = mask(lambda byte: byte.letter())
digits = mask(lambda byte: byte.between(0x30, 0x39))
line_feeds = mask(lambda byte: byte.equal(0x0A))
carriage_returns = mask(lambda byte: byte.equal(0x0D))
terminators = mask(lambda byte: byte.any(byte.between(0x0A, 0x0D), byte.between(0x1C, 0x1E)))
beyond_ascii = mask(lambda byte: byte.between(0x80, 0xFF))
continuations = mask(lambda byte: byte.between(0x80, 0xBF))
opening = mask(lambda byte: byte.equal(0x3C))


@numba.njit(nogil=True, cache=True)
def code_point(data: Bytes, at: int) -> Any:
    """The character of two to four bytes that begins at `data[at]`."""
    lead, second = np.int64(data[at]), np.int64(data[at + 1]) & 63
    if lead < 0xE0:
        return (lead & 31) << 6 | second
    third = np.int64(data[at + 2]) & 63
    if lead < 0xF0:
        return (lead & 15) << 12 | second << 6 | third
    return (lead & 7) << 18 | second << 12 | third << 6 | np.int64(data[at + 3]) & 63


@numba.njit(nogil=True, cache=True)
def _decode(data: Bytes, at: int, leads: Any, table: Bytes) -> tuple[int, int, Any]:
    # Of the characters that begin at these bits: letters, letters and digits, and which of them end a line.
    alphabetic = alphanumeric = 0
    breaks = np.uint64(0)
    while leads != np.uint64(0):
        place = trailing_zeros(leads)
        point = code_point(data, at + place)
        kind = table[point]
        alphanumeric += kind != 0
        alphabetic += kind == LETTER
        if point == 0x85 or point == 0x2028 or point == 0x2029:
            breaks |= _ONE << np.uint64(place)
        leads &= leads - _ONE
    return alphabetic, alphanumeric, breaks


@numba.njit(nogil=True, cache=True)
def _xml_header(data: Bytes, lo: int, hi: int) -> bool:
    # `<?xml version=` has 14 characters: it lies within the first 100 if it begins within the first 87.
    characters, at = 0, lo
    while at + 14 <= hi and characters < 87:
        begun = ~continuations(data, at)
        found = opening(data, at)
        while found != np.uint64(0):
            bit = found & (~found + _ONE)
            place = at + trailing_zeros(found)
            if (
                load64(data, place) == np.uint64(0x6576206C6D783F3C)  # <?xml ve
                and load64(data, place + 6) == np.uint64(0x3D6E6F6973726576)  # version=
                and place + 14 <= hi
            ):
                return characters + ones(begun & (bit - _ONE)) < 87
            found ^= bit
        characters += ones(begun)
        at += 64
    return False


@numba.njit(nogil=True, cache=True)
def _below_first(bits: Any) -> Any:
    return (bits - _ONE) & ~bits


@numba.njit(nogil=True, cache=True)
def _below_last(bits: Any) -> Any:
    bits >>= _ONE
    for width in (1, 2, 4, 8, 16, 32):
        bits |= bits >> np.uint64(width)
    return bits


@numba.njit(nogil=True, cache=True)
def _longest_within(longest: int, breaks: Any, begun: Any) -> int:
    # The lines that both begin and end in a window, of which none has more than 62 characters.
    before = ones(begun & _below_first(breaks))
    breaks &= breaks - _ONE
    while breaks != np.uint64(0):
        end = ones(begun & _below_first(breaks))
        longest = max(longest, end - before - 1)
        before = end
        breaks &= breaks - _ONE
    return longest


@numba.njit(nogil=True, cache=True)
def _measure(data: Bytes, offsets: Offsets, table: Bytes, out: Any) -> None:
    for n in range(len(out)):
        lo, hi = offsets[n], offsets[n + 1]
        characters = ends = pairs = longest = start = alphabetic = alphanumeric = 0
        returned = np.uint64(0)
        at = lo
        while at < hi:
            valid = _ALL if hi - at >= 64 else (_ONE << np.uint64(hi - at)) - _ONE
            letter = letters(data, at) & valid
            alphabetic += ones(letter)
            alphanumeric += ones(letter | (digits(data, at) & valid))
            breaks = terminators(data, at) & valid
            feeds = line_feeds(data, at) & valid
            begun = valid
            high = beyond_ascii(data, at) & valid
            if high != np.uint64(0):
                begun = valid & ~continuations(data, at)
                more_letters, more, more_breaks = _decode(data, at, high & begun, table)
                alphabetic += more_letters
                alphanumeric += more
                breaks |= more_breaks
            if breaks != feeds or returned != np.uint64(0):
                returns = carriage_returns(data, at) & valid
                pairs += ones(feeds & (returns << _ONE | returned))
                returned = returns >> np.uint64(63)
            ends += ones(breaks)
            if breaks != np.uint64(0):
                longest = max(longest, characters + ones(begun & _below_first(breaks)) - start)
                if longest < 63:
                    longest = _longest_within(longest, breaks, begun)
                start = characters + ones(begun & _below_last(breaks)) + 1
            characters += ones(begun)
            at += 64
        longest = max(longest, characters - start)
        out[n, 0] = characters
        out[n, 1] = ends - pairs + (start < characters)
        out[n, 2] = longest
        out[n, 3] = characters - ends
        out[n, 4] = alphabetic
        out[n, 5] = alphanumeric
        out[n, 6] = _xml_header(data, lo, hi)


class Measures(TypedDict):
    characters: Integers
    lines: Integers
    longest_line: Integers
    mean_line: Numbers
    alphanumeric_fraction: Numbers
    alphabetic_fraction: Numbers
    xml_header: Flags


class TextMeasures(Measure):
    """Measures the characters, lines, letters and digits of each text, and looks for an XML header.

    Lengths are in characters. Lines are those of `str.splitlines`, whose terminators count for no line's length; the
    mean is over all lines. The fractions are of all characters, terminators too, by the table in `ops/letters.py`. An
    XML header is `<?xml version=` anywhere within the first 100 characters. An empty text has zeros throughout.
    """

    def map(self, content: Strings) -> Measures:
        data, offsets = text_buffers(content)
        out = np.empty((len(content), 7), np.int64)
        for rows, part, ends in padded_parts(data, offsets):
            _measure(part, ends, classes(), out[rows])
        characters, lines, longest, within, alphabetic, alphanumeric, header = out.T
        return {
            "characters": pa.array(characters),
            "lines": pa.array(lines),
            "longest_line": pa.array(longest),
            "mean_line": pa.array(within / np.maximum(lines, 1)),
            "alphanumeric_fraction": pa.array(alphanumeric / np.maximum(characters, 1)),
            "alphabetic_fraction": pa.array(alphabetic / np.maximum(characters, 1)),
            "xml_header": pa.array(header.astype(bool)),
        }
