"""Fill-in-the-middle on packed samples: fragments cut at two characters, their parts put in another order.

What the cuts do not touch keeps its tokens. Byte-level BPE behind GPT-2's expression is local: a token that begins with
white space right after one that ends with a printed ASCII character, and any special token, begins a pre-token whatever
stands around it. So of each cut only the text between the nearest such places is tokenized again, and the outcome is
what tokenizing the three parts as a whole would give. Special tokens are one character each; none is torn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np

from engine.columns import text_column
from engine.digest import xxh64
from engine.schema import SPECIAL_TOKENS
from engine.token_shards import plain
from engine.tokenizer import Tokenizer
from model.order import mixed

EOD = SPECIAL_TOKENS.index("<|endoftext|>")
PREFIX, MIDDLE, SUFFIX = (SPECIAL_TOKENS.index(f"<fim_{part}>") for part in ("prefix", "middle", "suffix"))
SPECIALS = len(SPECIAL_TOKENS)
_HEADER = tuple(SPECIAL_TOKENS.index(t) for t in ("<reponame>", "<filename>", "<gh_stars>"))
"""What begins a header of metadata, which ends with its line and is never cut."""

PLAIN, PSM, SPM = 0, 1, 2
_STARTS_BLANK, _ENDS_PRINTED, _SPECIAL = 1, 2, 4
# Columns of a plan: what becomes of a fragment, the token and byte of both cuts, and the tokens that the text to
# tokenize again reaches back and on to.
_MODE, _T1, _O1, _T2, _O2, _A1, _B1, _A2, _B2, _WHOLE = range(10)
_PIECES = 4
"""Texts of a fragment that are tokenized again: before and behind each of its two cuts."""


@dataclass(frozen=True)
class Fim:
    """How often and how fragments are permuted for fill-in-the-middle (Bavarian et al. 2022, in characters)."""

    rate: float = 0.5
    """How likely a fragment is permuted."""
    spm_rate: float = 0.5
    """How likely a permuted fragment has its suffix first (SPM, the paper's second variant), not its prefix (PSM)."""
    reproduce: bool = False
    """Whether samples are permuted as Megatron permuted them, with its faults: see `model.fim_reproduce`."""

    def __post_init__(self) -> None:
        if not (0 <= self.rate <= 1 and 0 <= self.spm_rate <= 1):
            raise ValueError(f"rates are from 0 to 1, not {self.rate} and {self.spm_rate}")


@dataclass(frozen=True)
class Fragments:
    """Fragments of some samples: fragment `k` has the tokens `tokens[edges[k]:edges[k + 1]]`; sample `n` the fragments
    `rows[n]` to `rows[n + 1]`. `starts` counts the tokens of the document before each."""

    tokens: Any
    edges: Any
    rows: Any
    starts: Any


class Vocabulary(NamedTuple):
    """What is asked of tokens: token `t` is the bytes `data[edges[t]:edges[t + 1]]`."""

    edges: Any
    data: Any
    kinds: Any
    """Whether it begins with white space, ends with a printed character, is special."""
    characters: Any
    """Characters that begin in it; one for a special token."""
    lines: Any
    """Of these, how many there are up to the end of its first line, which is in it; else 0."""


@numba.njit(nogil=True, cache=True)
def fragment_keys(ids: Any, edges: Any, starts: Any, copies: Any, seed: Any, epochs: Any) -> Any:
    """For each fragment 64 bits that depend on the seed, its epoch, the document, which copy it is, and the place."""
    out = np.empty(len(starts), np.uint64)
    for k in range(len(starts)):
        salt = mixed(mixed(seed) ^ np.uint64(epochs[k]))
        key = xxh64(ids, edges[k], edges[k + 1], salt)
        out[k] = mixed(mixed(key ^ np.uint64(copies[k])) ^ np.uint64(starts[k]))
    return out


class Permuter:
    """Permutes fragments with one tokenizer."""

    def __init__(self, tokenizer: Tokenizer, fim: Fim) -> None:
        self.tokenizer, self.fim = tokenizer, fim
        edges, data = tokenizer.bytes_of_tokens()
        edges, data = np.asarray(edges, np.int64), np.asarray(data, np.uint8)
        self.known = Vocabulary(edges, data, *_tables(edges, data))

    def permute(self, given: Fragments, keys: Any, size: int) -> tuple[Fragments, Mapping[str, int]]:
        """The fragments, some of them permuted, in samples of at most `size` tokens; and what was done, counted.

        A fragment whose permuted form has no room in its sample stays as it is.
        """
        plan, sizes = _planned(
            given.tokens, given.edges, given.starts, keys, (self.fim.rate, self.fim.spm_rate), self.known
        )
        chosen = np.flatnonzero(plan[:, _MODE])
        counts = {"fim_drawn": len(chosen), "psm": 0, "spm": 0, "fim_unfitting": 0}
        if not len(chosen):
            return given, counts
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes[chosen].reshape(-1))])
        text = np.empty(ends[-1], np.uint8)
        _spelled(given.tokens, plan, chosen, ends, self.known, text)
        pieces: Any = self.tokenizer.encode(text_column(text, ends))
        values, places = plain(pieces.values), plain(pieces.offsets)
        edges = _fitted(given.edges, given.rows, plan, chosen, places, size)
        tokens = np.empty(edges[-1], np.uint16)
        _written(given.tokens, given.edges, plan, chosen, values, places, edges, tokens)
        modes = plan[:, _MODE]
        counts["psm"], counts["spm"] = int((modes == PSM).sum()), int((modes == SPM).sum())
        counts["fim_unfitting"] = len(chosen) - counts["psm"] - counts["spm"]
        return Fragments(tokens, edges, given.rows, given.starts), counts


