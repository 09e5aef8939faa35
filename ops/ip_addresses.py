"""IP addresses: a kernel parses what has their shape, what stands around it tells them from versions and numbers.

`/`, `[` and `=` before an address and `/`, `)` and `]` behind it do not hide it, as they do in StarCoder's expression.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Iterator
from typing import Any

import numba
import numpy as np

from engine.columns import Bytes, Offsets, padded_parts
from engine.simd import mask, trailing_zeros
from ops.spans import Found

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_CONTEXT = 100
"""Bytes before and behind an address in which words speak for or against it."""

_point = mask(lambda byte: byte.any(byte.equal(0x2E), byte.equal(0x3A)))


@numba.njit(nogil=True, cache=True, inline="always")
def _is_digit(byte: Any) -> bool:
    return 0x30 <= byte <= 0x39


@numba.njit(nogil=True, cache=True, inline="always")
def _is_hex(byte: Any) -> bool:
    return 0x30 <= byte <= 0x39 or 0x41 <= byte <= 0x46 or 0x61 <= byte <= 0x66


@numba.njit(nogil=True, cache=True, inline="always")
def _is_word(byte: Any) -> bool:
    return _is_digit(byte) or 0x41 <= byte <= 0x5A or 0x61 <= byte <= 0x7A or byte == 0x5F or byte >= 0x80


@numba.njit(nogil=True, cache=True, inline="always")
def _octet(data: Bytes, at: int, hi: int) -> int:
    # Digits of the octet at a place, 0 where there is none: at most 255, without leading zeros.
    value, size = 0, 0
    while at + size < hi and size < 4 and _is_digit(data[at + size]):
        value = value * 10 + data[at + size] - 0x30
        size += 1
    if size == 0 or size > 3 or value > 255 or (size > 1 and data[at] == 0x30):
        return 0
    return size


@numba.njit(nogil=True, cache=True)
def _v4(data: Bytes, lo: int, hi: int, dot: int) -> Any:
    # Where the address whose first dot this is begins and ends; both are 0 where there is none.
    begin = dot
    while begin > lo and dot - begin < 4 and _is_digit(data[begin - 1]):
        begin -= 1
    if begin > lo and (_is_word(data[begin - 1]) or data[begin - 1] == 0x2E):
        return 0, 0
    at = begin
    for n in range(4):
        size = _octet(data, at, hi)
        if size == 0:
            return 0, 0
        at += size
        if n < 3:
            if at >= hi or data[at] != 0x2E:
                return 0, 0
            at += 1
    if at < hi and (_is_word(data[at]) or (data[at] == 0x2E and at + 1 < hi and _is_word(data[at + 1]))):
        return 0, 0
    return begin, at


@numba.njit(nogil=True, cache=True)
def _v6(data: Bytes, lo: int, hi: int, colon: int) -> Any:
    # The run of hexadecimal digits, colons and dots whose first colon this is, if it can be an address.
    begin = colon
    while begin > lo and colon - begin < 5 and _is_hex(data[begin - 1]):
        begin -= 1
    if begin > lo and (_is_word(data[begin - 1]) or data[begin - 1] == 0x3A or data[begin - 1] == 0x2E):
        return 0, 0
    if colon == begin and (colon + 1 >= hi or data[colon + 1] != 0x3A):
        return 0, 0
    at, colons, double = begin, 0, 0
    while at < hi and at - begin < 46:
        byte = data[at]
        if byte == 0x3A:
            colons += 1
            double += at + 1 < hi and data[at + 1] == 0x3A
        elif not (_is_hex(byte) or byte == 0x2E):
            break
        at += 1
    while at > begin and data[at - 1] == 0x2E:
        at -= 1
    if double > 1 or colons < 2 or (double == 0 and colons < 6) or (at < hi and _is_word(data[at])):
        return 0, 0
    return begin, at


@numba.njit(nogil=True, cache=True)
def _candidates(data: Bytes, offsets: Offsets, first: int, out: Any) -> int:
    total = 0
    for row in range(len(offsets) - 1):
        lo, hi, at, last = offsets[row], offsets[row + 1], offsets[row], -1
        while at < hi:
            bits = _point(data, at)
            while bits != np.uint64(0):
                place = at + trailing_zeros(bits)
                bits &= bits - np.uint64(1)
                if place >= hi or place < last:
                    continue
                begin, end = 0, 0
                if data[place] == 0x2E:
                    if place > lo and place + 5 < hi and _is_digit(data[place - 1]) and _is_digit(data[place + 1]):
                        begin, end = _v4(data, lo, hi, place)
                elif place + 1 < hi and (data[place + 1] == 0x3A or (place > lo and _is_hex(data[place - 1]))):
                    begin, end = _v6(data, lo, hi, place)
                if end > 0:
                    if total < len(out):
                        out[total, 0], out[total, 1], out[total, 2] = first + row, begin, end
                    total += 1
                    last = end
            at += 64
    return total


def find_ip_addresses(data: Bytes, offsets: Offsets) -> Iterator[Found]:
    """The IP addresses in the rows of a column, as spans of kind `IP_ADDRESS`."""
    for rows, part, ends in padded_parts(data, offsets):
        shift = int(offsets[rows.start]) - int(ends[0])
        out = np.empty((1 << 12, 3), np.int64)
        total = _candidates(part, ends, rows.start, out)
        if total > len(out):
            out = np.empty((total, 3), np.int64)
            _candidates(part, ends, rows.start, out)
        view = memoryview(part.data)
        for row, begin, end in out[:total].tolist():
            lo, hi = int(ends[row - rows.start]), int(ends[row - rows.start + 1])
            rule = address_at(view, lo, hi, begin, end)
            if rule:
                yield Found(row, begin + shift, end + shift, "IP_ADDRESS", rule)


_NETWORK = re.compile(
    rb"(?i)dns|server|host|addr|gateway|subnet|netmask|proxy|inet|listen|bind|socket|cidr|network|router|peer|"
    rb"remote|client|allow|deny|ping|ssh|tcp|udp|(?<![a-z])ip(?![a-z])|ipv4|_ip|ip_"
)
_VERSION = re.compile(
    rb"(?i)(version|(?<![a-z])ver(?![a-z])|release|revision|(?<![a-z])rev(?![a-z])|build|assembly|upgrade|changelog|"
    rb"chapter|section|(?<![a-z])oid(?![a-z])|firmware|driver|sdk|toolset)[^\n]{0,40}$"
)
_NAMED = re.compile(rb"([\w.+-]+)/$")
_PROTOCOLS = frozenset((b"ip", b"ip4", b"ip6", b"tcp", b"udp", b"http", b"https", b"inet"))
_PORT = re.compile(rb":[0-9]{2,5}(?![0-9.])|/[0-9]{1,2}(?![0-9.\w])")
_NUMBERED = re.compile(rb"[ \t]+[A-Za-z]")
_OBJECT_ID = re.compile(rb"(2\.5\.(4|29)|1\.[23])\.")


def address_at(text: Any, lo: int, hi: int, begin: int, end: int) -> str | None:
    """`ipv4` or `ipv6` if the bytes `text[begin:end]` of the row `text[lo:hi]` are an address there, else None."""
    value = bytes(text[begin:end])
    before = bytes(text[max(lo, begin - _CONTEXT) : begin])
    behind = bytes(text[end : min(hi, end + _CONTEXT)])
    if b":" in value:
        return "ipv6" if _is_v6(value, before, behind) else None
    return "ipv4" if _is_v4(value, before, behind) else None


def _is_v4(value: bytes, before: bytes, behind: bytes) -> bool:
    if before.endswith((b"://", b"@")) or _PORT.match(behind):
        return True
    if before.endswith((b"-", b"+", b"^", b"~", b"#", b"$")):
        # A package's name, a requirement, a fragment.
        return before.endswith(b"-") and bool(re.search(rb"[0-9.]{7,} ?-$", before))
    if re.match(rb"[-+][A-Za-z0-9]", behind) and not re.match(rb"-[0-9]+\.[0-9]+\.[0-9]+\.", behind):
        return False
    if before.rstrip().endswith((b"==", b">=", b"<=", b"~=", b"~>")):
        return False
    named = _NAMED.search(before)
    if named and named.group(1).lower() not in _PROTOCOLS:
        return False
    line = before[before.rfind(b"\n") + 1 :]
    if _VERSION.search(line) and not _NETWORK.search(line):
        return False
    if len(value) == 7 or _OBJECT_ID.match(value):
        if _NUMBERED.match(behind) and not line.strip():
            # The number of a section, unless its title speaks of a network.
            return bool(_NETWORK.search(behind.split(b"\n", 1)[0]))
        return bool(_NETWORK.search(before) or _NETWORK.search(behind))
    return True


def _is_v6(value: bytes, before: bytes, behind: bytes) -> bool:
    try:
        address = ipaddress.IPv6Address(value.decode())
    except ValueError:
        return False
    number = int(address)
    groups = value.split(b":")
    if b"::" not in value:
        # Eight pairs of digits are a hardware address or a fingerprint.
        return any(len(g) > 2 for g in groups)
    if not any(c in b"0123456789" for c in value):
        return False
    if number >> 96 == 0:
        # `::1` and the like are slices in Python and scopes in C++, unless they stand by themselves or hold an IPv4.
        alone = before.endswith((b"//[", b"'", b'"', b"`")) and behind[:1] in (b"]", b"'", b'"', b"`", b"/")
        return b"." in value or alone
    unicast = len(groups[0]) >= 3 and number >> 125 == 1
    return unicast or number >> 120 in (0xFC, 0xFD, 0xFE, 0xFF) or number >> 96 == 0x64FF9B


# --- whose addresses they are -----------------------------------------------------------------------------------------

# Not globally reachable by the registries of RFC 6890 as CPython 3.10 had them when StarCoder was made (`is_private`,
# loopback and link-local among them). Later versions of Python changed some, so the table is kept here.
_RANGES = """
    0.0.0.0/8 10.0.0.0/8 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/29 192.0.0.170/31 192.0.2.0/24
    192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 240.0.0.0/4 255.255.255.255/32
    ::1/128 ::/128 100::/64 2001::/23 2001:2::/48 2001:db8::/32 2001:10::/28 fc00::/7 fe80::/10
"""
_PRIVATE = tuple(ipaddress.ip_network(text) for text in _RANGES.split())
_SERVERS = """
    8.8.8.8 8.8.4.4 1.1.1.1 1.0.0.1 76.76.19.19 76.223.122.150 9.9.9.9 149.112.112.112
    208.67.222.222 208.67.220.220 8.26.56.26 8.20.247.20 94.140.14.14 94.140.15.15
"""
_NAME_SERVERS = frozenset(ipaddress.ip_address(text) for text in _SERVERS.split())


@functools.lru_cache(1 << 12)
def public_address(value: str) -> Address | None:
    """The address that a text spells, if it may be a person's: None for private and reserved ones and name servers."""
    try:
        address: Address = ipaddress.ip_address(value)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    judged = mapped or address
    private = any(judged.version == net.version and judged in net for net in _PRIVATE)
    return None if private or judged in _NAME_SERVERS else address
