"""E-mail addresses: a kernel finds the `@` that may stand in one, a rule for what is around it decides.

The rule follows StarCoder's (left and right context, labels, top-level domain), with the domains that exist and without
what only looks like an address in code: SSH and URL user names, templates, method calls, `icon@2x.png`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

import numba
import numpy as np

from engine.columns import Bytes, Offsets, padded_parts
from engine.simd import mask, trailing_zeros
from ops.spans import Found

_LOCAL = 256
"""Bytes looked at before the `@`: 64 characters of up to four bytes."""
_DOMAIN = 260
"""Bytes looked at behind it: a domain name has at most 253 characters."""

_at_sign = mask(lambda byte: byte.equal(0x40))


@numba.njit(nogil=True, cache=True, inline="always")
def _is_word(byte: Any) -> bool:
    return 0x30 <= byte <= 0x39 or 0x41 <= byte <= 0x5A or 0x61 <= byte <= 0x7A or byte == 0x5F or byte >= 0x80


@numba.njit(nogil=True, cache=True)
def _candidates(data: Bytes, offsets: Offsets, first: int, out: Any) -> int:
    # A letter before the `@`, one behind it, and a dot in the labels that follow: few `@` in code have all three.
    total = 0
    for row in range(len(offsets) - 1):
        lo, hi, at = offsets[row], offsets[row + 1], offsets[row]
        while at < hi:
            bits = _at_sign(data, at)
            while bits != np.uint64(0):
                place = at + trailing_zeros(bits)
                bits &= bits - np.uint64(1)
                if place == lo or place + 4 > hi or not _is_word(data[place + 1]):
                    continue
                before = data[place - 1]
                if not (_is_word(before) or before == 0x2D or before == 0x2B or before == 0x26 or before == 0x7E):
                    continue
                end, dot = place + 1, 0
                while end < hi and (_is_word(data[end]) or data[end] == 0x2D or data[end] == 0x2E):
                    if data[end] == 0x2E and dot == 0:
                        dot = end
                    end += 1
                if dot == 0 or dot + 2 >= end:
                    continue
                if total < len(out):
                    out[total, 0], out[total, 1] = first + row, place
                total += 1
            at += 64
    return total


def find_emails(data: Bytes, offsets: Offsets) -> Iterator[Found]:
    """The e-mail addresses in the rows of a column, as spans of kind `EMAIL`."""
    for rows, part, ends in padded_parts(data, offsets):
        shift = int(offsets[rows.start]) - int(ends[0])
        out = np.empty((1 << 12, 2), np.int64)
        total = _candidates(part, ends, rows.start, out)
        if total > len(out):
            out = np.empty((total, 2), np.int64)
            _candidates(part, ends, rows.start, out)
        view = memoryview(part.data)
        for row, at in out[:total].tolist():
            lo, hi = int(ends[row - rows.start]), int(ends[row - rows.start + 1])
            span = email_at(view, lo, hi, at)
            if span:
                yield Found(row, span[0] + shift, span[1] + shift, "EMAIL", "email")


_BACKWARDS = re.compile(r"[\w.+%&~-]*")
_LABELS = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,10}(xn--[a-z0-9-]{2,59}|[^\W\d_]{2,63})(?![\w-])")
_NOT_A_NAME = frozenset(("git", "return", "this", "super", "break", "continue"))
"""The user of a Git server, and labels of Kotlin: `return@each.item`."""
_ALGORITHM = re.compile(r"[a-z]+[0-9]*-[a-z0-9.-]+")
_URL_USER = re.compile(r"://[^\s/@\"'<>]*$")
_ESCAPED = re.compile(r"[abfnrtv]")


def email_at(text: Any, lo: int, hi: int, at: int) -> tuple[int, int] | None:
    """Where the address around the `@` at a place begins and ends in the row `text[lo:hi]`; None if there is none."""
    left = str(text[max(lo, at - _LOCAL) : at], "utf-8", "ignore")
    right = str(text[at + 1 : min(hi, at + _DOMAIN)], "utf-8", "ignore")
    domain = _domain(right)
    if domain is None:
        return None
    local = _local(left)
    if local is None or _is_other(local, domain):
        return None
    return at - len(local.encode()), at + 1 + len(domain.encode())


def _local(left: str) -> str | None:
    run = _BACKWARDS.match(left[::-1])
    local = run.group()[::-1] if run else ""
    before = left[: len(left) - len(local)]
    if before.endswith("\\") and _ESCAPED.match(local):
        # The letter belongs to an escape: "\nname@host".
        local, before = local[1:], ""
    stripped = local.lstrip(".+%&~-")
    if stripped != local:
        before = before + local[: len(local) - len(stripped)]
        local = stripped
    if not 1 <= len(local) <= 64 or local[-1] == "." or ".." in local or not any(c.isalnum() for c in local):
        return None
    if before[-1:] in tuple("$}@%") or before.endswith("//") or _URL_USER.search(before):
        return None
    return local


def _domain(right: str) -> str | None:
    match = _LABELS.match(right)
    if not match:
        return None
    top = match.group(1)
    if not (top.islower() or top.isupper() or not top.isascii()) or top.lower() not in top_level_domains():
        return None
    behind = right[match.end() : match.end() + 2]
    if behind[:1] in tuple("([@=") or (behind[:1] in tuple("./:") and re.match(r"[\w~/{$]", behind[1:])):
        return None
    return match.group()


def _is_other(local: str, domain: str) -> bool:
    first = domain.split(".", 1)[0]
    if local in _NOT_A_NAME or re.fullmatch(r"[0-9]x", first):
        return True
    if domain in ("openssh.com", "libssh.org", "lysator.liu.se"):
        return bool(_ALGORITHM.fullmatch(local)) or local == "keepalive"
    return len(local) == 1 and len(first) == 1 and domain.count(".") == 1


@functools.cache
def top_level_domains() -> frozenset[str]:
    """The top-level domains of the root zone in lower case, in Unicode and in the form `xn--`."""
    lines = resources.files("ops").joinpath("data", "top_level_domains.txt").read_text("utf-8").split("\n")
    return frozenset(line for line in lines if line and not line.startswith("#"))