@numba.njit(nogil=True, cache=True)
def _tables(edges: Any, data: Any) -> Any:
    """For each token what it begins and ends with, its characters, and those up to the end of its first line."""
    count = len(edges) - 1
    kinds, characters, lines = np.zeros(count, np.uint8), np.zeros(count, np.int64), np.zeros(count, np.int64)
    for token in range(count):
        if token < SPECIALS:
            kinds[token], characters[token] = _SPECIAL, 1
            continue
        lo, hi = edges[token], edges[token + 1]
        for at in range(lo, hi):
            characters[token] += (data[at] & 0xC0) != 0x80
            if data[at] == 10 and not lines[token]:
                lines[token] = characters[token]
        if hi > lo:
            blank = data[lo] == 32 or 9 <= data[lo] <= 13
            kinds[token] = _STARTS_BLANK * blank + _ENDS_PRINTED * (32 < data[hi - 1] < 127)
    return kinds, characters, lines


@numba.njit(nogil=True, cache=True, inline="always")
def _chance(key: Any, draw: int) -> float:
    return np.float64(mixed(key + np.uint64(draw)) >> np.uint64(11)) * 2.0**-53


@numba.njit(nogil=True, cache=True, inline="always")
def _begins(tokens: Any, at: int, known: Vocabulary) -> bool:
    """Whether a pre-token begins at this token whatever stands around it."""
    before, here = known.kinds[tokens[at - 1]], known.kinds[tokens[at]]
    return bool((here & _STARTS_BLANK and before & _ENDS_PRINTED) or (before | here) & _SPECIAL)


@numba.njit(nogil=True, cache=True)
def _header(tokens: Any, lo: int, hi: int, known: Vocabulary) -> int:
    """Characters of the header of metadata that a document begins with; all, where its line does not end."""
    if not (tokens[lo] == _HEADER[0] or tokens[lo] == _HEADER[1] or tokens[lo] == _HEADER[2]):
        return 0
    seen = 0
    for at in range(lo, hi):
        if known.lines[tokens[at]]:
            return seen + known.lines[tokens[at]]
        seen += known.characters[tokens[at]]
    return seen


