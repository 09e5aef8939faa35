"""Revisions, as Git finds them, in repositories that are whole and in those that are not."""

from __future__ import annotations

from pathlib import Path

import pygit2
import pytest
from history_maker import git, long_history

from ops.repositories import opened


def unpacked(repository: Path) -> None:
    """Gives each object a file of its own."""
    for pack in list((repository / "objects" / "pack").glob("*.pack")):
        data = pack.read_bytes()
        for file in pack.parent.glob(f"{pack.stem}.*"):
            file.unlink()
        git(repository, "unpack-objects", "-q", given=data)


@pytest.fixture(scope="module", params=["packed", "loose"])
def repository(request, tmp_path_factory) -> Path:
    made = long_history(30, seed=8).write(tmp_path_factory.mktemp(request.param) / "r.git")
    git(made, "tag", "-a", "-m", "x", "v1", "main~3")
    git(made, "branch", "deadbeef", "main~5")
    if request.param == "loose":
        unpacked(made)
    return made


@pytest.mark.parametrize("revision", ["HEAD", "main", "HEAD~4", "v1", "v1~2", "v1^{commit}", "deadbeef", "HEAD^^"])
def test_revisions_are_those_that_git_finds(repository, revision):
    found, _ = opened(str(repository))
    wanted = git(repository, "rev-parse", f"{revision}^{{commit}}").decode().strip()
    for name in (revision, wanted, wanted[:12]):
        assert str(found.revparse_single(name).peel(pygit2.Commit).id) == wanted


def test_the_whole_history_is_walked(repository):
    found, _ = opened(str(repository))
    names = {str(commit.id) for commit in found.walk(found.revparse_single("main").id)}
    assert names == set(git(repository, "rev-list", "main").decode().split())


def test_beginnings_of_names(repository):
    found, objects = opened(str(repository))
    lines = git(repository, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").decode().split()
    for digits in ("00", "5a", "e0f", lines[0][:5]):
        assert {n.hex() for n in objects.named(digits)} == {n for n in lines if n.startswith(digits)}
    with pytest.raises(KeyError):
        found.revparse_single("0" * 39)


def test_the_beginning_of_several_names_is_none(tmp_path):
    # Their hashes begin alike (git's own tests know such texts, too).
    git(tmp_path, "init", "-q", "--bare", "r.git")
    repository = tmp_path / "r.git"
    seen: dict[str, str] = {}
    for n in range(2000):
        name = str(pygit2.hash(b"%d\n" % n))
        if name[:4] in seen:
            break
        seen[name[:4]] = name
    for text in (n, next(m for m in range(n) if str(pygit2.hash(b"%d\n" % m))[:4] == name[:4])):
        git(repository, "hash-object", "-w", "--stdin", given=b"%d\n" % text)
    found, _ = opened(str(repository))
    with pytest.raises(ValueError):
        found.revparse_single(name[:4])


def test_a_commit_that_is_damaged_is_told_and_its_children_are_there(tmp_path):
    repository = long_history(6, seed=2).write(tmp_path / "r.git")
    unpacked(repository)
    names = git(repository, "rev-list", "--first-parent", "main").decode().split()
    file = repository / "objects" / names[2][:2] / names[2][2:]
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:60])
    found, _ = opened(str(repository))
    assert str(found.revparse_single("main~1").id) == names[1]
    for revision in ("main~2", "main~3", names[2]):
        with pytest.raises(OSError, match="damaged"):
            found.revparse_single(revision).peel(pygit2.Commit)
    with pytest.raises(OSError, match="damaged"):
        list(found.walk(found.revparse_single("main").id))
