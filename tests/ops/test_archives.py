"""Archives: what packages say of themselves, Debian sources as one package, every fate of archives and members."""

from __future__ import annotations

import gzip
import json
import lzma
import pickle
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fsspec
import pytest
from archive_makers import MAKERS, gem, special, tar, zipped

from engine.errors import OpError
from engine.op import Losses, Shard
from ops import archives
from ops.archives import Archives

METADATA = "Metadata-Version: 2.1\nName: Thing\nVersion: 1.2\nLicense-Expression: BSD-3-Clause\n\nLong text\n"


def write(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def read(source: Archives, shards: list[Shard] | None = None) -> tuple[list[dict[str, Any]], Losses]:
    losses = Losses()
    found = list(source.shards()) if shards is None else shards
    return [row for shard in found for batch in source.read(shard, losses) for row in batch.to_pylist()], losses


def one(tmp_path: Path, name: str, data: bytes, **given: Any) -> tuple[list[dict[str, Any]], Losses]:
    write(tmp_path, {name: data})
    return read(Archives(path=str(tmp_path / name), **given))


def said(rows: list[dict[str, Any]]) -> set[tuple[str | None, str | None, str | None]]:
    return {(row["repo_name"], row["revision_id"], row["license"]) for row in rows}


def dropped(losses: Losses) -> dict[str, str]:
    return {row["path"]: row["reason"] for row in losses.dropped}


# --- packages ---------------------------------------------------------------------------------------------------


def test_a_wheel(tmp_path: Path) -> None:
    files = {"thing/a.py": "a", "thing-1.2.dist-info/METADATA": METADATA, "thing-1.2.dist-info/RECORD": "x"}
    rows, losses = one(tmp_path, "thing-1.2-py3-none-any.whl", zipped({**files, "thing/_c.so": "elf"}))
    assert [row["path"] for row in rows] == list(files)
    assert said(rows) == {("Thing", "1.2", "BSD-3-Clause")}
    assert dropped(losses) == {"thing/_c.so": "binary"}


@pytest.mark.parametrize("ending", ["tar.gz", "zip"])
def test_an_sdist(tmp_path: Path, ending: str) -> None:
    files = {
        "thing-1.2/PKG-INFO": METADATA,
        "thing-1.2/src/thing.py": "x",
        "thing-1.2/thing.egg-info/PKG-INFO": "Name: y",
    }
    rows, _ = one(tmp_path, f"thing-1.2.{ending}", MAKERS[ending](files))
    assert [row["path"] for row in rows] == ["PKG-INFO", "src/thing.py", "thing.egg-info/PKG-INFO"]
    assert said(rows) == {("Thing", "1.2", "BSD-3-Clause")}


def test_an_npm_package(tmp_path: Path) -> None:
    package = {"name": "@me/thing", "version": "3.0.0", "license": "MIT"}
    files = {
        "package/package.json": json.dumps(package),
        "package/lib/x.js": "x",
        "package/node_modules/y/package.json": "{}",
    }
    rows, _ = one(tmp_path, "me-thing-3.0.0.tgz", MAKERS["tgz"](files))
    assert [row["path"] for row in rows] == ["package.json", "lib/x.js", "node_modules/y/package.json"]
    assert said(rows) == {("@me/thing", "3.0.0", "MIT")}


def test_a_crate(tmp_path: Path) -> None:
    manifest = '[package]\nname = "thing"\nversion = "0.1.0"\nlicense = "MIT/Apache-2.0"\n'
    rows, _ = one(tmp_path, "thing-0.1.0.crate", MAKERS["crate"]({"thing-0.1.0/Cargo.toml": manifest}))
    assert said(rows) == {("thing", "0.1.0", "MIT OR Apache-2.0")}


def test_a_gem(tmp_path: Path) -> None:
    spec = "--- !ruby/object:Gem::Specification\nname: thing\nversion: !ruby/object:Gem::Version\n  version: '2.0'\n"
    rows, losses = one(tmp_path, "thing-2.0.gem", gem({"lib/thing.rb": "x"}, spec + "licenses:\n- MIT\nrdoc: x\n"))
    assert [row["path"] for row in rows] == ["lib/thing.rb"]
    assert said(rows) == {("thing", "2.0", "MIT")}
    assert dropped(losses) == {"metadata.gz": "binary"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("some-thing-1.0.tar.gz", ("some-thing", "1.0")),
        ("thing-2d-v1.0rc1.tar.gz", ("thing-2d", "1.0rc1")),
        ("ggplot2_3.4.0.tar.gz", ("ggplot2", "3.4.0")),
        ("repo-" + "0f" * 20 + ".zip", ("repo", "0f" * 20)),
        ("just-a-name.tar.gz", ("just-a-name", None)),
        ("curl_7.88.1.orig.tar.gz", ("curl", "7.88.1")),
    ],
)
def test_without_metadata_the_file_name_speaks(tmp_path: Path, name: str, expected: tuple[str, str | None]) -> None:
    ending = "zip" if name.endswith(".zip") else "tar.gz"
    rows, _ = one(tmp_path, name, MAKERS[ending]({"x/a.py": "a"}))
    assert said(rows) == {(*expected, None)}