@numba.njit(nogil=True, cache=True)
def _byte(token: int, character: int, known: Vocabulary) -> int:
    """Where in a token its n-th character begins."""
    seen, begin, end = -1, known.edges[token], known.edges[token + 1]
    for at in range(begin, end):
        seen += (known.data[at] & 0xC0) != 0x80
        if seen == character:
            return at - begin
    return end - begin


@numba.njit(nogil=True, cache=True)
def _planned(tokens: Any, fragments: Any, starts: Any, keys: Any, rates: Any, known: Vocabulary) -> Any:
    """What is to become of each fragment, and the bytes of its texts to tokenize again."""
    count = len(starts)
    plan, sizes = np.zeros((count, 10), np.int64), np.zeros((count, _PIECES), np.int64)
    nothing = np.zeros(0, np.uint8)
    for k in range(count):
        lo, hi = fragments[k], fragments[k + 1]
        if hi > lo and tokens[hi - 1] == EOD:
            hi -= 1
        if hi == lo or _chance(keys[k], 1) >= rates[0]:
            continue
        total = 0
        for at in range(lo, hi):
            total += known.characters[tokens[at]]
        header = _header(tokens, lo, hi, known) if starts[k] == 0 else 0
        if total <= header:
            continue
        row = plan[k]
        first = header + np.int64(_chance(keys[k], 3) * (total - header + 1))
        second = header + np.int64(_chance(keys[k], 4) * (total - header + 1))
        row[_MODE] = SPM if _chance(keys[k], 2) < rates[1] else PSM
        row[_T1], row[_O1], seen = _place(tokens, lo, hi, 0, min(first, second), known)
        row[_T2], row[_O2], seen = _place(tokens, row[_T1], hi, seen, max(first, second), known)
        row[_A1] = _back(tokens, lo, hi, row[_T1], known)
        row[_B1] = _on(tokens, lo, hi, row[_T1] + (row[_O1] > 0), known)
        row[_A2] = _back(tokens, lo, hi, row[_T2], known)
        row[_B2] = _on(tokens, lo, hi, row[_T2] + (row[_O2] > 0), known)
        row[_WHOLE] = row[_A2] < row[_B1]
        for piece in range(_PIECES):
            sizes[k, piece] = _piece(tokens, row, piece, known, nothing, 0)
    return plan, sizes


@numba.njit(nogil=True, cache=True)
def _place(tokens: Any, lo: int, hi: int, seen: int, wanted: Any, known: Vocabulary) -> tuple[int, int, int]:
    """The token and byte at which a character begins, and the characters before this token."""
    for at in range(lo, hi):
        here = known.characters[tokens[at]]
        if seen + here > wanted:
            offset = 0 if tokens[at] < SPECIALS else _byte(tokens[at], wanted - seen, known)
            return at, offset, seen
        seen += here
    return hi, 0, seen


@numba.njit(nogil=True, cache=True)
def _back(tokens: Any, lo: int, hi: int, at: int, known: Vocabulary) -> int:
    """The last token, not after this one, before which nothing changes if the text ends in this one."""
    while lo < at < hi and not _begins(tokens, at, known):
        at -= 1
    return at


@numba.njit(nogil=True, cache=True)
def _on(tokens: Any, lo: int, hi: int, at: int, known: Vocabulary) -> int:
    """The first token, from this one on, from which nothing changes if the text begins before it."""
    while lo < at < hi and not _begins(tokens, at, known):
        at += 1
    return at


