"""Objects in files of their own, against libgit2, and whatever may have happened to such a file."""

from __future__ import annotations

import tempfile
import zlib
from pathlib import Path

import pygit2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.loose_objects import LooseObjects

REPOSITORY = pygit2.init_repository(tempfile.mkdtemp(), bare=True)
OBJECTS = Path(REPOSITORY.path) / "objects"


def stored(data: bytes) -> tuple[bytes, Path]:
    oid = REPOSITORY.create_blob(data)
    file = OBJECTS / str(oid)[:2] / str(oid)[2:]
    file.chmod(0o644)
    return oid.raw, file


@given(st.binary(max_size=300).map(lambda b: b * 40), st.integers(0, 20_000))
def test_it_is_as_libgit2_has_it_or_its_size(data, largest):
    name, _ = stored(data)
    found = LooseObjects(OBJECTS).read(name, largest)
    if len(data) > largest:
        assert found == len(data)
    else:
        assert isinstance(found, tuple)
        assert (found[0], found[1].tobytes()) == REPOSITORY.odb.read(name.hex()) == (3, data)


@given(st.binary(max_size=200), st.data())
def test_a_file_that_is_cut_off_is_damaged(data, chosen):
    name, file = stored(data)
    whole = file.read_bytes()
    file.write_bytes(whole[: chosen.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises((ValueError, zlib.error)):
        LooseObjects(OBJECTS).read(name)
    file.write_bytes(whole)


@pytest.mark.parametrize(
    "content",
    [b"blob 3\0ab", b"blob 3\0abcd", b"blob 3abc", b"bulb 3\0abc", b"blob -3\0abc", b"blob 3.0\0abc", b"blob \0", b""],
)
def test_what_does_not_say_what_it_holds_is_damaged(content):
    name, file = stored(b"for this test alone")
    file.write_bytes(zlib.compress(content))
    with pytest.raises(ValueError):
        LooseObjects(OBJECTS).read(name)
    file.unlink()


def test_what_says_that_it_is_huge_is_not_believed():
    name, file = stored(b"for that test alone")
    file.write_bytes(zlib.compress(b"blob 999999999999999\0abc"))
    with pytest.raises(ValueError):
        LooseObjects(OBJECTS).read(name)
    file.unlink()


def test_names_by_their_beginning():
    names = {stored(b"%d" % n)[0] for n in range(300)}
    loose = LooseObjects(OBJECTS)
    for digits in ("00", "7f", "abc", next(iter(names)).hex()[:6]):
        assert {n for n in loose.named(digits) if n in names} == {n for n in names if n.hex().startswith(digits)}
    assert all(name in loose for name in names)
    assert b"\0" * 20 not in loose and loose.read(b"\0" * 20) is None
