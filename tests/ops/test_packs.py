"""Packs: both versions of their index, and differences, whole and damaged."""

from __future__ import annotations

import numpy as np
import pygit2
from history_maker import git, long_history
from hypothesis import given
from hypothesis import strategies as st

from ops.packs import open_pack, patched, size_after


def test_an_index_of_the_first_version(tmp_path):
    repository = long_history(30, seed=9).write(tmp_path / "r.git")
    (pack,) = (repository / "objects" / "pack").glob("*.pack")
    pack.with_suffix(".idx").unlink()
    git(repository, "index-pack", "--index-version=1", str(pack))
    assert pack.with_suffix(".idx").read_bytes()[:4] != b"\xfftOc"
    found = open_pack(pack.with_suffix(".idx"))
    names = [oid.raw for oid in pygit2.Repository(str(repository)).odb]
    assert found and len(names) > 100 and all(name in found for name in names)
    assert set(found.named("a7")) == {name for name in names if name.hex().startswith("a7")}


def varint(value: int) -> bytes:
    out = bytearray()
    while True:
        out.append(value & 127 | (128 if value > 127 else 0))
        value >>= 7
        if not value:
            return bytes(out)


def difference(base: bytes, parts: list) -> tuple[bytes, bytes]:
    """What the parts make of the base, and the difference that says so, as the format's description has it."""
    out, commands = b"", b""
    for part in parts:
        if isinstance(part, bytes):
            out, commands = out + part, commands + bytes([len(part)]) + part
            continue
        begin, length = part[0] % (len(base) + 1), part[1]
        length = min(length, len(base) - begin)
        if not length:
            continue
        out += base[begin : begin + length]
        code, numbers = 128, b""
        for bit, value in [(n, begin >> 8 * n & 255) for n in range(4)] + [
            (n + 4, length >> 8 * n & 255) for n in range(3)
        ]:
            if value:
                code, numbers = code | 1 << bit, numbers + bytes([value])
        commands += bytes([code]) + numbers
    return out, varint(len(base)) + varint(len(out)) + commands


parts = st.lists(st.one_of(st.binary(min_size=1, max_size=127), st.tuples(st.integers(0, 9999), st.integers(1, 99999))))


@given(st.binary(max_size=300).map(lambda b: b * 300), parts)
def test_differences_are_applied(base, parts):
    wanted, told = difference(base, parts)
    good, found = patched(np.frombuffer(base, np.uint8), np.frombuffer(told, np.uint8))
    assert good and found.tobytes() == wanted and size_after(np.frombuffer(told, np.uint8)) == len(wanted)


@given(st.binary(max_size=60), parts, st.lists(st.tuples(st.integers(0, 999), st.integers(0, 255)), max_size=4))
def test_damaged_differences_are_refused_or_harmless(base, parts, damage):
    told = bytearray(difference(base, parts)[1])
    for place, byte in damage:
        told[place % len(told)] = byte
    good, found = patched(np.frombuffer(base, np.uint8), np.frombuffer(bytes(told), np.uint8))
    assert not good or len(found) == size_after(np.frombuffer(bytes(told), np.uint8))
