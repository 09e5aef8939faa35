"""Objects read from the files of a repository, against libgit2."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pygit2
import pytest
from history_maker import History, git, long_history

from ops.git_objects import Objects

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


def test_sizes_are_told_without_reading(repository):
    opened = pygit2.Repository(str(repository))
    objects = Objects(opened)
    for oid in opened.odb:
        assert objects.size(oid.raw) == len(opened.odb.read(oid)[1])
    with pytest.raises(KeyError):
        objects.size(b"\1" * 20)


def test_bytes_that_are_not_those_of_the_name(tmp_path):
    repository = long_history(10, seed=5).write(tmp_path / "r.git")
    (index,) = (repository / "objects" / "pack").glob("*.idx")
    names = [oid.raw for oid in pygit2.Repository(str(repository)).odb]
    # Every name stands for the object behind the next one.
    data, count = bytearray(index.read_bytes()), len(names)
    at = 8 + 1024 + 24 * count
    data[at : at + 4 * count] = data[at + 4 : at + 4 * count] + data[at : at + 4]
    index.chmod(0o644)
    index.write_bytes(data)
    objects = Objects(pygit2.Repository(str(repository)))
    for name in names:
        with pytest.raises(ValueError, match="damaged"):
            objects.checked(name)


def test_objects_that_are_borrowed(repository, tmp_path):
    git(tmp_path, "clone", "-q", "--bare", "--shared", str(repository), "r.git")
    assert not list((tmp_path / "r.git" / "objects" / "pack").iterdir())
    assert all_equal(tmp_path / "r.git", 1 << 20) > 1000


def test_objects_that_were_packed_meanwhile(tmp_path):
    repository = long_history(10, seed=7).write(tmp_path / "r.git")
    folder = repository / "objects" / "pack"
    aside = tmp_path / "aside"
    folder.rename(aside)
    folder.mkdir()
    opened = pygit2.Repository(str(repository))
    objects, name = Objects(opened), bytes.fromhex(git(repository, "rev-parse", "main").decode())
    with pytest.raises(KeyError):
        objects.read(name)
    for file in aside.iterdir():
        file.rename(folder / file.name)
    assert len(objects.read(name)) == objects.size(name) > 0


def test_nobody_may_write_to_an_object(repository):
    opened = pygit2.Repository(str(repository))
    objects = Objects(opened)
    for oid in list(opened.odb)[:50]:
        data = objects.read(oid.raw)
        with pytest.raises(ValueError):
            data[:] = 0
