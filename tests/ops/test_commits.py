"""The source of commits, against what Git itself says of the same repositories."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pygit2
import pytest
from history_maker import History, contents, git, log, long_history
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.digest import without_markup
from engine.errors import OpError
from engine.op import Losses
from ops.commits import Commits

MIT = (Path(__file__).parent / "license_texts").joinpath("MIT.txt")


def read(repository, **options):
    """All rows by their commits, and what was lost."""
    source, losses, rows = Commits(path=str(repository), **options), Losses(), {}
    for shard in source.shards():
        for batch in source.read(shard, losses):
            assert batch.schema.field("commit").type == source.writes["commit"]
            for row in batch.to_pylist():
                assert row["revision_id"] not in rows
                rows[row["revision_id"]] = row
    return rows, losses


def fates(losses: Losses) -> dict[str, str]:
    """Reason or error by commit."""
    found = {lost["path"][:40]: lost["reason"] for lost in losses.dropped}
    return found | {lost["path"][:40]: lost["error"] for lost in losses.quarantined}


def reasons(repository, **options) -> list[str]:
    return [lost["reason"] for lost in read(repository, **options)[1].dropped]


@pytest.fixture(scope="module")
def long_repository(tmp_path_factory) -> Path:
    return long_history(1500).write(tmp_path_factory.mktemp("long") / "owner" / "long.git")


@pytest.fixture
def one(tmp_path):
    """A repository of a first commit that adds two files, and then one with these changes."""

    def make(files, message: str | bytes = "Change", modes=None, encoding="", before=b"a = 1\n") -> Path:
        history = History()
        history.commit({"a.py": before, "b.py": b"b = 1\n"}, "Begin")
        history.commit(files, message, modes=modes, encoding=encoding)
        return history.write(tmp_path / "one")

    return make


def test_all_single_file_commits_of_a_long_history_and_no_others(long_repository):
    said = log(long_repository, "main")
    merges = set(git(long_repository, "rev-list", "--merges", "main").decode().split())
    rows, losses = read(long_repository)
    assert set(rows) == {name for name, changes in said.items() if len(changes) == 1 and name not in merges}
    assert len(rows) > 500
    why = fates(losses)
    assert {name for name, reason in why.items() if reason == "merge"} == merges and merges
    several = {name for name, changes in said.items() if len(changes) > 1 and name not in merges}
    assert {name for name, reason in why.items() if reason == "several_files"} == several
    assert set(rows) | set(why) == set(said) and not losses.quarantined


def test_contents_before_and_after_are_those_of_git(long_repository):
    said = log(long_repository, "main")
    rows, _ = read(long_repository)
    changes = [said[name][0] for name in rows]
    wanted = iter(contents(long_repository, [blob for c in changes for blob in (c[2], c[3]) if set(blob) != {"0"}]))
    for row, (_, _, old, new, _, path) in zip(rows.values(), changes, strict=True):
        before, after = (next(wanted) if set(blob) != {"0"} else b"" for blob in (old, new))
        assert row["path"] == path
        assert (row["commit"]["old_contents"].encode(), row["content"].encode()) == (before, after)


def test_messages_and_times_are_those_of_git(long_repository):
    rows, _ = read(long_repository)
    out = git(long_repository, "log", "-z", "--format=%H%n%at%n%B", "main").decode()
    said = dict(part.split("\n", 1) for part in out.split("\0") if part)
    for name, row in rows.items():
        commit = row["commit"]
        assert f"{commit['author_time']}\n{commit['message']}" == said[name]


def test_shards_do_not_hang_on_one_another(long_repository, monkeypatch):
    whole, _ = read(long_repository)
    monkeypatch.setattr("ops.commits.SHARD_COMMITS", 50)
    source = Commits(path=str(long_repository))
    shards = list(source.shards())
    assert len(shards) > 10 and len({shard.name for shard in shards}) == len(shards)
    rows = [row for shard in reversed(shards) for batch in source.read(shard, Losses()) for row in batch.to_pylist()]
    assert {row["revision_id"]: row for row in rows} == whole


def test_a_commit_more_touches_one_shard(long_repository, monkeypatch):
    monkeypatch.setattr("ops.commits.SHARD_COMMITS", 50)
    now = {(s.name, s.version) for s in Commits(path=str(long_repository)).shards()}
    before = {(s.name, s.version) for s in Commits(path=str(long_repository), revision="main~1").shards()}
    assert len(now - before) <= 1 and len(before - now) <= 1


@pytest.mark.parametrize("packed", [["repack", "-adfq", "--depth=4000", "--window=50"], ["unpack"], ["two packs"]])
def test_however_git_stores_the_objects(tmp_path, packed):
    repository = long_history(150, seed=5).write(tmp_path / "one.git")
    wanted, _ = read(repository)
    if packed[0] == "repack":
        git(repository, *packed)
    else:
        # All objects loose, or half of them in a second pack.
        packs = tmp_path / "packs"
        shutil.move(repository / "objects" / "pack", packs)
        (repository / "objects" / "pack").mkdir()
        for pack in packs.glob("*.pack"):
            git(repository, "unpack-objects", "-q", given=pack.read_bytes())
        if packed[0] == "two packs":
            names = git(repository, "rev-list", "--objects", "main~60")
            git(repository, "pack-objects", "-q", "objects/pack/pack", given=names)
            git(repository, "prune-packed", "-q")
    assert read(repository)[0] == wanted and len(wanted) > 50


def test_a_work_tree_and_its_second_one(tmp_path):
    repository = long_history(30).write(tmp_path / "tree", bare=False)
    wanted, _ = read(repository)
    git(repository, "worktree", "add", "-q", str(tmp_path / "second"), "main~2")
    assert set(read(tmp_path / "second")[0]) < set(wanted)


def test_the_first_commit_is_compared_with_nothing(tmp_path):
    history = History()
    history.commit({"a.py": b"a = 1\n"}, "Begin")
    ((row,), losses) = (
        list(part.values()) if isinstance(part, dict) else part for part in read(history.write(tmp_path))
    )
    assert (row["commit"]["old_contents"], row["content"], row["path"]) == ("", "a = 1\n", "a.py")
    assert not losses.dropped


def test_a_removed_file_leaves_an_empty_one(one):
    rows, _ = read(one({"a.py": None}))
    assert [(r["commit"]["old_contents"], r["content"]) for r in rows.values()] == [("a = 1\n", "")]


def test_a_rename_changes_two_files(one):
    assert reasons(one({"a.py": None, "c.py": b"a = 1\n"})) == ["several_files", "several_files"]


def test_a_file_in_the_place_of_a_folder_is_several_changes(tmp_path):
    history = History()
    history.commit({"a/b.py": b"1\n"}, "Begin")
    history.commit({"a/b.py": None, "a": b"2\n"}, "Flatten")
    assert reasons(history.write(tmp_path)) == ["several_files"]


def test_a_commit_without_changes(one):
    assert reasons(one({})) == ["no_change", "several_files"]


def test_a_change_of_mode_only(one):
    assert reasons(one({"a.py": b"a = 1\n"}, modes={"a.py": "100755"})) == ["mode_change", "several_files"]


@pytest.mark.parametrize(
    ("files", "modes", "reason"),
    [
        ({"link": b"a.py"}, {"link": "120000"}, "symlink"),
        ({"a.py": b"b.py"}, {"a.py": "120000"}, "symlink"),
        ({"sub": b"1" * 40}, {"sub": "160000"}, "submodule"),
        ({"a.py": b"\x00\x01\x02" * 50}, None, "binary"),
        ({"photo.png": b"text after all"}, None, "binary"),
        ({"a.py": b"\xff\xfe\xfa caf\xe9 \x80\x81" * 9}, None, "undecodable"),
        ({"a.py": b"x" * 2000}, None, "too_large"),
        ({"a.bin.txt": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"}, None, "lfs_pointer"),
    ],
)
def test_what_is_no_text_is_left_out_and_told(one, files, modes, reason):
    rows, losses = read(one(files, modes=modes), max_bytes=1000)
    assert sorted(lost["reason"] for lost in losses.dropped) == sorted([reason, "several_files"]) and not rows


def test_a_large_file_before_is_too_large_as_well(one):
    _, losses = read(one({"a.py": b"small\n"}, before=b"x\n" * 2000), max_bytes=1000)
    assert ("too_large", 4000) in [(lost["reason"], lost["score"]) for lost in losses.dropped]


def test_a_message_in_the_encoding_that_the_commit_names(one):
    rows, _ = read(one({"a.py": b"a = 2\n"}, "Größe".encode("latin-1"), encoding="ISO-8859-1"))
    assert [row["commit"]["message"] for row in rows.values()] == ["Größe"]


@pytest.mark.parametrize("encoding", ["", "no-such-encoding"])
def test_a_message_that_is_no_text(one, encoding):
    assert "undecodable_message" in reasons(one({"a.py": b"a = 2\n"}, b"Gr\xf6\xdfe", encoding=encoding))


def test_markup_in_any_part_is_replaced(one):
    mark = chr(0xFDD0 + 15)
    rows, _ = read(one({"a.py": f"x{mark}\n".encode()}, f"Say {mark}", before=f"{mark}\n".encode()))
    (row,) = rows.values()
    # The engine replaces what is in `content`, for any source.
    assert row["commit"]["old_contents"] == "\ufffd\n" and row["commit"]["message"] == "Say \ufffd"
    assert without_markup(pa.array([row["content"]], pa.large_string()))[1] == 1


def test_a_name_that_is_no_utf_8_is_spelled(tmp_path):
    history = History()
    history.commit({"a.py": b"1\n"}, "Begin")
    history.commit({}, "Odd")
    history.parts.append(b'M 100644 inline "caf\\351.py"\ndata 2\n2\n\n')
    rows, _ = read(history.write(tmp_path))
    assert sorted(row["path"] for row in rows.values()) == ["a.py", "caf\\xe9.py"]


def test_the_licence_is_that_of_the_commits_own_tree(tmp_path):
    history = History()
    history.commit({"a.py": b"1\n"}, "No licence yet")
    history.commit({"LICENSE": MIT.read_bytes()}, "Choose a licence")
    history.commit({"a.py": b"2\n"}, "Licensed")
    history.commit({"sub/COPYING": b"SPDX-License-Identifier: GPL-3.0-only\n"}, "Another for a part")
    history.commit({"sub/b.py": b"1\n"}, "Of that part")
    history.commit({"LICENSE": None}, "Withdraw it")
    history.commit({"a.py": b"3\n"}, "Not licensed any more")
    rows, _ = read(history.write(tmp_path))
    found = {row["commit"]["message"]: row["license"] for row in rows.values()}
    assert found["No licence yet"] is None and found["Not licensed any more"] is None
    assert found["Licensed"] == "MIT" and "GPL" in found["Of that part"]


def test_the_end_of_a_shallow_clone(tmp_path, long_repository):
    git(tmp_path, "clone", "-q", "--bare", "--depth=20", f"file://{long_repository}", "shallow.git")
    rows, losses = read(tmp_path / "shallow.git")
    names = set(git(tmp_path / "shallow.git", "rev-list", "HEAD").decode().split())
    why = fates(losses)
    assert set(rows) | set(why) == names and "shallow" in why.values() and not losses.quarantined
    wanted, _ = read(long_repository)
    assert rows and all(row | {"repo_name": "long"} == wanted[name] for name, row in rows.items())


def test_a_missing_object_goes_to_quarantine(tmp_path):
    history = History()
    history.commit({"a.py": b"1\n"}, "Begin")
    history.commit({"a.py": b"2\n"}, "Go on")
    repository = history.write(tmp_path / "r")
    packs = tmp_path / "packs"
    shutil.move(repository / "objects" / "pack", packs)
    for pack in packs.glob("*.pack"):
        git(repository, "unpack-objects", "-q", given=pack.read_bytes())
    blob = git(repository, "rev-parse", "main:a.py").decode().strip()
    (repository / "objects" / blob[:2] / blob[2:]).unlink()
    rows, losses = read(repository)
    assert len(rows) == 1 and len(losses.quarantined) == 1
    assert "cannot be read" in losses.quarantined[0]["error"] and not losses.dropped


@given(st.integers(0, 2**32), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8))
@settings(max_examples=25)
def test_damaged_packs_raise_nothing_and_nothing_vanishes(seed, damage):
    repository = damaged(seed % 3, damage)
    try:
        try:
            rows, losses = read(repository)
        except OpError:
            with pytest.raises((pygit2.GitError, KeyError, ValueError)):
                pygit2.Repository(str(repository)).revparse_single("HEAD").peel(pygit2.Commit)
            return
        wanted, lost = read(original(seed % 3))
        whole = set(wanted) | set(fates(lost))
        assert set(rows) | set(fates(losses)) <= whole
        assert all(row == wanted[name] | {"repo_name": "r"} for name, row in rows.items())
        if not losses.quarantined:
            assert set(rows) | set(fates(losses)) == whole
    finally:
        shutil.rmtree(repository)


def damaged(seed: int, damage) -> Path:
    folder = Path(tempfile.mkdtemp()) / "r.git"
    shutil.copytree(original(seed), folder)
    (pack,) = (folder / "objects" / "pack").glob("*.pack")
    pack.chmod(0o644)
    data = bytearray(pack.read_bytes())
    for place, byte in damage:
        data[12 + int(place * (len(data) - 33))] = byte
    pack.write_bytes(data)
    return folder


_ORIGINALS: dict[int, Path] = {}


def original(seed: int) -> Path:
    if seed not in _ORIGINALS:
        _ORIGINALS[seed] = long_history(25, seed).write(Path(tempfile.mkdtemp()) / "r.git")
    return _ORIGINALS[seed]


def test_several_repositories_by_a_glob(tmp_path):
    for name in ("a", "b"):
        history = History()
        history.commit({"a.py": b"1\n"}, f"Begin {name}")
        history.write(tmp_path / f"{name}.git")
    rows, _ = read(tmp_path / "*.git")
    assert Counter(row["repo_name"] for row in rows.values()) == {"a": 1, "b": 1}


def test_what_is_no_repository_is_said_to_be_none(tmp_path):
    with pytest.raises(OpError, match="no Git repository"):
        list(Commits(path=str(tmp_path)).shards())
