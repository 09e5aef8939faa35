"""Files: every fate of what may lie in a tree, globs and ignore rules against glob and Git, shards that stay put."""

from __future__ import annotations

import glob
import json
import os
import pickle
import random
import socket
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fsspec
import pytest

from engine.errors import OpError
from engine.op import Losses, Shard, Source
from ops import listing, trees
from ops.files import Files


def write(root: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def read(source: Source, shards: list[Shard] | None = None) -> tuple[list[dict[str, Any]], Losses]:
    losses = Losses()
    found = list(source.shards()) if shards is None else shards
    return [row for shard in found for batch in source.read(shard, losses) for row in batch.to_pylist()], losses


def paths(source: Source) -> list[str]:
    return [row["path"] for row in read(source)[0]]


def dropped(losses: Losses) -> dict[str, str]:
    return {row["path"]: row["reason"] for row in losses.dropped}


# --- what is read -----------------------------------------------------------------------------------------------


def test_a_tree(tmp_path: Path) -> None:
    root = write(tmp_path / "project", {"b.py": "b", "a/x.py": "x\r\n", "a.py": "a", "a-b/y.py": "y", "z/z/z.py": "z"})
    rows, losses = read(Files(path=str(root)))
    assert [row["path"] for row in rows] == ["a-b/y.py", "a.py", "a/x.py", "b.py", "z/z/z.py"]  # by whole paths
    assert {row["repo_name"] for row in rows} == {"project"}
    assert rows[2]["content"] == "x\r\n"
    assert not losses.dropped
    assert not losses.quarantined


def test_the_name_of_the_repository_can_be_given(tmp_path: Path) -> None:
    rows, _ = read(Files(path=str(write(tmp_path, {"a.py": "a"})), repo_name="me/mine"))
    assert [row["repo_name"] for row in rows] == ["me/mine"]


def test_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write(tmp_path / "here", {"a.py": "a"}))
    rows, _ = read(Files(path="."))
    assert [(row["path"], row["repo_name"]) for row in rows] == [("a.py", "here")]


def test_single_files_and_lists(tmp_path: Path) -> None:
    write(tmp_path, {"one/a.py": "a", "one/b.py": "b", "two/c.py": "c"})
    rows, _ = read(Files(path=[str(tmp_path / p) for p in ("one/b.py", "two", "one/a.py", "one/b.py")]))
    assert [(row["repo_name"], row["path"]) for row in rows] == [("one", "a.py"), ("one", "b.py"), ("two", "c.py")]


def test_hidden_names_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "a", ".b.py": "b", ".github/c.yml": "c", ".git/config": "d", "sub/.hg/e": "e"})
    assert paths(Files(path=str(tmp_path))) == ["a.py"]
    assert paths(Files(path=str(tmp_path), hidden=True)) == [".b.py", ".github/c.yml", "a.py"]


def test_reading_again_gives_the_same(tmp_path: Path) -> None:
    source = Files(path=str(write(tmp_path, {f"{n}.py": f"x = {n}\n" * n for n in range(40)})))
    shards = list(source.shards())
    assert read(source, shards)[0] == read(source, shards)[0]


def test_licences_come_from_the_folders_above(tmp_path: Path) -> None:
    mit = (
        "MIT License\n\nPermission is hereby granted, free of charge, to any person obtaining a copy of this software "
        'and associated documentation files (the "Software"), to deal in the Software without restriction, including '
        "without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell "
        "copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the "
        "following conditions:\n\nThe above copyright notice and this permission notice shall be included in all "
        'copies or substantial portions of the Software.\n\nTHE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY '
        "KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A "
        "PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY "
        "CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF "
        "OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.\n"
    )
    write(tmp_path, {"a/LICENSE": mit, "a/deep/down/x.py": "x", "b/y.py": "y"})
    rows, _ = read(Files(path=str(tmp_path)))
    assert {row["path"]: row["license"] for row in rows} == {
        "a/LICENSE": "MIT",
        "a/deep/down/x.py": "MIT",
        "b/y.py": None,
    }


# --- fates ------------------------------------------------------------------------------------------------------


