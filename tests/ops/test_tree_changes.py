"""The one path in which two trees differ, against libgit2's own comparison."""

from __future__ import annotations

import tempfile

import numpy as np
import pygit2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ops.git_objects import Objects
from ops.tree_changes import _differences, only_change

REPOSITORY = pygit2.init_repository(tempfile.mkdtemp(), bare=True)
FILE, EXECUTABLE, LINK = (pygit2.enums.FileMode[m] for m in ("BLOB", "BLOB_EXECUTABLE", "LINK"))

names = st.sampled_from(["a", "a.b", "a-b", "ab", "b", "a0", "é", "lib"])
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
entries = st.tuples(st.binary(max_size=1), st.sampled_from([FILE, FILE, EXECUTABLE, LINK]))
trees = st.dictionaries(paths, entries, max_size=12)


def made(files) -> pygit2.Oid:
    """A tree of these files; of a file and a folder of one name, the file gives way."""
    index = pygit2.Index()
    for path in sorted(files, key=len):
        for other in list(index):
            if path.startswith(f"{other.path}/"):
                index.remove(other.path)
        data, mode = files[path]
        index.add(pygit2.IndexEntry(path, REPOSITORY.create_blob(data), mode))
    return index.write_tree(REPOSITORY)


def blob_of(side):
    return None if side is None else pygit2.Oid(side.name)


@given(trees, st.dictionaries(paths, st.one_of(st.none(), entries), max_size=2), st.booleans())
@settings(max_examples=300)
def test_one_change_is_what_libgit2_finds(files, changes, from_nothing):
    after = {path: entry for path, entry in {**files, **changes}.items() if entry is not None}
    new = made(after)
    old = None if from_nothing else made(files)
    before = REPOSITORY[old] if old else REPOSITORY[REPOSITORY.TreeBuilder().write()]
    deltas = list(before.diff_to_tree(REPOSITORY[new], pygit2.enums.DiffOption.INCLUDE_TYPECHANGE).deltas)
    touched = {delta.old_file.path for delta in deltas} | {delta.new_file.path for delta in deltas}
    found = only_change(Objects(REPOSITORY), old.raw if old else None, new.raw)
    if isinstance(found, int):
        assert (found, len(deltas) != 1 or len(touched) != 1) in [(0, True), (2, True)]
        assert (found == 0) == (not deltas)
        return
    assert [found.path.decode()] == sorted(touched)
    delta = deltas[0]
    sides = [None if side.mode == 0 else (side.id, int(side.mode)) for side in (delta.old_file, delta.new_file)]
    assert [s and (blob_of(s), int(s.mode, 8)) for s in (found.old, found.new)] == sides
    folders = [""] + [found.path.decode()[: n + 1] for n, c in enumerate(found.path.decode()) if c == "/"]
    assert [level.path.decode() for level in found.levels] == folders


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_what_is_no_tree_is_told_or_harmless(a, b):
    found = np.empty((2, 4), np.int64)
    count = _differences(np.frombuffer(a, np.uint8), np.frombuffer(b, np.uint8), found)
    assert -1 <= count <= 2


def test_a_damaged_tree_is_an_error():
    blob = REPOSITORY.create_blob(b"no tree")
    with pytest.raises(ValueError, match="damaged"):
        only_change(Objects(REPOSITORY), None, blob.raw)