@numba.njit(nogil=True, cache=True)
def _piece(tokens: Any, row: Any, piece: int, known: Vocabulary, out: Any, to: int) -> int:
    """Writes the bytes of a text to tokenize again, if there is where to; how many they are."""
    a, i, b, j = row[_A1], 0, row[_T1], row[_O1]
    if piece == 1:
        a, i, b, j = row[_T1], row[_O1], row[_B1], 0
        if row[_WHOLE]:
            b, j = row[_T2], row[_O2]
    elif piece == 2:
        a, i, b, j = row[_A2], 0, row[_T2], row[_O2]
        if row[_WHOLE]:
            return 0
    elif piece == 3:
        a, i, b, j = row[_T2], row[_O2], row[_B2], 0
    size = 0
    for at in range(a, b + (j > 0)):
        lo = known.edges[tokens[at]] + (i if at == a else 0)
        hi = known.edges[tokens[at]] + j if at == b else known.edges[tokens[at] + 1]
        if len(out):
            out[to + size : to + size + hi - lo] = known.data[lo:hi]
        size += hi - lo
    return size


@numba.njit(nogil=True, cache=True)
def _spelled(tokens: Any, plan: Any, chosen: Any, ends: Any, known: Vocabulary, out: Any) -> None:
    """Writes the texts to tokenize again."""
    for n in range(len(chosen)):
        for piece in range(_PIECES):
            if ends[n * _PIECES + piece + 1] > ends[n * _PIECES + piece]:
                _piece(tokens, plan[chosen[n]], piece, known, out, ends[n * _PIECES + piece])


@numba.njit(nogil=True, cache=True)
def _fitted(fragments: Any, rows: Any, plan: Any, chosen: Any, places: Any, size: int) -> Any:
    """Where each fragment ends once permuted; those without room for it become plain."""
    edges = np.zeros(len(fragments), np.int64)
    n = 0
    for row in range(len(rows) - 1):
        free = size - (fragments[rows[row + 1]] - fragments[rows[row]])
        for k in range(rows[row], rows[row + 1]):
            grown = 0
            if n < len(chosen) and chosen[n] == k:
                p = plan[k]
                again = p[_B2] - p[_A1] if p[_WHOLE] else p[_B1] - p[_A1] + p[_B2] - p[_A2]
                grown = 3 + places[(n + 1) * _PIECES] - places[n * _PIECES] - again
                if grown > free:
                    p[_MODE], grown = PLAIN, 0
                n += 1
            free -= grown
            edges[k + 1] = edges[k] + fragments[k + 1] - fragments[k] + grown
    return edges


@numba.njit(nogil=True, cache=True, inline="always")
def _append(out: Any, at: int, values: Any, lo: int, hi: int) -> int:
    for k in range(lo, hi):
        out[at + k - lo] = values[k]
    return at + hi - lo


@numba.njit(nogil=True, cache=True)
def _written(
    tokens: Any, fragments: Any, plan: Any, chosen: Any, values: Any, places: Any, edges: Any, out: Any
) -> None:
    n = 0
    for k in range(len(fragments) - 1):
        mine = n < len(chosen) and chosen[n] == k
        lo, hi, at, p = fragments[k], fragments[k + 1], edges[k], plan[k]
        if not mine or p[_MODE] == PLAIN:
            _append(out, at, tokens, lo, hi)
        else:
            e = places[n * _PIECES : (n + 1) * _PIECES + 1]
            out[at] = PREFIX
            at += 1
            if p[_MODE] == PSM:
                at = _append(out, at, tokens, lo, p[_A1])
                at = _append(out, at, values, e[0], e[1])
            out[at] = SUFFIX
            at = _append(out, at + 1, values, e[3], e[4])
            text = hi - 1 if tokens[hi - 1] == EOD else hi
            at = _append(out, at, tokens, p[_B2], text)
            out[at] = MIDDLE
            at += 1
            if p[_MODE] == SPM:
                at = _append(out, at, tokens, lo, p[_A1])
                at = _append(out, at, values, e[0], e[1])
            at = _append(out, at, values, e[1], e[2])
            if not p[_WHOLE]:
                at = _append(out, at, tokens, p[_B1], p[_A2])
            at = _append(out, at, values, e[2], e[3])
            _append(out, at, tokens, text, hi)
        n += mine