def test_too_large_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, {"fits.py": "x" * 1000, "over.py": "x" * 1001})
    with open(tmp_path / "huge.txt", "wb") as file:
        file.truncate(1 << 42)  # a hole of 4 TiB: reading it would end the test
    rows, losses = read(Files(path=str(tmp_path), max_bytes=1000))
    assert [row["path"] for row in rows] == ["fits.py"]
    assert {row["path"]: (row["reason"], row["score"]) for row in losses.dropped} == {
        "over.py": ("too_large", 1001),
        "huge.txt": ("too_large", 1 << 42),
    }


def test_a_file_that_grew_since_it_was_listed_is_too_large(tmp_path: Path) -> None:
    source = Files(path=str(write(tmp_path, {"a.py": "x"})), max_bytes=10)
    shards = list(source.shards())
    write(tmp_path, {"a.py": "x" * 11})
    rows, losses = read(source, shards)
    assert (rows, dropped(losses)) == ([], {"a.py": "too_large"})


def test_empty_binary_and_undecodable_files(tmp_path: Path) -> None:
    write(
        tmp_path, {"empty": "", "nul.txt": "a\0b", "latin.txt": b"\xe9", "image.png": "not opened", "one.js": "x" * 9}
    )
    rows, losses = read(Files(path=str(tmp_path)))
    assert [row["path"] for row in rows] == ["one.js"]
    assert dropped(losses) == {"empty": "empty", "nul.txt": "binary", "latin.txt": "undecodable", "image.png": "binary"}


def test_links_are_not_followed(tmp_path: Path) -> None:
    root = write(tmp_path / "root", {"a.py": "a", "sub/b.py": "b"})
    (root / "sub/loop").symlink_to(root)
    (root / "self").symlink_to("self")
    (root / "dangling").symlink_to("nowhere")
    (root / "copy.py").symlink_to("a.py")
    (root / "outside").symlink_to(tmp_path)
    rows, losses = read(Files(path=str(root)))
    assert [row["path"] for row in rows] == ["a.py", "sub/b.py"]
    assert dropped(losses) == dict.fromkeys(["copy.py", "dangling", "outside", "self", "sub/loop"], "symlink")


def test_a_link_that_is_named_itself_is_followed(tmp_path: Path) -> None:
    root = write(tmp_path / "real", {"a.py": "a"})
    (tmp_path / "link").symlink_to(root)
    (tmp_path / "link.py").symlink_to(root / "a.py")
    rows, _ = read(Files(path=[str(tmp_path / "link"), str(tmp_path / "link.py")]))
    assert [(row["repo_name"], row["path"]) for row in rows] == [("link", "a.py"), ("real", "a.py")]


def test_pipes_and_sockets_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"a.py": "a"})
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)  # a socket's name may be 107 bytes long
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        rows, losses = read(Files(path=str(tmp_path)))
    assert [row["path"] for row in rows] == ["a.py"]
    assert dropped(losses) == {"pipe": "not_a_file", "socket": "not_a_file"}


def test_a_pipe_or_a_link_put_in_a_files_place_goes_to_quarantine(tmp_path: Path) -> None:
    source = Files(path=str(write(tmp_path, {"a.py": "a", "b.py": "b", "c.py": "c"})))
    shards = list(source.shards())
    (tmp_path / "a.py").unlink()
    os.mkfifo(tmp_path / "a.py")
    (tmp_path / "b.py").unlink()
    (tmp_path / "b.py").symlink_to("c.py")
    rows, losses = read(source, shards)
    assert [row["path"] for row in rows] == ["c.py"]
    assert [row["path"] for row in losses.quarantined] == ["a.py", "b.py"]


def test_a_file_that_has_gone_goes_to_quarantine(tmp_path: Path) -> None:
    source = Files(path=str(write(tmp_path, {"a.py": "a", "b.py": "b"})))
    shards = list(source.shards())
    (tmp_path / "a.py").unlink()
    rows, losses = read(source, shards)
    assert [row["path"] for row in rows] == ["b.py"]
    (lost,) = losses.quarantined
    assert (lost["path"], lost["error"]) == ("a.py", "No such file or directory")


