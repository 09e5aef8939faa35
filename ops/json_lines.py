"""Lines of JSON as columns: a kernel checks each line and notes where the wanted values stand; another writes them out.

No Python object is made of a value. Of equal keys in one object the last counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import pyarrow as pa

from engine.columns import OVERREAD, Bytes, Offsets
from engine.simd import mask, trailing_zeros
from ops.json_grammar import (
    NEWLINE,
    NO_COMMA,
    NO_NAME,
    NO_OBJECT,
    NO_VALUE,
    QUOTE,
    TOO_DEEP,
    TRAILING,
    copy,
    scalar,
    string,
    unescape,
)

NULL, STRING, OTHER = 1, 2, 3
"""What a line has under a name: null, a string, or a number, truth value, list or object; 0 is nothing."""

ERRORS = (
    "",
    "is no JSON object",
    "has no value where one belongs",
    "has a string that does not end, or holds a control character",
    "has an escape that JSON does not know",
    "has no name and colon where they belong",
    "has neither comma nor bracket behind a value",
    "goes on behind its object",
    "is nested too deep",
)
"""What is wrong with a line, by its code; 0 is a line that is well."""

BLANK = -1
"""The code of a line with nothing in it."""
DEPTH = 1024
"""Brackets that may be open at a time."""
_KEY = 256
_TAB, _RETURN, _SPACE, _COMMA, _COLON = (ord(c) for c in "\t\r ,:")
_OPEN_OBJECT, _CLOSE_OBJECT, _OPEN_LIST, _CLOSE_LIST, _SMALL_N = (ord(c) for c in "{}[]n")

_newlines = mask(lambda byte: byte.equal(NEWLINE))


# --- which values are wanted --------------------------------------------------------------------------------------


class Names:
    """Dotted names of values, as a tree of keys that the kernel walks while it reads.

    `meta.path` is the `path` in the object `meta`, or the value of the key `meta.path`.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        keys: list[bytes] = []
        edges: list[tuple[int, int]] = []
        known: dict[tuple[int, str], int] = {}
        field = {0: -1}
        for place, name in enumerate(self.names):
            for way in dict.fromkeys(((name,), tuple(name.split(".")))):
                node = 0
                for key in way:
                    if (node, key) not in known:
                        known[node, key] = len(field)
                        edges.append((node, len(field)))
                        keys.append(key.encode())
                        field[len(field)] = -1
                    node = known[node, key]
                field[node] = place
        ends = np.cumsum([0, *(len(key) for key in keys)])
        text = np.frombuffer(b"".join(keys) or b"\0", np.uint8)
        ways = [[parent, child, ends[n], ends[n + 1]] for n, (parent, child) in enumerate(edges)]
        fields = np.array([field[n] for n in range(len(field))], np.int64)
        self.tree = text, np.array(ways, np.int64).reshape(-1, 4), fields


@numba.njit(nogil=True, cache=True)
def _child(node: int, key: Bytes, lo: int, hi: int, tree: Any) -> int:
    """The node that a key leads to, -1 where nothing wanted is."""
    text, edges, _ = tree
    for n in range(len(edges)):
        begin, end = edges[n, 2], edges[n, 3]
        if edges[n, 0] != node or end - begin != hi - lo:
            continue
        k = 0
        while k < hi - lo and text[begin + k] == key[lo + k]:
            k += 1
        if k == hi - lo:
            return edges[n, 1]
    return -1


# --- a line -----------------------------------------------------------------------------------------------------

_AT_VALUE, _AT_FIRST_VALUE, _AT_KEY, _AT_FIRST_KEY, _BEHIND = range(5)
# What is known of an open bracket: its closing one, the node of its values, the field that it is, where it stands.
_CLOSING, _NODE, _FIELD, _BEGIN = range(4)


