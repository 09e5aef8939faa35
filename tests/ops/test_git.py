"""Git: the files of a revision as `git ls-tree` and `git show` tell them, and every fate of what else a tree holds."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from history_maker import long_history
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import OpError
from engine.op import Losses, Shard
from ops import listing
from ops.git import Git


def git(root: Path, *command: str, given: bytes = b"") -> bytes:
    own = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    who = [
        "-c",
        "user.name=A",
        "-c",
        "user.email=a@b.c",
        "-c",
        "protocol.file.allow=always",
        "-c",
        "init.defaultBranch=main",
    ]
    environment = {**os.environ, **own}
    done = subprocess.run(
        ["git", *who, *command], input=given, cwd=root, check=True, capture_output=True, env=environment
    )
    return done.stdout


def commit(root: Path, **files: str | bytes | None) -> str:
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    git(root, "add", "-A")
    git(root, "commit", "-q", "--allow-empty", "-m", "change")
    return git(root, "rev-parse", "HEAD").decode().strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "-q")
    commit(root, a_dot_py="first\n", sub__b_dot_py="b\r\n", sub__deep__c_dot_txt="ü\n", sub_dot_py="x\n")
    return root


def read(source: Git, shards: list[Shard] | None = None) -> tuple[list[dict[str, Any]], Losses]:
    losses = Losses()
    found = list(source.shards()) if shards is None else shards
    return [row for shard in found for batch in source.read(shard, losses) for row in batch.to_pylist()], losses


def told_by_git(root: Path, revision: str) -> dict[str, bytes]:
    paths = git(root, "ls-tree", "-r", "-z", "--name-only", revision).decode().split("\0")
    return {path: git(root, "show", f"{revision}:{path}") for path in paths if path}


# --- revisions --------------------------------------------------------------------------------------------------


def test_the_files_of_a_commit(repository: Path) -> None:
    (repository / "a.py").write_text("changed, not committed\n")
    (repository / "new.py").write_text("untracked\n")
    rows, losses = read(Git(path=str(repository)))
    assert {row["path"]: row["content"].encode() for row in rows} == told_by_git(repository, "HEAD")
    head = git(repository, "rev-parse", "HEAD").decode().strip()
    assert {(row["repo_name"], row["revision_id"]) for row in rows} == {("project", head)}
    assert not losses.dropped
    assert not losses.quarantined


@pytest.mark.parametrize("revision", ["HEAD", "HEAD~1", "main", "v1", "annotated", "short"])
def test_any_name_of_a_revision(repository: Path, revision: str) -> None:
    git(repository, "tag", "v1")
    git(repository, "tag", "-a", "-m", "x", "annotated")
    commit(repository, a_dot_py="second\n", sub__b_dot_py=None)
    revision = git(repository, "rev-parse", "--short", "HEAD~1").decode().strip() if revision == "short" else revision
    rows, _ = read(Git(path=str(repository), revision=revision))
    assert {row["path"]: row["content"].encode() for row in rows} == told_by_git(repository, revision)
    expected = git(repository, "rev-parse", f"{revision}^{{commit}}").decode().strip()
    assert {row["revision_id"] for row in rows} == {expected}


@pytest.mark.parametrize("packed", [False, True])
def test_a_bare_repository(repository: Path, tmp_path: Path, packed: bool) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(repository), "copy.git")
    if packed:
        git(tmp_path / "copy.git", "gc", "-q")
    rows, _ = read(Git(path=str(tmp_path / "copy.git")))
    assert {row["path"]: row["content"].encode() for row in rows} == told_by_git(repository, "HEAD")
    assert {row["repo_name"] for row in rows} == {"copy"}


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://github.com/owner/name.git", "owner/name"),
        ("git@github.com:owner/name.git", "owner/name"),
        ("ssh://git@host:2222/group/sub/name", "group/sub/name"),
        ("https://user:secret@host/owner/name/", "owner/name"),
        ("/srv/git/name.git", "project"),
        ("file:///srv/git/name.git", "project"),
    ],
)
def test_the_remote_gives_the_name(repository: Path, url: str, name: str) -> None:
    git(repository, "remote", "add", "origin", url)
    rows, _ = read(Git(path=str(repository)))
    assert {row["repo_name"] for row in rows} == {name}


def test_several_repositories(repository: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(repository), "other")
    (tmp_path / "no_repository").mkdir()
    for path in (f"{tmp_path}/*", [str(repository), str(tmp_path / "other")]):
        rows, _ = read(Git(path=path))
        assert {row["repo_name"] for row in rows} == {"project", "other"}
        assert len({shard.name for shard in Git(path=path).shards()}) == 2


def test_the_current_folder(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    (shard,) = Git(path=".").shards()
    monkeypatch.chdir("/")  # a worker is elsewhere
    rows, _ = read(Git(path="."), [shard])
    assert {row["repo_name"] for row in rows} == {"project"}


def test_licences_come_from_the_folders_above(repository: Path) -> None:
    text = "SPDX-License-Identifier: CC0-1.0\n"
    commit(repository, sub__LICENSE=text, sub__deep__x_dot_py="x")
    rows, _ = read(Git(path=str(repository)))
    found = {row["path"]: row["license"] for row in rows}
    assert found == {path: "CC0-1.0" if path.startswith("sub/") else None for path in found}


# --- fates ------------------------------------------------------------------------------------------------------


def test_fates(repository: Path, tmp_path: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"
    (repository / "link").symlink_to("a.py")
    commit(repository, big_dot_txt="x" * 1001, empty="", nul="a\0b", image_dot_png="x", model_dot_onnx=pointer)
    git(tmp_path, "clone", "-q", str(repository), "library")
    git(repository, "submodule", "-q", "add", str(tmp_path / "library"), "library")
    commit(repository)
    rows, losses = read(Git(path=str(repository), max_bytes=1000))
    assert sorted(row["path"] for row in rows) == [".gitmodules", "a.py", "sub.py", "sub/b.py", "sub/deep/c.txt"]
    assert {row["path"]: row["reason"] for row in losses.dropped} == {
        "big.txt": "too_large",
        "empty": "empty",
        "image.png": "binary",
        "library": "submodule",
        "link": "symlink",
        "model.onnx": "lfs_pointer",
        "nul": "binary",
    }
    assert {row["score"] for row in losses.dropped if row["path"] == "big.txt"} == {1001}


def test_a_large_file_is_not_read(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(repository, big_dot_txt="x" * 5000)
    blob = git(repository, "rev-parse", "HEAD:big.txt").decode().strip()
    source = Git(path=str(repository), max_bytes=4999)
    shards = list(source.shards())
    (repository / ".git/objects" / blob[:2] / blob[2:]).unlink()
    rows, losses = read(source, shards)
    assert "big.txt" not in {row["path"] for row in rows}
    assert {row["path"]: row["reason"] for row in losses.dropped} == {"big.txt": "too_large"}


@pytest.mark.parametrize("when", ["before", "between"])
def test_an_object_that_is_missing_goes_to_quarantine(repository: Path, when: str) -> None:
    blob = git(repository, "rev-parse", "HEAD:a.py").decode().strip()
    path = repository / ".git/objects" / blob[:2] / blob[2:]
    source = Git(path=str(repository))
    shards = list(source.shards()) if when == "between" else None
    path.unlink()
    rows, losses = read(source, shards)
    assert sorted(row["path"] for row in rows) == ["sub.py", "sub/b.py", "sub/deep/c.txt"]
    assert [row["path"] for row in losses.quarantined] == ["a.py"]


def test_a_folder_that_is_missing_goes_to_quarantine(repository: Path) -> None:
    tree = git(repository, "rev-parse", "HEAD:sub").decode().strip()
    (repository / ".git/objects" / tree[:2] / tree[2:]).unlink()
    rows, losses = read(Git(path=str(repository)))
    assert sorted(row["path"] for row in rows) == ["a.py", "sub.py"]
    assert [row["path"] for row in losses.quarantined] == ["sub"]


def test_names_that_are_no_utf8(repository: Path) -> None:
    (repository / os.fsdecode(b"caf\xe9.py")).write_text("x")
    (repository / os.fsdecode(b"\xff")).mkdir()
    (repository / os.fsdecode(b"\xff/\xfe.py")).write_text("y")
    commit(repository)
    rows, losses = read(Git(path=str(repository)))
    assert {"caf\\xe9.py", "\\xff/\\xfe.py"} <= {row["path"] for row in rows}
    assert not losses.quarantined


# --- shards -----------------------------------------------------------------------------------------------------


def test_shards_are_named_by_paths_and_versioned_by_the_commit(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "SHARD_BYTES", 100_000)
    commit(repository, **{f"{n % 5}__{n}_dot_py": f"x = {n}\n" for n in range(200)})
    source = Git(path=str(repository))
    before = {shard.name: shard for shard in source.shards()}
    assert len(before) > 4
    rows, _ = read(source)
    assert len(rows) == 204
    assert [row["path"] for row in rows] == sorted(row["path"] for row in rows)
    commit(repository, **{"3__3_dot_py": "y"})
    after = {shard.name: shard for shard in source.shards()}
    assert before.keys() == after.keys()
    # Every document carries the commit, so every shard has changed.
    assert all(before[name].version != after[name].version for name in before)


# --- mistakes ---------------------------------------------------------------------------------------------------


def test_a_path_that_does_not_exist(repository: Path) -> None:
    with pytest.raises(OpError, match=r"did you mean `project`\?"):
        list(Git(path=str(repository.parent / "projekt")).shards())


def test_a_folder_that_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(OpError, match="is no Git repository"):
        list(Git(path=str(tmp_path)).shards())


def test_a_revision_that_does_not_exist(repository: Path) -> None:
    with pytest.raises(OpError, match=r"no commit `mian`; did you mean `main`\?"):
        list(Git(path=str(repository), revision="mian").shards())


def test_a_revision_that_is_no_commit(repository: Path) -> None:
    with pytest.raises(OpError, match="no commit"):
        list(Git(path=str(repository), revision="HEAD:a.py").shards())


def test_a_repository_without_commits(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "new")
    with pytest.raises(OpError, match="no commit yet"):
        list(Git(path=str(tmp_path / "new")).shards())


# --- damage -----------------------------------------------------------------------------------------------------


def object_file(root: Path, what: str) -> Path:
    name = git(root, "rev-parse", what).decode().strip()
    path = root / ".git/objects" / name[:2] / name[2:]
    path.chmod(0o644)
    return path


def cut_off(data: bytes) -> bytes:
    return data[: len(data) // 2]


def garbled(data: bytes) -> bytes:
    return random.Random(7).randbytes(len(data))


def without_end(data: bytes) -> bytes:
    return data[:-1]


def nothing(data: bytes) -> bytes:
    return b""


def with_a_wrong_size(data: bytes) -> bytes:
    kind, _, rest = zlib.decompress(data).partition(b" ")
    return zlib.compress(b"%s 99999999999999\0%s" % (kind, rest.partition(b"\0")[2]))


def another_object(data: bytes) -> bytes:
    head, _, rest = zlib.decompress(data).partition(b"\0")
    return zlib.compress(head + b"\0" + bytes(reversed(rest)))


DAMAGE = [cut_off, garbled, without_end, nothing, with_a_wrong_size, another_object]


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("when", ["before", "between"])
def test_a_file_whose_object_is_damaged_goes_to_quarantine(repository: Path, damage: Any, when: str) -> None:
    path, source = object_file(repository, "HEAD:sub/b.py"), Git(path=str(repository))
    shards = list(source.shards()) if when == "between" else None
    path.write_bytes(damage(path.read_bytes()))
    rows, losses = read(source, shards)
    assert sorted(row["path"] for row in rows) == ["a.py", "sub.py", "sub/deep/c.txt"]
    lost = losses.quarantined or losses.dropped
    assert [row["path"] for row in lost] == ["sub/b.py"]
    if damage is with_a_wrong_size and when == "before":
        assert losses.dropped[0]["reason"] == "too_large"
    else:
        assert "damaged" in losses.quarantined[0]["error"]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_folder_whose_tree_is_damaged_goes_to_quarantine(repository: Path, damage: Any) -> None:
    path = object_file(repository, "HEAD:sub")
    path.write_bytes(damage(path.read_bytes()))
    rows, losses = read(Git(path=str(repository)))
    assert sorted(row["path"] for row in rows) == ["a.py", "sub.py"]
    assert [row["path"] for row in losses.quarantined] == ["sub"]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_commit_that_is_damaged_is_told(repository: Path, damage: Any) -> None:
    path = object_file(repository, "HEAD")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(OpError, match=r"the commit `main` of .* cannot be read: the object \w{40} is damaged"):
        list(Git(path=str(repository), revision="main").shards())


def test_a_tree_that_is_no_tree_goes_to_quarantine(repository: Path) -> None:
    blob = git(repository, "rev-parse", "HEAD:a.py").decode().strip()
    entry = b"40000 folder\0" + bytes.fromhex(blob)
    tree = git(repository, "hash-object", "-t", "tree", "-w", "--literally", "--stdin", given=entry).decode().strip()
    made = git(repository, "commit-tree", "-m", "x", tree).decode().strip()
    rows, losses = read(Git(path=str(repository), revision=made))
    assert not rows
    assert [(row["path"], "is no tree" in row["error"]) for row in losses.quarantined] == [("folder", True)]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return long_history(25, seed=4).write(tmp_path_factory.mktemp("packed") / "r.git")


@pytest.mark.parametrize("kind", ["pack", "idx"])
@given(places=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=300)), min_size=1, max_size=4))
@settings(max_examples=30)
def test_packs_that_are_damaged_break_nothing_and_nothing_vanishes(packed: Path, kind: str, places: Any) -> None:
    with TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(packed, Path(folder) / "r.git"))
        (file,) = (copy / "objects" / "pack").glob(f"*.{kind}")
        file.chmod(0o644)
        data = bytearray(file.read_bytes())
        for place, block in places:
            at = int(place * (len(data) - 1))
            data[at : at + len(block)] = block[: len(data) - at]
        file.write_bytes(data)
        try:
            rows, losses = read(Git(path=str(copy)))
        except OpError as error:
            assert "cannot be read" in str(error) or "no commit" in str(error)
            return
        wanted = told_by_git(packed, "HEAD")
        got = {row["path"]: row["content"].encode() for row in rows}
        assert got.items() <= wanted.items()
        # A damaged size may be a large one.
        lost = {row["path"] for row in (*losses.quarantined, *losses.dropped)}
        assert {row["reason"] for row in losses.dropped} <= {"too_large"}
        assert all(any(p == q or q == "." or p.startswith(f"{q}/") for q in lost) for p in wanted.keys() - got.keys())


def test_a_pack_that_is_cut_off(packed: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(packed, tmp_path / "r.git"))
    (file,) = (copy / "objects" / "pack").glob("*.pack")
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(OpError, match="cannot be read"):
        list(Git(path=str(copy)).shards())
