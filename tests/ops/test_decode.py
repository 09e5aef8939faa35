"""Bytes to text: what is text, what is not and why; Python's own codecs are the oracle."""

from __future__ import annotations

import codecs

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.op import Losses
from ops import decode
from ops.decode import RawFile, batches, decode_file, documents, has_binary_ending, safe_name

EDGES = [
    *(
        b"a",
        b"\n",
        b"\r\n",
        b"\0",
        b"x" * 63,
        b"y" * 64,
        b"\xc3\xa4",
        b"\xe4\xb8\xad",
        b"\xf0\x9f\x98\x80",
        b"\xef\xb7\x90",
    ),
    *(
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xe0\x9f\xbf",
        b"\xed\xa0\x80",
        b"\xed\x9f\xbf",
        b"\xee\x80\x80",
        b"\xf0\x8f\xbf\xbf",
    ),
    *(
        b"\xf4\x8f\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\x80",
        b"\xc3",
        b"\xe4\xb8",
        b"\xf0\x9f\x98",
        b"\xff",
    ),
    *(
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\xfe\xff",
        b"\xff\xfe\0\0",
        b"\0\0\xfe\xff",
        b"# coding: latin-1\n",
        b"\x85",
        b"\xe9",
    ),
]
any_bytes = st.one_of(st.binary(max_size=200), st.lists(st.sampled_from(EDGES), max_size=12).map(b"".join))


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


# --- the laws ---------------------------------------------------------------------------------------------------


@given(any_bytes)
def test_a_file_has_a_text_or_a_reason(data: bytes) -> None:
    text, reason = decode_file(data)
    assert (text is None) != (reason is None)
    if text is None:
        assert reason in decode.REASONS
    else:
        assert text
        assert "\0" not in text
        text.encode()  # no lone surrogates


@given(any_bytes)
def test_utf8_is_itself(data: bytes) -> None:
    if is_utf8(data) and b"\0" not in data:
        expected = data.decode().removeprefix("\ufeff")
        assert decode_file(data) == ((expected, None) if expected else (None, "empty"))


@given(st.lists(any_bytes, max_size=8), st.integers(0, 3), st.sampled_from([pa.binary(), pa.large_binary()]))
@example([b"caf\xc3", b"\xa9"], 0, pa.binary())
@example([b"x" * 64 + b"\xc3\xa9", b"y" * 61 + b"\xe4\xb8\xad"], 0, pa.binary())
def test_a_column_is_decoded_as_each_file_is(files: list[bytes], start: int, kind: pa.DataType) -> None:
    content, reasons = decode.decode(pa.array(files, kind).slice(start))
    content.validate(full=True)
    found = list(zip(content.to_pylist(), reasons.to_pylist(), strict=True))
    assert found == [decode_file(data) for data in files[start:]]


def test_nulls_in_a_column_are_empty() -> None:
    content, reasons = decode.decode(pa.array([b"a", None, b"b"]))
    assert content.to_pylist() == ["a", None, "b"]
    assert reasons.to_pylist() == [None, "empty", None]


def test_all_text_is_not_copied() -> None:
    column = pa.array([b"x = 1\n", "täst".encode()], pa.large_binary())
    content, _ = decode.decode(column)
    assert content.buffers()[2].address == column.buffers()[2].address


@given(st.lists(any_bytes, max_size=8))
def test_read_is_kept_and_lost(files: list[bytes]) -> None:
    losses = Losses()
    batch = documents([RawFile(f"{n}.txt", data) for n, data in enumerate(files)], losses, "repo", "1.0")
    kept = batch.column("path").to_pylist()
    lost = [row["path"] for row in losses.dropped]
    assert sorted(kept + lost) == sorted(f"{n}.txt" for n in range(len(files)))
    assert not losses.quarantined
    assert kept == sorted(kept)