def test_broken_metadata_says_nothing(tmp_path: Path) -> None:
    rows, losses = one(tmp_path, "thing-1.0.tgz", MAKERS["tgz"]({"package/package.json": "{", "package/a.js": "a"}))
    assert said(rows) == {("thing", "1.0", None)}
    assert not losses.quarantined


def test_a_folder_that_holds_all_is_left_out_of_paths(tmp_path: Path) -> None:
    def found(files: Mapping[str, str]) -> list[str]:
        return [row["path"] for row in one(tmp_path, "x.zip", zipped(files))[0]]

    assert found({"top/a.py": "a", "top/sub/b.py": "b"}) == ["a.py", "sub/b.py"]
    assert found({"top/a.py": "a", "other/b.py": "b"}) == ["top/a.py", "other/b.py"]
    assert found({"top/a.py": "a", "b.py": "b"}) == ["top/a.py", "b.py"]


def test_licence_files_are_known_before_the_first_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cc0 = "SPDX-License-Identifier: CC0-1.0\n"
    files = {"p/a.py": "a" * 1000, "p/vendor/x/b.py": "b", "p/z.py": "z", "p/LICENSE": cc0}
    whole, _ = one(tmp_path, "p-1.tar.gz", MAKERS["tar.gz"](files))
    assert {row["license"] for row in whole} == {"CC0-1.0"}
    monkeypatch.setattr(archives, "_HELD", 500)
    assert read(Archives(path=str(tmp_path)))[0] == whole  # read twice, when it is large


# --- Debian sources ---------------------------------------------------------------------------------------------


def debian(folder: Path) -> Path:
    dsc = "Format: 3.0 (quilt)\nSource: thing\nFiles:\n" + "".join(
        f" {'0' * 32} 1 {name}\n"
        for name in ("thing_1.0.orig.tar.gz", "thing_1.0.orig-docs.tar.xz", "thing_1.0-2.debian.tar.xz")
    )
    changelog = "thing (1:1.0-2) unstable; urgency=low\n\n  * New.\n"
    return write(
        folder,
        {
            "thing_1.0.orig.tar.gz": gzip.compress(
                tar({"thing-upstream/main.c": "int x;", "thing-upstream/package.json": "{}"})
            ),
            "thing_1.0.orig.tar.gz.asc": b"signature",
            "thing_1.0.orig-docs.tar.xz": lzma.compress(tar({"documents/index.md": "# x"})),
            "thing_1.0-2.debian.tar.xz": lzma.compress(tar({"debian/changelog": changelog, "debian/rules": "all:"})),
            "thing_1.0-2.dsc": dsc.encode(),
        },
    )


