"""JSON's strings, numbers and literals, read in kernels (RFC 8259).

Texts end with a byte that stops every rule, such as a newline, and have `OVERREAD` bytes behind that may be read.
Beyond the grammar, `NaN` and `Infinity` are let in, which Python writes; a lone surrogate becomes U+FFFD.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from engine.columns import Bytes
from engine.simd import load32, mask, trailing_zeros

NO_OBJECT, NO_VALUE, BAD_STRING, BAD_ESCAPE, NO_NAME, NO_COMMA, TRAILING, TOO_DEEP = range(1, 9)
"""What can be wrong with a text."""

NEWLINE, QUOTE, BACKSLASH, MINUS, PLUS, DOT = ord("\n"), ord('"'), ord("\\"), ord("-"), ord("+"), ord(".")
_ZERO, _NINE, _E, _UPPER_E, _F, _I, _N, _NAN, _T, _U = (ord(c) for c in "09eEfInNtu")
_WORDS = (b"true", b"alse", b"null", b"NaN\0", b"Infi", b"nity")
_TRUE, _ALSE, _NULL, _NAN3, _INFI, _NITY = (np.uint32(int.from_bytes(word, "little")) for word in _WORDS)

_MEANING = np.zeros(256, np.uint8)
for _escape, _byte in zip(b'"\\/bfnrt', b'"\\/\b\f\n\r\t', strict=True):
    _MEANING[_escape] = _byte
_DIGIT = np.full(256, -1, np.int64)
for _byte in b"0123456789abcdefABCDEF":
    _DIGIT[_byte] = int(chr(_byte), 16)

_special = mask(lambda byte: byte.any(byte.equal(QUOTE), byte.equal(BACKSLASH), byte.between(0, 0x1F)))
_backslashes = mask(lambda byte: byte.equal(BACKSLASH))

_64_BYTES = ir.VectorType(ir.IntType(8), 64)


def _copying(typing: Any, out: Any, to: Any, data: Any, at: Any) -> Any:
    """Copies 64 bytes, wherever they lie: `out[to:to + 64] = data[at:at + 64]`."""

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        places = [
            builder.bitcast(
                builder.gep(context.make_array(signature.args[n])(context, builder, args[n]).data, [args[n + 1]]),
                _64_BYTES.as_pointer(),
            )
            for n in (0, 2)
        ]
        value = builder.load(places[1], typ=_64_BYTES)
        value.align = 1
        builder.store(value, places[0]).align = 1
        return context.get_dummy_value()

    return types.void(out, types.int64, data, types.int64), lower


_copy64: Any = intrinsic(_copying)


@numba.njit(nogil=True, cache=True, inline="always")
def _hex4(data: Bytes, at: int) -> Any:
    """The number of four hexadecimal digits, negative where there are none."""
    a, b, c, d = _DIGIT[data[at]], _DIGIT[data[at + 1]], _DIGIT[data[at + 2]], _DIGIT[data[at + 3]]
    return (a << 12) | (b << 8) | (c << 4) | d


@numba.njit(nogil=True, cache=True, inline="always")
def _low_half(data: Bytes, at: int) -> int:
    r"""The unit of the `\u` escape at `at` if it is the second half of a surrogate pair, or 0."""
    if data[at] != BACKSLASH or data[at + 1] != _U:
        return 0
    unit = _hex4(data, at + 2)
    return unit if 0xDC00 <= unit <= 0xDFFF else 0


@numba.njit(nogil=True, cache=True)
def string(data: Bytes, at: int) -> tuple[int, int]:
    """Where the string ends whose first byte is at `at`, and its bytes without escapes; or an error, negative."""
    begin, saved = at, 0
    while True:
        bits = _special(data, at)
        if bits == np.uint64(0):
            at += 64
            continue
        at += trailing_zeros(bits)
        byte = data[at]
        if byte == QUOTE:
            return at, at - begin - saved
        if byte != BACKSLASH:
            return -BAD_STRING, 0
        if _MEANING[data[at + 1]]:
            saved += 1
            at += 2
            continue
        unit = _hex4(data, at + 2) if data[at + 1] == _U else -1
        if unit < 0:
            return -BAD_ESCAPE, 0
        if 0xD800 <= unit <= 0xDBFF and _low_half(data, at + 6):
            saved += 8
            at += 12
        else:
            saved += 5 if unit < 0x80 else 4 if unit < 0x800 else 3
            at += 6


@numba.njit(nogil=True, cache=True, inline="always")
def _digits(data: Bytes, at: int) -> int:
    while _ZERO <= data[at] <= _NINE:
        at += 1
    return at


@numba.njit(nogil=True, cache=True)
def scalar(data: Bytes, at: int) -> int:
    """Where the number or literal ends that begins at `at`, or 0 where none does."""
    byte = data[at]
    if byte in (_T, _N):
        return at + 4 if load32(data, at) == (_TRUE if byte == _T else _NULL) else 0
    if byte == _F:
        return at + 5 if load32(data, at + 1) == _ALSE else 0
    if byte == _NAN:
        return at + 3 if load32(data, at) & np.uint32(0xFFFFFF) == _NAN3 else 0
    if byte == MINUS:
        at += 1
    if data[at] == _I:
        return at + 8 if load32(data, at) == _INFI and load32(data, at + 4) == _NITY else 0
    end = at + 1 if data[at] == _ZERO else _digits(data, at)
    if end > at and data[end] == DOT:
        at = end + 1
        end = _digits(data, at)
    if end > at and (data[end] == _E or data[end] == _UPPER_E):
        at = end + 2 if data[end + 1] == PLUS or data[end + 1] == MINUS else end + 1
        end = _digits(data, at)
    return end if end > at else 0


@numba.njit(nogil=True, cache=True)
def copy(data: Bytes, at: int, end: int, out: Bytes, to: int) -> None:
    """Writes `data[at:end]` to `out[to:]`, and up to 64 bytes behind it."""
    for k in range(0, end - at, 64):
        _copy64(out, to + k, data, at + k)


@numba.njit(nogil=True, cache=True)
def unescape(data: Bytes, at: int, end: int, out: Bytes, to: int) -> int:
    """Writes the string `data[at:end]` to `out[to:]`, and up to 64 bytes behind it; answers where it ends there."""
    while at < end:
        bits = _backslashes(data, at)
        stop = min(at + (64 if bits == np.uint64(0) else trailing_zeros(bits)), end)
        _copy64(out, to, data, at)
        to += stop - at
        at = stop
        if at == end or bits == np.uint64(0):
            continue
        if data[at + 1] != _U:
            out[to] = _MEANING[data[at + 1]]
            to += 1
            at += 2
            continue
        unit = _hex4(data, at + 2)
        at += 6
        if 0xD800 <= unit <= 0xDFFF:
            low = _low_half(data, at) if unit <= 0xDBFF else 0
            if low:
                unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00)
                at += 6
            else:
                unit = 0xFFFD
        to = _put(unit, out, to)
    return to


@numba.njit(nogil=True, cache=True)
def _put(unit: int, out: Bytes, to: int) -> int:
    """Writes a code point in UTF-8."""
    if unit < 0x80:
        out[to] = unit
        return to + 1
    if unit < 0x800:
        out[to] = 0xC0 | (unit >> 6)
    else:
        if unit < 0x10000:
            out[to] = 0xE0 | (unit >> 12)
        else:
            out[to] = 0xF0 | (unit >> 18)
            to += 1
            out[to] = 0x80 | ((unit >> 12) & 0x3F)
        to += 1
        out[to] = 0x80 | ((unit >> 6) & 0x3F)
    out[to + 1] = 0x80 | (unit & 0x3F)
    return to + 2
