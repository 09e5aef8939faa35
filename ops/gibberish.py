"""Whether a string reads like a name or a word, or was drawn by a machine: trigrams of characters, as code has them.

`data/trigrams.bin` holds how improbable each character is behind the two before it, in sixteenths of a bit, over an
alphabet of 28: the letters, a digit, anything else. `train` made it from the sources of CPython 3.11's standard library
(PSF-2.0): identifiers, comments and docstrings. It is a table of 21,952 counts; no text can be read from it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from importlib import resources

import numba
import numpy as np

from engine.columns import Bytes

SIZE = 28
"""Characters of the model's alphabet: `a` to `z`, a digit, and all others."""
THRESHOLD = 6.3
"""Bits a character above which a long string is gibberish; `tests/bench/pii.py` prints the errors on both sides."""
_SLACK = 8.0
"""Bits by which a string as a whole may fall short of that: an average of few characters scatters more."""

_WORD = re.compile(rb"(?<![0-9A-Za-z])[A-Za-z_-]+[0-9]{0,4}(?![0-9A-Za-z])")
_DIGIT, _OTHER = 26, 27
_SIXTEENTHS = 16
_CLASS = np.full(256, _OTHER, np.uint8)
_CLASS[ord("0") : ord("9") + 1] = _DIGIT
_CLASS[ord("a") : ord("z") + 1] = np.arange(26)
_CLASS[ord("A") : ord("Z") + 1] = np.arange(26)


def train(texts: Iterable[bytes]) -> Bytes:
    """The table of trigrams made from texts: `SIZE` cubed sixteenths of a bit, at most 255."""
    counts = np.full((SIZE, SIZE, SIZE), 0.5)
    for text in texts:
        # Words and names only: with the hexadecimal tables of a library the model would take keys for text.
        words = b"  " + b" ".join(_WORD.findall(text))
        codes = _CLASS[np.frombuffer(words, np.uint8)].astype(np.int64)
        np.add.at(counts, (codes[:-2], codes[1:-1], codes[2:]), 1)
    bits = -np.log2(counts / counts.sum(axis=2, keepdims=True))
    return np.minimum(np.round(bits * _SIXTEENTHS), 255).astype(np.uint8).reshape(-1)


@functools.cache
def table() -> Bytes:
    """The table that is shipped."""
    return np.frombuffer(resources.files("ops").joinpath("data", "trigrams.bin").read_bytes(), np.uint8)


@numba.njit(nogil=True, cache=True)
def _surprise(data: Bytes, begin: int, end: int, classes: Bytes, trigrams: Bytes) -> float:
    before, last, total = _OTHER, _OTHER, 0
    for at in range(begin, end):
        code = np.int64(classes[data[at]])
        total += np.int64(trigrams[(before * SIZE + last) * SIZE + code])
        before, last = last, code
    return total / (_SIXTEENTHS * max(end - begin, 1))


def surprise(value: bytes) -> float:
    """Bits that each character of a value takes under the model, on average: about 3.5 in names, 6 in random keys."""
    return _surprise(np.frombuffer(value, np.uint8), 0, len(value), _CLASS, table())


def is_gibberish(value: bytes, threshold: float = THRESHOLD) -> bool:
    """Whether a value reads as if it had been drawn at random.

    Hexadecimal digits of both kinds, sixteen or more, are taken as drawn: runs of digits are common in text, so the
    trigrams say little about them.
    """
    return surprise(value) > threshold - _SLACK / max(len(value), 1) or bool(_HEX.fullmatch(value))


_HEX = re.compile(rb"(?i)(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f-]{16,}")