# --- fates ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (codecs.BOM_UTF8, "empty"),
        (codecs.BOM_UTF16_LE, "empty"),
        (b"text\0text", "binary"),
        (b"\x89PNG\r\n\x1a\n", "binary"),
        (b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n# coding: latin-1", "binary"),
        (b"\x1f\x8b\x08\xff", "binary"),
        (codecs.BOM_UTF16_LE + b"a", "undecodable"),
        (codecs.BOM_UTF16_LE + b"\x00\xd8", "binary"),  # a lone surrogate beside a NUL
        (codecs.BOM_UTF16_BE + b"\xd8\x41", "undecodable"),  # a lone surrogate
        (codecs.BOM_UTF16_LE + b"a\0\0\0", "binary"),  # U+0000
        (codecs.BOM_UTF8 + b"\xff", "undecodable"),
        ("naïve".encode("latin-1"), "undecodable"),
        (b"\xed\xa0\x80", "undecodable"),  # a surrogate in UTF-8
    ],
)
def test_fate(data: bytes, reason: str) -> None:
    assert decode_file(data) == (None, reason)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_decides_and_goes(encoding: str) -> None:
    assert decode_file("x = 'ä😀'\r\n".encode(encoding)) == ("x = 'ä😀'\r\n", None)


@pytest.mark.parametrize(("mark", "encoding"), [(codecs.BOM_UTF16_BE, "utf-16-be"), (codecs.BOM_UTF32_BE, "utf-32-be")])
def test_big_endian(mark: bytes, encoding: str) -> None:
    assert decode_file(mark + "ä\n".encode(encoding)) == ("ä\n", None)


def test_line_ends_stay() -> None:
    assert decode_file(b"a\r\nb\rc\n") == ("a\r\nb\rc\n", None)


def test_a_gigantic_line_is_a_document() -> None:
    (batch,) = batches([RawFile("one_line.js", b"x" * (5 << 20))], Losses())
    assert batch.column("content")[0].as_py() == "x" * (5 << 20)


DECLARED = [
    ("# -*- coding: latin-1 -*-\nx = 'é'\n", "latin-1"),
    ("#!/usr/bin/python\n# vim: set fileencoding=koi8-r :\nx = 'Привет'\n", "koi8-r"),
    (";; -*- mode: lisp; coding: euc-jp-unix -*-\n(日本)\n", "euc-jp"),
    ("/* vim: fenc=cp1251 */ /* Привет */\n", "cp1251"),
    ("int x; /* é */\n\n\n// vim: set fenc=latin1 ts=4:\n", "latin-1"),
    ('<?xml version="1.0" encoding="windows-1252"?>\n<a>é “x”</a>\n', "cp1252"),
    ("<?xml version='1.0' encoding='GB2312' ?><a>中文</a>", "gb2312"),
    ('<html><head><meta charset="shift_jis"></head>テスト</html>', "shift_jis"),
    ('<meta http-equiv="Content-Type" content="text/html; charset=iso-8859-2">Łódź', "iso-8859-2"),
    ('@charset "iso-8859-15";\na::after { content: "€" }\n', "iso-8859-15"),
    ('" Keymap\n\nscriptencoding cp1250\nlet x = "žš"\n', "cp1250"),
    ('msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=EUC-KR\\n"\n"한국"\n', "euc-kr"),
]


@pytest.mark.parametrize(("text", "encoding"), DECLARED, ids=[encoding for _, encoding in DECLARED])
def test_a_declared_encoding_counts(text: str, encoding: str) -> None:
    assert decode_file(text.encode(encoding)) == (text, None)


@pytest.mark.parametrize(("text", "encoding"), DECLARED, ids=[encoding for _, encoding in DECLARED])
def test_utf8_goes_before_what_is_declared(text: str, encoding: str) -> None:
    assert decode_file(text.encode()) == (text, None)


