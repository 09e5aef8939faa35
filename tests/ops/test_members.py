"""Members of archives: all kinds read alike, what is broken is told, nothing is raised, bombs stay small."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import struct
import tarfile
import zipfile

import pytest
import zstandard
from archive_makers import MAKERS, Files, special, tar, zipped

from ops import members as subject
from ops.members import Member, members, safe_path

FILES: Files = {
    "p/a.py": "a = 1\n",
    "p/sub/b.txt": "b" * 3000,
    "p/empty": "",
    "p/ünï/日本.py": "ü",
    "p/" + "l" * 200: "long",
}


def read(ending: str, data: bytes, max_bytes: int = 1 << 20, **given: object) -> list[Member]:
    return list(members(f"x.{ending}", io.BytesIO(data), len(data), max_bytes, given.get("wanted", lambda path: True)))  # type: ignore[arg-type]


def contents(found: list[Member]) -> dict[str, bytes | None]:
    assert not [m.error for m in found if m.error]
    return {m.path: m.data for m in found if m.path != "metadata.gz"}


@pytest.mark.parametrize("ending", MAKERS)
def test_every_kind_is_read(ending: str) -> None:
    assert contents(read(ending, MAKERS[ending](FILES))) == {p: str(c).encode() for p, c in FILES.items()}


@pytest.mark.parametrize("ending", MAKERS)
def test_large_members_are_not_read(ending: str) -> None:
    found = read(ending, MAKERS[ending](FILES), max_bytes=2999)
    assert [(m.path, m.size) for m in found if m.reason == "too_large"] == [("p/sub/b.txt", 3000)]
    assert next(m for m in found if m.path == "p/sub/b.txt").data is None


@pytest.mark.parametrize("ending", MAKERS)
def test_only_wanted_members_are_read(ending: str) -> None:
    found = read(ending, MAKERS[ending](FILES), wanted=lambda path: path.endswith(".py"))
    assert {m.path for m in found if m.data is not None} == {"p/a.py", "p/ünï/日本.py"}
    assert {m.path for m in found} == set(FILES)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_form_of_tar_is_read(form: int) -> None:
    name = "/".join(["folder" * 8] * 3)
    assert contents(read("tar", tar({f"{name}/a.py": "a"}, form=form))) == {f"{name}/a.py": b"a"}


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_compression_of_zip_is_read(compression: int) -> None:
    assert contents(read("zip", zipped({"a.py": "a" * 999}, compression))) == {"a.py": b"a" * 999}


@pytest.mark.parametrize(
    ("ending", "pack"),
    [("tar.gz", gzip.compress), ("tar.bz2", bz2.compress), ("tar.xz", lzma.compress), ("tar.zst", zstandard.compress)],
)
def test_a_file_of_several_streams_is_read_to_its_end(ending: str, pack: object) -> None:
    whole = tar({f"{n}.txt": str(n) * 2000 for n in range(9)})
    parts = b"".join(pack(whole[n : n + 5000]) for n in range(0, len(whole), 5000))  # type: ignore[operator]
    assert len(contents(read(ending, parts))) == 9


def test_links_and_devices_are_left_out() -> None:
    data = tar(
        {"a.py": "a"},
        special("to.py", tarfile.SYMTYPE, "a.py"),
        special("hard.py", tarfile.LNKTYPE, "a.py"),
        special("pipe", tarfile.FIFOTYPE),
        special("dev", tarfile.CHRTYPE),
        special("folder", tarfile.DIRTYPE),
    )
    found = {m.path: m.reason for m in read("tar", data)}
    assert found == {
        "a.py": None,
        "to.py": "symlink",
        "hard.py": "hard_link",
        "pipe": "not_a_file",
        "dev": "not_a_file",
    }


def test_links_in_a_zip_are_left_out() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("folder/", "")
        for name, mode in (("link", 0o120777), ("pipe", 0o010644), ("file", 0o100644)):
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, "target")
    assert {m.path: m.reason for m in read("zip", out.getvalue())} == {
        "link": "symlink",
        "pipe": "not_a_file",
        "file": None,
    }


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("/etc/passwd", "etc/passwd"),
        ("../../x", "x"),
        ("a/../b", "a/b"),
        ("./a//b", "a/b"),
        ("C:/x/y", "x/y"),
        ("..", ""),
        ("a/..b", "a/..b"),
    ],
)
def test_names_are_made_safe(name: str, safe: str) -> None:
    assert safe_path(name) == safe
    for ending in ("tar", "zip"):
        assert [m.path for m in read(ending, MAKERS[ending]({name: "x"}))] == ([safe] if safe else [])


def test_names_in_a_zip() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, system in (("a\\b.py", 0), ("c\\d.py", 3)):
            info = zipfile.ZipInfo("x")
            info.filename, info.create_system = name, system
            archive.writestr(info, "x")
    assert [m.path for m in read("zip", out.getvalue())] == ["a/b.py", "c\\d.py"]


@pytest.mark.parametrize(("raw", "name"), [("日本.py".encode(), "日本.py"), (b"\x81.py", "ü.py")])
def test_names_without_the_flag_for_utf8(raw: bytes, name: str) -> None:
    data = zipped({"x" * len(raw): "x"}).replace(b"x" * len(raw), raw)
    assert data.count(raw) == 2
    assert [m.path for m in read("zip", data)] == [name]


# --- broken -----------------------------------------------------------------------------------------------------


def test_a_member_with_a_wrong_checksum_is_broken_alone() -> None:
    data = bytearray(zipped({"a.py": "a" * 50, "b.py": "b" * 50, "c.py": "c" * 50}, zipfile.ZIP_STORED))
    data[data.index(b"b" * 50)] ^= 1
    found = read("zip", bytes(data))
    assert [(m.path, m.data is not None) for m in found] == [("a.py", True), ("b.py", False), ("c.py", True)]
    assert "CRC" in str(found[1].error)


def test_an_encrypted_member_is_broken_alone() -> None:
    data = bytearray(zipped({"a.py": "a", "b.py": "b"}))
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(magic) + flags] |= 1
    found = read("zip", bytes(data))
    assert [(m.path, m.data) for m in found] == [("a.py", None), ("b.py", b"b")]
    assert "encrypted" in str(found[0].error)


def test_a_member_that_is_larger_than_it_says_is_broken() -> None:
    data = zipped({"a.py": "a" * 5000})
    lying = data.replace(struct.pack("<L", 5000), struct.pack("<L", 10))
    (found,) = read("zip", lying, max_bytes=100)
    assert found.data is None
    assert "CRC" in str(found.error)


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst"])
def test_a_truncated_archive_gives_what_is_there(ending: str) -> None:
    noise = {f"{n}.txt": random.Random(n).randbytes(200_000).hex() for n in "abc"}
    data = MAKERS[ending](noise)
    found = read(ending, data[: int(len(data) * 0.85)])
    assert [(m.path, m.data) for m in found[:-1]] == [(p, noise[p].encode()) for p in ("a.txt", "b.txt")]
    assert found[-1].path == ""
    assert "c.txt" in str(found[-1].error)


def test_a_broken_header_ends_a_tar_with_an_error() -> None:
    data = bytearray(tar({"a.txt": "a", "b.txt": "b", "c.txt": "c"}))
    data[1024:1500] = b"\x55" * 476
    found = read("tar", bytes(data))
    assert [(m.path, m.data) for m in found] == [("a.txt", b"a"), ("", None)]
    assert "header" in str(found[1].error)


@pytest.mark.parametrize("ending", MAKERS)
@pytest.mark.parametrize("data", [b"", b"not an archive at all" * 100])
def test_what_is_no_archive_is_told(ending: str, data: bytes) -> None:
    (found,) = read(ending, data)
    assert found.path == ""
    assert found.error


@pytest.mark.parametrize("ending", MAKERS)
def test_no_damage_raises(ending: str) -> None:
    whole = MAKERS[ending](FILES)
    chance = random.Random(ending)
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(chance.choice([1, 3, 20])):
            data[chance.randrange(len(data))] = chance.randrange(256)
        end = chance.choice([len(data), len(data), chance.randrange(len(data))])
        for member in read(ending, bytes(data[:end])):
            assert member.path or member.error
            assert not member.path.startswith("/")
            assert ".." not in member.path.split("/")


# --- bombs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["tar.gz", "tar.bz2", "tar.xz", "tar.zst", "zip"])
def test_what_unpacks_to_far_too_much_is_broken(ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "_MOST", (1 << 20, 10))
    found = read(ending, MAKERS[ending]({f"{n}.txt": "\x20" * 100_000 for n in range(40)}))
    assert found[-1].path == ""
    assert "far more" in str(found[-1].error)
    assert 8 < len(found) < 20


def test_a_header_that_claims_gigabytes_is_broken() -> None:
    name = tarfile.TarInfo("././@LongLink")
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 8 << 30
    (found,) = read("tar", name.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
    assert "claims" in str(found.error)


def test_a_header_of_negative_size_is_broken() -> None:
    name = tarfile.TarInfo("a")
    name.size = -512
    (found,) = read("tar", name.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
    assert found.path == ""
    assert found.error


def test_an_xz_that_asks_for_much_memory_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "_DICTIONARY", 1 << 20)
    data = lzma.compress(tar({"a.txt": "a"}), preset=9)
    (found,) = read("tar.xz", data)
    assert "memory" in str(found.error).lower()