def test_what_may_not_be_read_goes_to_quarantine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"a.py": "a", "shut/b.py": "b", "c.py": "c"})
    scandir, opened = os.scandir, os.open

    def refuse(call: Any, ending: str) -> Any:
        def wrapped(path: Any, *args: Any) -> Any:
            if str(path).endswith(ending):
                raise PermissionError(13, "Permission denied", path)
            return call(path, *args)

        return wrapped

    monkeypatch.setattr(trees.os, "scandir", refuse(scandir, "shut"))
    monkeypatch.setattr(trees.os, "open", refuse(opened, "c.py"))
    rows, losses = read(Files(path=str(tmp_path)))
    assert [row["path"] for row in rows] == ["a.py"]
    assert {row["path"]: row["error"] for row in losses.quarantined} == {
        "shut": "Permission denied",
        "c.py": "Permission denied",
    }


def test_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.py")).write_text("a")
    (tmp_path / os.fsdecode(b"\xff.png")).write_text("b")
    write(tmp_path, {"café.py": "c"})
    source = Files(path=str(tmp_path))
    shards = list(source.shards())
    for shard in shards:
        json.dumps(shard.at, ensure_ascii=False).encode()
    rows, losses = read(source, pickle.loads(pickle.dumps(shards)))
    assert sorted((row["path"], row["content"]) for row in rows) == [("caf\\xe9.py", "a"), ("café.py", "c")]
    assert dropped(losses) == {"\\xff.png": "binary"}


def test_a_deep_tree(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * 1200)
    made = tmp_path
    for _ in range(40):  # in steps: `mkdir` calls itself
        made = made.joinpath(*["d"] * 30)
        made.mkdir(parents=True)
    (deep / "a.py").write_text("a")
    assert paths(Files(path=str(tmp_path))) == ["d/" * 1200 + "a.py"]
    subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)  # pytest removes folders by calling itself


# --- mistakes ---------------------------------------------------------------------------------------------------


def test_a_path_that_does_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"project/a.py": "a"})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OpError) as error:
        list(Files(path="projct/src").shards())
    assert "`projct/src`" in str(error.value)
    assert str(tmp_path / "projct/src") in str(error.value)
    assert "did you mean `project`?" in str(error.value)


@pytest.mark.parametrize("path", ["", "*.js", "**/*.js", "[x]/*"])
def test_a_path_that_matches_nothing(tmp_path: Path, path: str) -> None:
    write(tmp_path, {"a.txt": "a", ".hidden": "b"})
    (tmp_path / "a.txt").unlink()
    with pytest.raises(OpError, match="matches no file"):
        list(Files(path=str(tmp_path / path)).shards())


def test_a_glob_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(OpError, match="no glob"):
        list(Files(path=f"{tmp_path}/a**b/*").shards())


# --- globs ------------------------------------------------------------------------------------------------------

TREE = {f"{a}{b}": "x" for a in ("", "x/", "x/y/", "xx/", "z/x/y/") for b in ("a.py", "b.py", "a.txt", "ab.py")}


def _glob(pattern: str, root: Path) -> list[str]:
    return glob.glob(pattern, root_dir=root, recursive=True)  # noqa: PTH207 - pathlib's `**` means folders only


@pytest.mark.parametrize(
    "pattern",
    ["*.py", "**/*.py", "x/**/*.py", "*/a.*", "*/*/*.py", "?.py", "[!a].py", "x*/a.py", "**/y/**", "z/*/y/?.txt", "**"],
)
def test_globs_match_as_the_standard_library_does(tmp_path: Path, pattern: str) -> None:
    write(tmp_path, TREE)
    expected = [p for p in _glob(pattern, tmp_path) if (tmp_path / p).is_file()]
    base = pattern[: min(pattern.find(c) for c in "*?[" if c in pattern)].rpartition("/")[0]
    found = [os.path.join(base, path) for path in paths(Files(path=f"{tmp_path}/{pattern}"))]
    assert sorted(found) == sorted(expected)


def test_folders_that_a_glob_matches_are_repositories(tmp_path: Path) -> None:
    write(tmp_path, {"clones/a/x.py": "1", "clones/b/src/y.py": "2", "clones/README": "3", "other/z.py": "4"})
    rows, _ = read(Files(path=f"{tmp_path}/clones/*"))
    found = sorted((row["repo_name"], row["path"]) for row in rows)
    assert found == [("a", "x.py"), ("b", "src/y.py"), ("clones", "README")]