@pytest.mark.parametrize(
    "data",
    [
        b"# coding: utf-8\nx = '\xe9'\n",  # it says so, and it is not
        b"# coding: ascii\nx = '\xe9'\n",
        b"# coding: latin-1\nx = '\x93\xe9'\n",  # a C1 control: it is cp1252 at best
        b"# coding: cp1252\nx = '\x81'\n",  # not in the code page
        b"# coding: no-such-codec\nx = '\xe9'\n",
        b"# coding: rot13\nx = '\xe9'\n",  # no text encoding
        b"# coding: unicode_escape\nx = '\xe9'\n",
        b"# coding: utf-7\nx = '\xe9'\n",
        b"# coding: punycode\nx = '\xe9'\n",
        b"1\n2\n# coding: latin-1\nx = '\xe9'\n",  # too far down
        b'<?xml version="1.0" encoding="latin-1"?><meta charset="koi8-r">\xe9',  # contradicts itself
        b"# coding: shift_jis\nx = '\xfd\xfd'\n",
        b"# coding: " + b"x" * 10000 + b"\xe9",
    ],
)
def test_what_is_not_certain_is_not_decoded(data: bytes) -> None:
    assert decode_file(data) == (None, "undecodable")


def test_two_names_of_one_encoding_agree() -> None:
    assert decode_file(b'<?xml version="1.0" encoding="latin1"?><meta charset="iso-8859-1">\xe9')[1] is None


@pytest.mark.parametrize("encoding", sorted(decode._ENCODINGS))
def test_declarable_encodings_extend_ascii(encoding: str) -> None:
    assert codecs.lookup(encoding).name == encoding
    plain = bytes(range(0x20, 0x7F))
    assert plain.decode(encoding) == plain.decode("ascii")


def test_lfs_pointers_are_no_files() -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n"
    losses = Losses()
    batch = documents([RawFile("model.json", pointer), RawFile("a.py", b"x = 1\n")], losses, "repo")
    assert batch.column("path").to_pylist() == ["a.py"]
    assert losses.dropped == [
        {"path": "model.json", "repo_name": "repo", "reason": "lfs_pointer", "score": len(pointer)}
    ]


# --- documents --------------------------------------------------------------------------------------------------


def test_columns() -> None:
    file = RawFile("src/a.py", b"x = 1\n", "MIT", "metadata")
    assert documents([file], Losses(), "repo", "1.0").to_pylist() == [
        {
            "content": "x = 1\n",
            "path": "src/a.py",
            "repo_name": "repo",
            "revision_id": "1.0",
            "license": "MIT",
            "license_source": "metadata",
        }
    ]


def test_batches_are_bounded_and_keep_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "BATCH_BYTES", 100)
    files = [RawFile(f"{n:03}", b"x" * (n % 70 + 1)) for n in range(200)]
    found = list(batches(iter(files), Losses()))
    assert [p for b in found for p in b.column("path").to_pylist()] == [f.path for f in files]
    assert all(sum(map(len, b.column("content").to_pylist())) <= 100 for b in found)


def test_no_batch_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "BATCH_BYTES", 2)
    losses = Losses()
    assert list(batches([RawFile("a", b"\0"), RawFile("b", b"\0\0"), RawFile("c", b"\xff")], losses)) == []
    assert [row["reason"] for row in losses.dropped] == ["binary", "binary", "undecodable"]


@pytest.mark.parametrize("path", ["a.PNG", "x/y.so", "a.tar.gz", ".png"])
def test_binary_endings(path: str) -> None:
    assert has_binary_ending(path)


@pytest.mark.parametrize("path", ["a.py", "png", "so/README", "a.so.py", "Makefile", "x.svg"])
def test_other_endings(path: str) -> None:
    assert not has_binary_ending(path)


def test_a_name_that_is_no_utf8_is_spelled_out() -> None:
    assert safe_name(b"caf\xe9/x.py".decode("utf-8", "surrogateescape")) == "caf\\xe9/x.py"
    assert safe_name("café.py") == "café.py"
