"""Where a secret may stand: one pass over the text that looks up every place in a table of words.

What looks like a token is measured, and what looks like an assignment to a name that says `password` or `secret_key` is
parsed, before any expression runs; few places are left.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numba
import numpy as np

from engine.columns import Bytes, Offsets, padded_parts
from engine.simd import load32

TOKEN, SHAPE, NAME = 0, 1, 2
"""What a word begins: a token, at the start of a word of the text; anything; a name, in any case, that a value is
assigned to."""

LONGEST_NAME = 48
_LEAST_TOKEN = 14
_LEAST_VALUE = 5
_LONGEST_VALUE = 512
_PROBE_BITS = 18
_MIX = 0x85EBCA6B


class Place(NamedTuple):
    """A word that was seen: in which row, where, which; for a name also where the value stands, and if it is quoted.

    Places are in the bytes that the scan gives beside them, as are the bounds `lo` and `hi` of the row.
    """

    row: int
    lo: int
    hi: int
    at: int
    word: int
    begin: int
    end: int
    quoted: int


class Words:
    """The table of words, each with what it begins."""

    def __init__(self, words: Sequence[tuple[str, int]]) -> None:
        self._index = _index(words)

    def places(self, data: Bytes, offsets: Offsets) -> Iterator[tuple[memoryview, int, list[Place]]]:
        """Parts of the column's bytes, how far each is shifted from the column's, and the places seen in it."""
        for rows, part, ends in padded_parts(data, offsets):
            out = np.empty((1 << 14, 8), np.int64)
            total = _scan_rows(part, ends, rows.start, out, *self._index)
            if total > len(out):
                out = np.empty((total, 8), np.int64)
                _scan_rows(part, ends, rows.start, out, *self._index)
            shift = int(offsets[rows.start]) - int(ends[0])
            yield memoryview(part.data), shift, [Place(*p) for p in out[:total].tolist()]


def _index(words: Sequence[tuple[str, int]]) -> Any:
    # Words are looked up by their first three bytes; names in small and capital letters alike.
    keyed: list[tuple[int, int]] = []
    for number, (word, sort) in enumerate(words):
        head = [{b} | ({b ^ 0x20} if sort == NAME and _is_letter(b) else set()) for b in word.encode()[:3]]
        head += [set(range(256))] * (3 - len(head))
        keyed += [(_slot(int.from_bytes(bytes(key), "little")), number) for key in itertools.product(*head)]
    keyed = sorted(set(keyed))
    slots = np.array([s for s, _ in keyed], np.int64)
    heads = np.searchsorted(slots, np.arange((1 << _PROBE_BITS) + 1)).astype(np.int32)
    bits = np.zeros(1 << (_PROBE_BITS - 6), np.uint64)
    np.bitwise_or.at(bits, slots >> 6, np.uint64(1) << (slots & 63).astype(np.uint64))
    texts = [w.lower().encode() if sort == NAME else w.encode() for w, sort in words]
    return (
        bits,
        heads,
        np.array([n for _, n in keyed], np.int32),
        np.frombuffer(b"".join(texts), np.uint8),
        np.cumsum([0, *(len(t) for t in texts)], dtype=np.int64),
        np.array([sort for _, sort in words], np.uint8),
    )


def _slot(key: int) -> int:
    return (key * _MIX & 0xFFFFFFFF) >> (32 - _PROBE_BITS)


@numba.njit(nogil=True, cache=True, inline="always")
def _is_letter(byte: Any) -> bool:
    return 0x61 <= (byte | 0x20) <= 0x7A


@numba.njit(nogil=True, cache=True, inline="always")
def _is_alnum(byte: Any) -> bool:
    return 0x30 <= byte <= 0x39 or 0x61 <= (byte | 0x20) <= 0x7A


@numba.njit(nogil=True, cache=True, inline="always")
def _is_quote(byte: Any) -> bool:
    return byte == 0x22 or byte == 0x27 or byte == 0x60


@numba.njit(nogil=True, cache=True)
def _is_token(data: Bytes, lo: int, at: int, hi: int) -> bool:
    # The start of a word, and `_LEAST_TOKEN` bytes such as tokens are made of.
    if at + _LEAST_TOKEN > hi or (at > lo and (_is_alnum(data[at - 1]) or data[at - 1] == 0x5F)):
        return False
    for k in range(at, at + _LEAST_TOKEN):
        if not (_is_alnum(data[k]) or data[k] in (0x2D, 0x5F, 0x2E, 0x2F, 0x2B, 0x3D, 0x7C, 0x24, 0x7E, 0x25)):
            return False
    return True


@numba.njit(nogil=True, cache=True)
def _spaces(data: Bytes, at: int, hi: int) -> int:
    end = min(hi, at + 24)
    while at < end and (data[at] == 0x20 or data[at] == 0x09):
        at += 1
    return at


@numba.njit(nogil=True, cache=True)
def _name_end(data: Bytes, at: int, hi: int) -> int:
    end = min(hi, at + LONGEST_NAME)
    while at < end and (_is_alnum(data[at]) or data[at] == 0x5F or data[at] == 0x2D or data[at] == 0x2E):
        at += 1
    return at


@numba.njit(nogil=True, cache=True)
def _operator(data: Bytes, at: int, hi: int, option: bool) -> Any:
    # Behind a name, as in `: str = "`, `"] => '` or `" value="`: where the value begins, and the operator; 0 if none.
    for _ in range(3):
        if at < hi and (_is_quote(data[at]) or data[at] == 0x5D or data[at] == 0x5C or data[at] == 0x29):
            at += 1
    begin, at = at, _spaces(data, at, hi)
    if at + 6 < hi and data[at] == 0x76 and data[at + 1] == 0x61 and data[at + 4] == 0x65 and data[at + 5] == 0x3D:
        at += 5
    operator = 0
    for _ in range(3):
        if at < hi and data[at] in (0x3D, 0x3A, 0x3E, 0x2C, 0x28, 0x21):
            operator = data[at] if operator == 0 or data[at] == 0x3D else operator
            at += 1
    if operator == 0:
        # `#define PASSWORD "..."`, and an option of a command: `--password ...`.
        return (at, 0x3D if option else 0x28) if at > begin else (0, 0)
    at = _spaces(data, at, hi)
    if operator == 0x3A and at < hi and _is_letter(data[at]):
        # A type between the name and the value.
        end = min(hi, at + 40)
        k = at
        while k < end and (_is_alnum(data[k]) or data[k] in (0x5F, 0x2E, 0x3C, 0x3E, 0x5B, 0x5D, 0x3F, 0x7C, 0x20)):
            k += 1
        if k + 1 < hi and k > at and data[k] == 0x3D and data[k - 1] == 0x20 and data[k + 1] == 0x20:
            return _spaces(data, k + 1, hi), 0x3D
    return at, operator


@numba.njit(nogil=True, cache=True)
def _value(data: Bytes, at: int, hi: int, operator: int) -> Any:
    # Where the value that begins here begins and ends, and whether it is quoted; all 0 where there is none.
    prefix = at
    while prefix < hi and prefix < at + 2 and (_is_letter(data[prefix]) or data[prefix] == 0x40):
        prefix += 1
    for start in (at, prefix):
        escape = start + 1 if start < hi and data[start] == 0x5C else start
        if escape < hi and _is_quote(data[escape]):
            begin = escape + 1
            quote, end = data[escape], begin
            last = min(hi, begin + _LONGEST_VALUE)
            while end < last and data[end] != quote and data[end] > 0x20:
                end += 1
            if end >= last or data[end] != quote:
                return 0, 0, 0
            if end > begin and data[end - 1] == 0x5C:
                end -= 1
            return begin, end, 1
    if operator == 0x2C or operator == 0x28:
        return 0, 0, 0
    end, last = at, min(hi, at + _LONGEST_VALUE)
    while end < last and data[end] > 0x20 and data[end] not in (0x2C, 0x3B, 0x29, 0x3C, 0x3E, 0x5D, 0x7D, 0x26, 0x5C):
        if _is_quote(data[end]):
            break
        if data[end] in (0x28, 0x5B, 0x7B):
            return 0, 0, 0
        end += 1
    return at, end, 0


@numba.njit(nogil=True, cache=True)
def _may_be_secret(data: Bytes, begin: int, end: int, quoted: int) -> bool:
    # What a password or key has at least: its length, and more than letters.
    digits, letters, seen, distinct = 0, 0, np.uint64(0), 0
    for at in range(begin, end):
        byte = data[at]
        digits += 0x30 <= byte <= 0x39
        letters += _is_letter(byte)
        bit = np.uint64(1) << np.uint64(byte & 63)
        if seen & bit == np.uint64(0):
            seen |= bit
            distinct += 1
    size = end - begin
    if size < _LEAST_VALUE or distinct < 4:
        return False
    if quoted == 0 and (digits == 0 or letters == 0 or size < 6):
        return False
    return letters > 0 and (digits > 0 or letters < size or size >= 12)


@numba.njit(nogil=True, cache=True)
def _is_option(data: Bytes, lo: int, at: int) -> bool:
    # Whether a word stands in an option of a command.
    first = at
    while first > lo and at - first < LONGEST_NAME and (_is_alnum(data[first - 1]) or data[first - 1] in (0x2D, 0x5F)):
        first -= 1
    return data[first] == 0x2D and (first == lo or data[first - 1] <= 0x20)


@numba.njit(nogil=True, cache=True)
def _assigned(data: Bytes, lo: int, word: int, at: Any, hi: int) -> Any:
    # Behind a word in a name: where the value begins and ends and whether it is quoted; all 0 where there is none.
    place, operator = _operator(data, _name_end(data, at, hi), hi, _is_option(data, lo, word))
    if operator == 0:
        return 0, 0, 0
    begin, end, quoted = _value(data, place, hi, operator)
    if end == 0 or not _may_be_secret(data, begin, end, quoted):
        return 0, 0, 0
    return begin, end, quoted


@numba.njit(nogil=True, cache=True)
def _equal(data: Bytes, at: Any, hi: Any, texts: Bytes, first: Any, last: Any, fold: bool) -> bool:
    if at + last - first > hi:
        return False
    for k in range(last - first):
        byte = data[at + k]
        if fold and 0x41 <= byte <= 0x5A:
            byte |= 0x20
        if byte != texts[first + k]:
            return False
    return True


@numba.njit(nogil=True, cache=True)
def _scan_rows(
    data: Bytes,
    offsets: Offsets,
    first: int,
    out: Any,
    bits: Any,
    heads: Any,
    entries: Any,
    texts: Bytes,
    ends: Offsets,
    sorts: Bytes,
) -> int:
    total = 0
    for n in range(len(offsets) - 1):
        lo, hi, last = offsets[n], offsets[n + 1], -1
        for at in range(lo, hi - 3):
            key = load32(data, at) & np.uint32(0xFFFFFF)
            product = np.uint64(key) * np.uint64(_MIX) & np.uint64(0xFFFFFFFF)
            slot = np.int64(product >> np.uint64(32 - _PROBE_BITS))
            if (bits[slot >> 6] >> np.uint64(slot & 63)) & np.uint64(1) == np.uint64(0):
                continue
            for k in range(heads[slot], heads[slot + 1]):
                word = entries[k]
                sort = sorts[word]
                if not _equal(data, at, hi, texts, ends[word], ends[word + 1], sort == NAME):
                    continue
                begin, end, quoted = at, at, 0
                if sort == TOKEN and not _is_token(data, lo, at, hi):
                    continue
                if sort == NAME:
                    begin, end, quoted = _assigned(data, lo, at, at + ends[word + 1] - ends[word], hi)
                    if end == 0 or begin == last:
                        continue
                    last = begin
                if total < len(out):
                    out[total, 0], out[total, 1], out[total, 2], out[total, 3] = first + n, lo, hi, at
                    out[total, 4], out[total, 5], out[total, 6], out[total, 7] = word, begin, end, quoted
                total += 1
    return total
