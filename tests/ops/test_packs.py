"""Objects read from packs, against libgit2."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pygit2
import pytest
from history_maker import History, git, long_history
from hypothesis import given
from hypothesis import strategies as st

from ops.packs import Objects, _patched, _size_after

KINDS = {1: b"commit", 2: b"tree", 3: b"blob", 4: b"tag"}


def all_equal(repository: Path, cache_bytes: int) -> int:
    opened = pygit2.Repository(str(repository))
    objects = Objects(opened, cache_bytes)
    for oid in (names := list(opened.odb)):
        kind, data = opened.odb.read(oid)
        assert objects.read(oid.raw).tobytes() == data
        head = b"%s %d\0" % (KINDS[kind], len(data))
        assert hashlib.sha1(head + data).digest() == oid.raw
    return len(names)


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    return long_history(200, seed=3).write(tmp_path_factory.mktemp("packs") / "r.git")


@pytest.mark.parametrize("cache_bytes", [0, 20_000, 96 << 20])
def test_every_object_is_as_libgit2_has_it(repository, cache_bytes):
    assert all_equal(repository, cache_bytes) > 1000


@pytest.mark.parametrize("options", [["--depth=4000", "--window=200"], ["--depth=0"]])
def test_however_deep_the_differences_are(tmp_path, options):
    repository = long_history(80, seed=4).write(tmp_path / "r.git")
    git(repository, "repack", "-adfq", *options)
    all_equal(repository, 50_000)


def test_differences_that_name_what_they_differ_from(tmp_path):
    repository = long_history(40, seed=6).write(tmp_path / "r.git")
    # Without offsets, a difference gives the name of what it is from.
    git(repository, "-c", "repack.useDeltaBaseOffset=false", "repack", "-adfq")
    all_equal(repository, 10_000)


def test_sizes_above_a_bound_are_told_in_its_place(tmp_path):
    history = History()
    history.commit({"a.txt": b"line\n" * 1000, "b.txt": b"line\n" * 1000 + b"more\n", "c.txt": b"short\n"})
    repository = history.write(tmp_path / "r.git")
    for loose in (False, True):
        if loose:
            (pack,) = (repository / "objects" / "pack").glob("*.pack")
            data = pack.read_bytes()
            for file in (repository / "objects" / "pack").iterdir():
                file.unlink()
            git(repository, "unpack-objects", "-q", given=data)
        objects = Objects(pygit2.Repository(str(repository)))
        names = [bytes.fromhex(git(repository, "rev-parse", f"main:{p}.txt").decode().strip()) for p in "abc"]
        assert [objects.read(name, 100) for name in names[:2]] == [5000, 5005]
        for name, size in zip(names, (5000, 5005, 6), strict=True):
            assert len(objects.read(name, 5005)) == size


def test_what_is_not_there(repository):
    objects = Objects(pygit2.Repository(str(repository)))
    with pytest.raises((KeyError, pygit2.GitError)):
        objects.read(b"\1" * 20)


def test_nobody_may_write_to_an_object(repository):
    opened = pygit2.Repository(str(repository))
    objects = Objects(opened)
    for oid in list(opened.odb)[:50]:
        data = objects.read(oid.raw)
        with pytest.raises(ValueError):
            data[:] = 0


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
    good, found = _patched(np.frombuffer(base, np.uint8), np.frombuffer(told, np.uint8))
    assert good and found.tobytes() == wanted and _size_after(np.frombuffer(told, np.uint8)) == len(wanted)


@given(st.binary(max_size=60), parts, st.lists(st.tuples(st.integers(0, 999), st.integers(0, 255)), max_size=4))
def test_damaged_differences_are_refused_or_harmless(base, parts, damage):
    told = bytearray(difference(base, parts)[1])
    for place, byte in damage:
        told[place % len(told)] = byte
    good, found = _patched(np.frombuffer(base, np.uint8), np.frombuffer(bytes(told), np.uint8))
    assert not good or len(found) == _size_after(np.frombuffer(bytes(told), np.uint8))