def test_a_name_with_wildcards_is_itself(tmp_path: Path) -> None:
    write(tmp_path, {"[id].py": "a", "i.py": "b"})
    assert paths(Files(path=f"{tmp_path}/[id].py")) == ["[id].py"]


# --- .gitignore -------------------------------------------------------------------------------------------------


def not_ignored(root: Path) -> list[str]:
    """What Git itself would add."""
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    command = ["git", "-c", "core.excludesFile=/dev/null", "ls-files", "-z", "--others", "--exclude-standard"]
    out = subprocess.run(command, cwd=root, check=True, capture_output=True).stdout
    return sorted(path for path in out.decode().split("\0") if path)


def test_ignore_rules(tmp_path: Path) -> None:
    files = [
        "a.tmp",
        "keep.tmp",
        "build/x.py",
        "src/build/y.py",
        "src/a.tmp",
        "src/sub/b.log",
        "src/sub/keep.log",
        "doc/a.txt",
    ]
    write(tmp_path, dict.fromkeys([*files, "src/sub/doc/a.txt", "notes.txt", "src/notes.txt", "a b/c.old"], "x"))
    root_rules = (
        "\ufeff*.tmp\r\n!keep.tmp\r\n/notes.txt\n# comment\nbuild/\n!build/x.py\ndoc/*.txt\n\\!odd\n**/c.old\n!\na\\"
    )
    write(
        tmp_path, {".gitignore": root_rules, "src/.gitignore": "!a.tmp\n*.log\n", "src/sub/.gitignore": "!keep.log\n"}
    )
    assert paths(Files(path=str(tmp_path), gitignore=True, hidden=True)) == not_ignored(tmp_path)
    assert "src/a.tmp" in paths(Files(path=str(tmp_path), gitignore=True))
    assert "a.tmp" not in paths(Files(path=str(tmp_path), gitignore=True))
    assert len(paths(Files(path=str(tmp_path)))) == 12