@pytest.mark.parametrize("path", ["", "thing_1.0-2.dsc"])
def test_a_debian_source_is_one_package(tmp_path: Path, path: str) -> None:
    source = Archives(path=str(debian(tmp_path) / path))
    assert len(list(source.shards())) == 1
    rows, losses = read(source)
    assert sorted(row["path"] for row in rows) == [
        "debian/changelog",
        "debian/rules",
        "docs/index.md",
        "main.c",
        "package.json",
    ]
    assert said(rows) == {("thing", "1:1.0-2", None)}
    assert not losses.quarantined


def test_a_part_of_a_debian_source_that_is_missing_is_told(tmp_path: Path) -> None:
    (debian(tmp_path) / "thing_1.0.orig-docs.tar.xz").unlink()
    rows, losses = read(Archives(path=str(tmp_path)))
    assert len(rows) == 4
    assert [row["path"] for row in losses.quarantined] == ["thing_1.0.orig-docs.tar.xz"]


def test_two_revisions_share_what_is_upstream(tmp_path: Path) -> None:
    debian(tmp_path)
    write(tmp_path, {"thing_1.0-3.debian.tar.xz": lzma.compress(tar({"debian/rules": "none:"}))})
    rows, _ = read(Archives(path=str(tmp_path)))
    assert {row["revision_id"] for row in rows if row["path"] == "main.c"} == {"1:1.0-2", "1.0-3"}


def test_a_native_source_and_one_without_debian_files(tmp_path: Path) -> None:
    write(tmp_path, {"nat_2.tar.xz": lzma.compress(tar({"nat/debian/changelog": "nat (2) x; y\n", "nat/a.c": "a"}))})
    write(tmp_path, {"nat_2.dsc": b"Files:\n " + b"0" * 32 + b" 1 nat_2.tar.xz\n"})
    write(tmp_path, {"up_3.orig.tar.gz": gzip.compress(tar({"u/a.c": "a"}))})
    write(tmp_path, {"up_3.orig-part.tar.gz": gzip.compress(tar({"v/b.c": "b"}))})
    rows, _ = read(Archives(path=str(tmp_path)))
    found = {(row["repo_name"], row["revision_id"], row["path"]) for row in rows}
    assert found == {("nat", "2", "debian/changelog"), ("nat", "2", "a.c"), ("up", "3", "a.c"), ("up", "3", "part/b.c")}


# --- fates ------------------------------------------------------------------------------------------------------


def test_fates_of_members(tmp_path: Path) -> None:
    files = {
        "a.py": "a",
        "empty": "",
        "nul": "a\0b",
        "latin": b"\xe9",
        "big.txt": "x" * 101,
        "big.png": "x" * 101,
        "u.txt": "ü",
    }
    data = tar(files, special("link", tarfile.SYMTYPE, "a.py"), special("dev", tarfile.CHRTYPE))
    rows, losses = one(tmp_path, "x.tar", data, max_bytes=100)
    assert [row["path"] for row in rows] == ["a.py", "u.txt"]
    assert dropped(losses) == {
        "empty": "empty",
        "nul": "binary",
        "latin": "undecodable",
        "big.txt": "too_large",
        "big.png": "binary",
        "link": "symlink",
        "dev": "not_a_file",
    }
    assert {row["path"]: row["score"] for row in losses.dropped}["big.txt"] == 101


def test_a_broken_archive_goes_to_quarantine_and_others_are_read(tmp_path: Path) -> None:
    whole = gzip.compress(tar({"a/x.py": "x" * 20_000, "a/y.py": "y" * 20_000}))
    write(
        tmp_path, {"good-1.zip": zipped({"a.py": "a"}), "cut-1.tar.gz": whole[: len(whole) - 20], "no-1.whl": b"no zip"}
    )
    rows, losses = read(Archives(path=str(tmp_path)))
    assert {row["path"] for row in rows} >= {"a.py", "x.py"}
    assert {row["path"] for row in losses.quarantined} == {"cut-1.tar.gz", "no-1.whl"}


