"""Trees: a local and a remote one look alike, files are read to their bound, errors name no machine."""

from __future__ import annotations

import os
from pathlib import Path

import fsspec
import pytest

from ops.files import Files
from ops.trees import LocalTree, RemoteTree, missing, read_file, resolved, shown, told

FILES = {"a.py": b"a", "sub/b.py": b"bb", "sub/deep/er/c.py": b"ccc", "z/d.py": b"dddd"}


def test_local_and_remote_trees_look_alike(tmp_path: Path) -> None:
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    for name, data in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
        fs.pipe_file(f"/tree/{name}", data)
    local, remote = LocalTree(str(tmp_path)), RemoteTree("memory://tree")
    for folder in ("", "sub", "sub/deep", "sub/deep/er", "z"):
        found = [sorted((e.path, e.size, e.kind) for e in tree.scan(folder)) for tree in (local, remote)]
        assert found[0] == found[1] != []
    assert (
        list(local.read(list(FILES), 3))
        == list(remote.read(list(FILES), 3))
        == [
            ("a.py", b"a"),
            ("sub/b.py", b"bb"),
            ("sub/deep/er/c.py", b"ccc"),
            ("z/d.py", 4),
        ]
    )
    fs.store.clear()


@pytest.mark.parametrize("size", [0, 1, 99, 100])
def test_a_file_is_read_to_its_bound(tmp_path: Path, size: int) -> None:
    (tmp_path / "a").write_bytes(b"x" * size)
    assert read_file(str(tmp_path / "a"), 100) == b"x" * size


def test_a_file_above_the_bound_is_its_size(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 101)
    assert read_file(str(tmp_path / "a"), 100) == 101


def test_a_file_that_tells_no_size_is_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"x" * 200_000)
    fstat = os.fstat

    def told_empty(handle: int) -> os.stat_result:
        return os.stat_result((*fstat(handle)[:6], 0, *fstat(handle)[7:]))

    monkeypatch.setattr(os, "fstat", told_empty)
    assert read_file(str(tmp_path / "a"), 1 << 20) == b"x" * 200_000
    assert read_file(str(tmp_path / "a"), 1000) > 1000  # type: ignore[operator]


def test_errors_name_no_machine(tmp_path: Path) -> None:
    with pytest.raises(OSError) as error:
        read_file(str(tmp_path / "none"), 1)
    assert told(error.value) == "No such file or directory"
    assert told(ValueError("why")) == "why"
    assert told(EOFError()) == "EOFError"


def test_paths_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert resolved("a/../b") == str(tmp_path / "b")
    assert resolved("~/b") == "/home/me/b"
    assert resolved("s3://bucket/a/") == "s3://bucket/a"
    assert shown("b") == f"`b` ({tmp_path}/b)"
    assert shown("/b") == "`/b`"


def test_the_nearest_name_is_that_of_the_first_part_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "project/src").mkdir(parents=True)
    said = str(missing(Files(path="x"), str(tmp_path / "project/scr/deep/er")))
    assert f"there is no `scr` in {tmp_path}/project; did you mean `src`?" in said