@pytest.mark.parametrize("seed", range(12))
def test_any_ignore_rules_are_those_of_git(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    names = ["a", "b", "a.py", "b.py", "ab"]
    folders = ["", *(f"{x}/" for x in "pq"), *(f"{x}/{y}/" for x in "pq" for y in "pr")]
    write(tmp_path, {f"{folder}{name}": "x" for folder in folders for name in names})
    pieces = ["a", "b", "p", "q", "r", "*", "*.py", "?", "**", "a*", "[ab]"]
    for folder in chance.sample(folders, 3):
        rules = []
        for _ in range(3):
            rule = "/".join(chance.choices(pieces, k=chance.choice([1, 1, 2, 3])))
            rules.append(
                chance.choice(["", "", "!"]) + chance.choice(["", "", "/"]) + rule + chance.choice(["", "", "/"])
            )
        write(tmp_path, {f"{folder}.gitignore": "\n".join(rules)})
    assert paths(Files(path=str(tmp_path), gitignore=True, hidden=True)) == not_ignored(tmp_path)


# --- shards -----------------------------------------------------------------------------------------------------


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(listing, "SHARD_BYTES", 200_000)
    return write(tmp_path / "many", {f"{n % 7}/{n:04}.py": f"x = {n}\n" * 20 for n in range(1000)})


def test_shards_are_parts_of_the_listing(many: Path) -> None:
    source = Files(path=str(many))
    shards = list(source.shards())
    assert 10 < len(shards) < 60
    assert len({shard.name for shard in shards}) == len(shards)
    rows, _ = read(source, shards)
    assert [row["path"] for row in rows] == sorted(f"{n % 7}/{n:04}.py" for n in range(1000))
    assert sum(shard.bytes for shard in shards) == sum(len(row["content"]) for row in rows)
    assert all(set(shard.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for shard in shards)


@pytest.mark.parametrize("new", ["0/0000_.py", "3/zzz.py", "7/new.py", "README.md"])
def test_a_new_file_touches_one_shard(many: Path, new: str) -> None:
    before = {shard.name: shard.version for shard in Files(path=str(many)).shards()}
    write(many, {new: "new"})
    after = {shard.name: shard.version for shard in Files(path=str(many)).shards()}
    assert sum(after[name] != before.get(name) for name in after) == 1


def test_a_changed_file_touches_one_shard(many: Path) -> None:
    before = {shard.name: shard.version for shard in Files(path=str(many)).shards()}
    path = many / "3/0003.py"
    path.write_text(path.read_text().replace("x", "y"))
    after = {shard.name: shard.version for shard in Files(path=str(many)).shards()}
    assert Counter(before[name] != after[name] for name in before) == {True: 1, False: len(before) - 1}


def test_a_changed_licence_touches_the_shards_below_it(many: Path) -> None:
    write(many, {"3/LICENSE": "MIT"})
    before = {shard.name: shard for shard in Files(path=str(many)).shards()}
    write(many, {"3/LICENSE": "ISC License"})
    after = {shard.name: shard for shard in Files(path=str(many)).shards()}
    below = {name for name, shard in after.items() if any(path.startswith("3/") for path in shard.at["files"])}
    assert {name for name in after if before[name].version != after[name].version} == below
    assert len(below) > 1


def test_a_tree_may_be_moved(many: Path) -> None:
    before = {shard.name: shard.version for shard in Files(path=str(many)).shards()}
    (many.parent / "elsewhere").mkdir()
    many.rename(many.parent / "elsewhere/many")
    after = {shard.name: shard.version for shard in Files(path=str(many.parent / "elsewhere/many")).shards()}
    assert after == before


def test_two_trees_of_one_name_have_their_own_shards(tmp_path: Path) -> None:
    write(tmp_path, {"a/src/x.py": "1", "b/src/x.py": "2"})
    source = Files(path=[str(tmp_path / "a/src"), str(tmp_path / "b/src")])
    assert len({shard.name for shard in source.shards()}) == 2
    globbed = Files(path=f"{tmp_path}/*/src")
    assert len({shard.name for shard in globbed.shards()}) == 2
    assert [row["content"] for row in read(globbed)[0]] == ["1", "2"]


# --- remote -----------------------------------------------------------------------------------------------------


@pytest.fixture
def remote() -> Any:
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]
    files = {"a.py": b"a", "sub/b.py": b"b\r\n", "sub/deep/c.py": b"c", "sub/.hidden": b"d", "large.txt": b"x" * 99}
    for name, data in {**files, "empty.txt": b"", "nul": b"\0", "skip.log": b"e", ".gitignore": b"*.log\n"}.items():
        fs.pipe_file(f"/bucket/{name}", data)
    yield "memory://bucket"
    fs.store.clear()


def test_a_remote_tree(remote: str) -> None:
    source = Files(path=remote, max_bytes=98, gitignore=True)
    rows, losses = read(source)
    assert [row["path"] for row in rows] == ["a.py", "sub/b.py", "sub/deep/c.py"]
    assert {row["repo_name"] for row in rows} == {"bucket"}
    assert dropped(losses) == {"empty.txt": "empty", "large.txt": "too_large", "nul": "binary"}


def test_remote_globs_and_files(remote: str) -> None:
    assert paths(Files(path=f"{remote}/**/*.py")) == ["a.py", "sub/b.py", "sub/deep/c.py"]
    assert paths(Files(path=f"{remote}/*.py")) == ["a.py"]
    assert paths(Files(path=f"{remote}/sub/b.py")) == ["b.py"]
    rows, _ = read(Files(path=f"{remote}/su*"))
    assert [(row["repo_name"], row["path"]) for row in rows] == [("sub", "b.py"), ("sub", "deep/c.py")]


def test_remote_mistakes(remote: str) -> None:
    with pytest.raises(OpError, match=r"did you mean `sub`\?"):
        list(Files(path=f"{remote}/sup").shards())
    with pytest.raises(OpError, match="matches no file"):
        list(Files(path=f"{remote}/*.js").shards())


def test_a_remote_file_that_has_gone_goes_to_quarantine(remote: str) -> None:
    source = Files(path=remote)
    shards = list(source.shards())
    fsspec.filesystem("memory").rm("/bucket/sub/b.py")
    rows, losses = read(source, shards)
    assert "sub/b.py" not in {row["path"] for row in rows}
    assert [row["path"] for row in losses.quarantined] == ["sub/b.py"]