@numba.njit(nogil=True, cache=True, inline="always")
def _solid(data: Bytes, at: int) -> int:
    """Where the next byte stands that is no white space."""
    while data[at] == _SPACE or data[at] == _TAB or data[at] == _RETURN:
        at += 1
    return at


@numba.njit(nogil=True, cache=True, inline="always")
def _note(kinds: Any, spans: Any, field: int, kind: int, begin: int, end: int, size: int) -> None:
    if field >= 0:
        kinds[field] = kind
        spans[field, 0], spans[field, 1], spans[field, 2] = begin, end, size


@numba.njit(nogil=True, cache=True)
def _key(data: Bytes, at: int, node: int, tree: Any, room: Bytes) -> tuple[int, int]:
    """What stands behind a key and its colon, and the node that the key leads to; or an error, negative."""
    end, size = string(data, at + 1)
    if end < 0:
        return end, -1
    child = -1
    if node >= 0 and size == end - at - 1:
        child = _child(node, data, at + 1, end, tree)
    elif node >= 0 and size <= _KEY:
        child = _child(node, room, 0, unescape(data, at + 1, end, room, 0), tree)
    at = _solid(data, end + 1)
    return at + 1 if data[at] == _COLON else -NO_NAME, child


@numba.njit(nogil=True, cache=True)
def _line(data: Bytes, at: int, tree: Any, stack: Any, room: Bytes, kinds: Any, spans: Any) -> tuple[int, int]:
    """Reads one line; answers 0, `BLANK` or an error, and where it stood. The line's newline stops every rule."""
    depth, node, state = -1, 0, _AT_VALUE
    fields = tree[2]
    while True:
        at = _solid(data, at)
        byte = data[at]
        if depth < 0:
            if state == _BEHIND:
                return (0 if byte == NEWLINE else TRAILING), at
            if byte != _OPEN_OBJECT:
                return (BLANK if byte == NEWLINE else NO_OBJECT), at
        elif byte == stack[depth, _CLOSING] and state != _AT_VALUE and state != _AT_KEY:
            at += 1
            begin = stack[depth, _BEGIN]
            _note(kinds, spans, stack[depth, _FIELD], OTHER, begin, at, at - begin)
            depth -= 1
            state = _BEHIND
            continue
        if state == _BEHIND:
            if byte != _COMMA:
                return NO_COMMA, at
            at += 1
            node = -1
            state = _AT_KEY if stack[depth, _CLOSING] == _CLOSE_OBJECT else _AT_VALUE
        elif state in (_AT_KEY, _AT_FIRST_KEY):
            if byte != QUOTE:
                return NO_NAME, at
            behind, node = _key(data, at, stack[depth, _NODE], tree, room)
            if behind < 0:
                return -behind, at
            at = behind
            state = _AT_VALUE
        elif byte in (_OPEN_OBJECT, _OPEN_LIST):
            depth += 1
            if depth == DEPTH:
                return TOO_DEEP, at
            field = fields[node] if node >= 0 else -1
            inner, closing = (node, _CLOSE_OBJECT) if byte == _OPEN_OBJECT else (-1, _CLOSE_LIST)
            stack[depth, _CLOSING], stack[depth, _NODE] = closing, inner
            stack[depth, _FIELD], stack[depth, _BEGIN] = field, at
            at += 1
            node = -1
            state = _AT_FIRST_KEY if byte == _OPEN_OBJECT else _AT_FIRST_VALUE
        else:
            field = fields[node] if node >= 0 else -1
            if byte == QUOTE:
                end, size = string(data, at + 1)
                if end < 0:
                    return -end, at
                _note(kinds, spans, field, STRING, at + 1, end, size)
                at = end + 1
            else:
                end = scalar(data, at)
                if end == 0:
                    return NO_VALUE, at
                _note(kinds, spans, field, NULL if byte == _SMALL_N else OTHER, at, end, end - at)
                at = end
            state = _BEHIND