def test_a_broken_member_goes_to_quarantine_by_itself(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.py": "a" * 50, "b.py": "b" * 50, "c.py": "c" * 50}, 0))
    data[data.index(b"b" * 50)] ^= 1
    rows, losses = one(tmp_path, "x.zip", bytes(data))
    assert [row["path"] for row in rows] == ["a.py", "c.py"]
    assert [row["path"] for row in losses.quarantined] == ["b.py"]


def test_an_archive_that_has_gone_goes_to_quarantine(tmp_path: Path) -> None:
    write(tmp_path, {"a.zip": zipped({"a.py": "a"}), "b.zip": zipped({"b.py": "b"})})
    source = Archives(path=str(tmp_path))
    shards = list(source.shards())
    (tmp_path / "a.zip").unlink()
    rows, losses = read(source, shards)
    assert [row["path"] for row in rows] == ["b.py"]
    assert [(row["path"], row["error"]) for row in losses.quarantined] == [("a.zip", "No such file or directory")]


@pytest.mark.parametrize("held", [0, 1 << 25])
def test_read_is_kept_and_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    monkeypatch.setattr(archives, "_HELD", held)
    files = {f"p/{n}.txt": "x" * n if n % 3 else b"\xff" * (n % 2) for n in range(60)}
    for ending, make in MAKERS.items():
        write(tmp_path / "all", {f"p{len(ending)}.{ending}": make(files)})
    rows, losses = read(Archives(path=str(tmp_path / "all")))
    assert not losses.quarantined
    lost = [row for row in losses.dropped if row["path"] != "metadata.gz"]
    assert len(rows) + len(lost) == 60 * len(MAKERS)


# --- finding ----------------------------------------------------------------------------------------------------


def test_folders_globs_and_lists(tmp_path: Path) -> None:
    archive = zipped({"a.py": "a"})
    write(tmp_path, {"a.zip": archive, "sub/b.whl": archive, "c.txt": b"", "d.rpm": b""})
    assert len(list(Archives(path=str(tmp_path)).shards())) == 2
    assert len(list(Archives(path=f"{tmp_path}/*.*").shards())) == 1
    assert len(list(Archives(path=[f"{tmp_path}/a.zip", f"{tmp_path}/sub"]).shards())) == 2


def test_one_shard_an_archive(tmp_path: Path) -> None:
    source = Archives(path=str(write(tmp_path, {f"{n}.zip": zipped({"a.py": f"{n}"}) for n in range(5)})))
    before = {shard.name: shard.version for shard in source.shards()}
    write(tmp_path, {"3.zip": zipped({"b.py": "longer"}), "new.zip": zipped({"a.py": "a"})})
    after = {shard.name: shard.version for shard in source.shards()}
    assert sum(before.get(name) != version for name, version in after.items()) == 2
    assert pickle.loads(pickle.dumps(list(source.shards()))) == list(source.shards())


def test_a_path_that_does_not_exist(tmp_path: Path) -> None:
    write(tmp_path, {"downloads/a.zip": b""})
    with pytest.raises(OpError, match=r"did you mean `downloads`\?"):
        list(Archives(path=str(tmp_path / "download")).shards())


@pytest.mark.parametrize("path", ["", "*.zip", "a.txt"])
def test_a_path_without_archives(tmp_path: Path, path: str) -> None:
    write(tmp_path, {"a.txt": b"a"})
    with pytest.raises(OpError, match=r"no archive|no file"):
        list(Archives(path=str(tmp_path / path)).shards())


def test_remote_archives() -> None:
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    fs.pipe_file("/bucket/a-1.0.zip", zipped({"a-1.0/a.py": "a"}))
    fs.pipe_file("/bucket/sub/b-2.0.tar.xz", lzma.compress(tar({"b-2.0/b.py": "b"})))
    rows, losses = read(Archives(path="memory://bucket"))
    assert {(row["repo_name"], row["revision_id"], row["path"]) for row in rows} == {
        ("a", "1.0", "a.py"),
        ("b", "2.0", "b.py"),
    }
    assert not losses.quarantined
    with pytest.raises(OpError, match="does not exist"):
        list(Archives(path="memory://bucket/c.zip").shards())
    fs.store.clear()