@numba.njit(nogil=True, cache=True)
def _lines(data: Bytes, starts: Offsets, tree: Any, kinds: Any, spans: Any, errors: Any, columns: Any) -> None:
    stack = np.zeros((DEPTH, 4), np.int64)
    room = np.empty(_KEY + OVERREAD, np.uint8)
    for n in range(len(starts)):
        errors[n], at = _line(data, starts[n], tree, stack, room, kinds[n], spans[n])
        columns[n] = at - starts[n] + 1


@numba.njit(nogil=True, cache=True)
def _starts(data: Bytes, stop: int, out: Offsets) -> int:
    """Notes where the lines of `data[:stop]` begin, as far as there is room; answers how many there are."""
    count, begin = 0, 0
    for at in range(0, stop, 64):
        bits = _newlines(data, at)
        while bits != np.uint64(0):
            end = at + trailing_zeros(bits)
            bits &= bits - np.uint64(1)
            if end >= stop:
                break
            if count < len(out):
                out[count] = begin
            count += 1
            begin = end + 1
    return count


@numba.njit(nogil=True, cache=True)
def _write(data: Bytes, kinds: Any, spans: Any, ends: Offsets, out: Bytes) -> None:
    # Each value is written over what the one before it left behind its end.
    for n in range(len(kinds)):
        to = ends[n]
        if ends[n + 1] == to:
            continue
        begin, end = spans[n, 0], spans[n, 1]
        if kinds[n] == STRING and spans[n, 2] != end - begin:
            unescape(data, begin, end, out, to)
        else:
            copy(data, begin, end, out, to)


# --- columns ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lines:
    """Lines that were read: what each has under each name. Columns hold as long as the bytes do."""

    data: Bytes
    names: tuple[str, ...]
    starts: Offsets
    errors: Any
    """For each line 0, -1 if it is blank, or the place in `ERRORS` of what is wrong with it."""
    columns: Any
    """For each line where the reader stood when it was done, in bytes from 1."""
    kinds: Any
    """(lines, names): which kind of value there is."""
    spans: Any
    """(lines, names, 3): where the value begins and ends, and its bytes as text."""

    def kind(self, name: str) -> Any:
        """The kinds of the values under a name, one a line."""
        return self.kinds[:, self.names.index(name)]

    def text(self, name: str, rows: Any) -> pa.Array:
        """The values under a name in these lines: strings as they are, others as they are spelled, null where none is.

        The answer is binary: nobody has checked yet whether it is UTF-8.
        """
        place = self.names.index(name)
        kinds, spans = self.kinds[rows, place], self.spans[rows, place]
        there = kinds >= STRING
        ends = np.concatenate([[0], np.cumsum(np.where(there, spans[:, 2], 0), dtype=np.int64)])
        out = np.empty(int(ends[-1]) + OVERREAD, np.uint8)
        _write(self.data, kinds, spans, ends, out)
        valid: Any = None if there.all() else np.packbits(there, bitorder="little")
        buffers: list[Any] = [valid, ends, out]
        buffers = [None if b is None else pa.py_buffer(b) for b in buffers]
        return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(kinds), buffers)


def read_lines(data: Bytes, stop: int, names: Names) -> Lines:
    """The lines of `data[:stop]`, whose last byte is a newline and behind which `OVERREAD` bytes may be read."""
    assert stop + OVERREAD <= len(data) and (not stop or data[stop - 1] == NEWLINE)
    starts = np.empty(_starts(data, stop, np.empty(0, np.int64)), np.int64)
    count = _starts(data, stop, starts)
    kinds = np.zeros((count, len(names.names)), np.int8)
    spans = np.zeros((count, len(names.names), 3), np.int64)
    errors, columns = np.empty(count, np.int64), np.empty(count, np.int64)
    _lines(data, starts, names.tree, kinds, spans, errors, columns)
    return Lines(data, names.names, starts, errors, columns, kinds, spans)
