"""From bytes to text, for every source that reads raw files.

Bytes that are UTF-8 are text as they stand, whatever they declare: a whole batch is checked in one kernel. The rest is
decoded only when the file says in which encoding it is and the bytes agree; a guess would put noise into the corpus.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.columns import OVERREAD, Bytes, Offsets, padded_parts, text_buffers, text_column
from engine.op import Batch, Losses
from engine.schema import TEXT
from engine.simd import mask, trailing_zeros

REASONS = ("too_large", "empty", "binary", "undecodable", "lfs_pointer")
"""Why a raw file is left out, whichever source read it."""

BATCH_BYTES = 16 << 20
"""Bytes of raw files that one batch of documents is made of."""

_FORMATS = """
7z a aif aifc aiff apk au avi avif bin bmp bz2 cab class dll dmg doc docx dylib ear eot exe feather flac gif gz h5
hdf5 heic icns ico iso jar jpeg jpg ko lz4 lzma m4a mkv mov mp3 mp4 mpeg mpg msi nib npy npz o odt ogg orc otf
parquet pdf png ppt pptx psd pyc pyd pyo rar rpm so sqlite sqlite3 tar tgz tif tiff ttf war wasm wav webm webp whl
wmv woff woff2 xls xlsx xz zip zst
"""
BINARY_ENDINGS = frozenset(_FORMATS.split())
"""Name endings of formats that are never text: such files are dropped as `binary` without being read."""

# What binary formats begin with that need not hold a NUL byte.
_MAGIC = (
    *(b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"OggS", b"ID3", b"fLaC", b"wOFF", b"wOF2", b"%PDF-"),
    *(
        b"\xd0\xcf\x11",
        b"PK\x03\x04",
        b"\x1f\x8b",
        b"BZh",
        b"\xfd7zXZ",
        b"\x28\xb5\x2f\xfd",
        b"7z\xbc\xaf",
        b"Rar!",
        b"!<arch>\n",
    ),
    *(b"\x7fELF", b"\xca\xfe\xba\xbe", b"\xed\xab\xee\xdb", b"\x80\x02", b"\x80\x03", b"\x80\x04"),
)

LFS_POINTER = "version https://git-lfs.github.com/spec/v1\n"

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

# Encodings that a declaration may name: those that extend ASCII, so that the declaration could be read at all.
_NAMES = """
big5 big5hkscs cp437 cp720 cp737 cp775 cp850 cp852 cp855 cp857 cp858 cp860 cp861 cp862 cp863 cp865 cp866
cp869 cp874 cp932 cp949 cp950 cp1125 cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 euc_jis_2004
euc_jisx0213 euc_jp euc_kr gb18030 gb2312 gbk hp-roman8 iso8859-1 iso8859-2 iso8859-3 iso8859-4 iso8859-5 iso8859-6
iso8859-7 iso8859-8 iso8859-9 iso8859-10 iso8859-11 iso8859-13 iso8859-14 iso8859-15 iso8859-16 johab koi8-r koi8-t
koi8-u kz1048 mac-cyrillic mac-greek mac-iceland mac-latin2 mac-roman mac-turkish ptcp154 shift_jis tis-620
"""
_ENCODINGS = frozenset(_NAMES.split())

_NAME = rb"([A-Za-z][A-Za-z0-9_.:-]{1,30})"
_COOKIE = re.compile(rb"(?:coding|fenc)[:=][ \t]*[\"']?" + _NAME)
_XML = re.compile(rb"<\?xml[^>]{1,100}?encoding[ \t\r\n]*=[ \t\r\n]*[\"']" + _NAME)
_HTML = re.compile(rb"<meta[^>]{1,200}?charset[ \t]*=[ \t]*[\"']?" + _NAME, re.IGNORECASE)
_CSS = re.compile(rb'@charset "' + _NAME + rb'"')
_VIM_SCRIPT = re.compile(rb"^[ \t]*scriptencoding[ \t]+" + _NAME, re.MULTILINE)
_GETTEXT = re.compile(rb'^"Content-Type: text/plain; charset=' + _NAME, re.MULTILINE)
_C1_CONTROL = re.compile("[\x80-\x9f]")


class RawFile(NamedTuple):
    """A file's bytes, and what its source knows of it."""

    path: str
    data: bytes
    license: str | None = None
    license_source: str | None = None


def has_binary_ending(path: str) -> bool:
    """Whether a file's name says that it cannot be text."""
    _, dot, ending = path.rpartition(".")
    return bool(dot) and ending.lower() in BINARY_ENDINGS


def safe_name(path: str) -> str:
    r"""The path as text that UTF-8 can hold: bytes of a file name that are no UTF-8 are spelled `\xff`."""
    if path.isascii():
        return path
    return os.fsencode(path).decode("utf-8", "backslashreplace")


# --- one file ---------------------------------------------------------------------------------------------------


def _declared(data: bytes) -> set[str]:
    """The names of encodings that a file claims for itself, at the places where its readers look for them."""
    head = data[:1000].splitlines()[:2]
    tail = [line for line in data[-1000:].splitlines()[-5:] if b"vim:" in line or b"vi:" in line]
    found = [_XML.match(data), _CSS.match(data), _HTML.search(data[:1024]), *map(_COOKIE.search, head + tail)]
    found += [_VIM_SCRIPT.search(data[:4096]), _GETTEXT.search(data[:4096])]
    return {match[1].decode("ascii") for match in found if match}


def _by_declaration(data: bytes) -> str | None:
    texts = set()
    for name in _declared(data):
        try:
            codec = codecs.lookup(name.removesuffix("-unix").removesuffix("-dos").removesuffix("-mac"))
            if codec.name not in _ENCODINGS:
                return None
            text = data.decode(codec.name)
            if text.encode(codec.name) != data or _C1_CONTROL.search(text):
                return None
        except (LookupError, UnicodeError):
            return None
        texts.add(text)
    return texts.pop() if len(texts) == 1 else None


def decode_file(data: bytes) -> tuple[str | None, str | None]:
    """The text of one file's bytes, or None and the reason why there is none.

    A byte order mark decides and is taken off. Without one, bytes with a NUL or a binary format's first bytes are
    `binary`, UTF-8 is itself, and an encoding declared in the file (PEP 263 and Emacs cookies, Vim modelines and
    scripts, XML, HTML, CSS, gettext) counts if the bytes decode strictly, encode again to the same bytes, give none of
    the control characters U+0080 to U+009F, and nothing else in the file declares otherwise. All else is `undecodable`.
    """
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), None)
    try:
        if encoding is not None:
            text = data.decode(encoding)[1:]
        elif b"\0" in data:
            return None, "binary"
        else:
            text = data.decode()
    except UnicodeDecodeError:
        if encoding is None and not data.startswith(_MAGIC):
            text = _by_declaration(data)
            return text, None if text is not None else "undecodable"
        return None, "binary" if b"\0" in data or encoding is None else "undecodable"
    if "\0" in text:
        return None, "binary"
    return (text, None) if text else (None, "empty")


# --- a column of files ------------------------------------------------------------------------------------------

_not_plain = mask(lambda byte: byte.any(byte.equal(0), byte.between(0x80, 0xFF)))


@numba.njit(nogil=True, cache=True, inline="always")
def _sequence(data: Bytes, at: int, hi: int) -> int:
    """The bytes of the well-formed UTF-8 sequence of several bytes at `at`, or 0 (Unicode 16, table 3-7)."""
    lead = data[at]
    if 0xC2 <= lead <= 0xDF:
        return 2 if at + 1 < hi and data[at + 1] & 0xC0 == 0x80 else 0
    if 0xE0 <= lead <= 0xEF:
        if at + 2 >= hi or data[at + 2] & 0xC0 != 0x80:
            return 0
        low = 0xA0 if lead == 0xE0 else 0x80
        high = 0x9F if lead == 0xED else 0xBF
        return 3 if low <= data[at + 1] <= high else 0
    if 0xF0 <= lead <= 0xF4:
        if at + 3 >= hi or data[at + 2] & 0xC0 != 0x80 or data[at + 3] & 0xC0 != 0x80:
            return 0
        low = 0x90 if lead == 0xF0 else 0x80
        high = 0x8F if lead == 0xF4 else 0xBF
        return 4 if low <= data[at + 1] <= high else 0
    return 0


@numba.njit(nogil=True, cache=True)
def _is_plain(data: Bytes, lo: int, hi: int) -> bool:
    if lo == hi or (hi - lo >= 3 and data[lo] == 0xEF and data[lo + 1] == 0xBB and data[lo + 2] == 0xBF):
        return False
    at = lo
    while at < hi:
        bits = _not_plain(data, at)
        if bits == np.uint64(0):
            at += 64
            continue
        end = min(at + 64, hi)
        at += trailing_zeros(bits)
        while at < end:
            length = 1 if 0 < data[at] < 0x80 else _sequence(data, at, hi)
            if length == 0:
                return False
            at += length
    return True


@numba.njit(nogil=True, cache=True)
def _plain(data: Bytes, offsets: Offsets, out: Any) -> None:
    for n in range(len(out)):
        out[n] = _is_plain(data, offsets[n], offsets[n + 1])


def decode(column: pa.Array) -> tuple[pa.Array, pa.Array]:
    """A column of files' bytes as text, and why not: in each row either the text or the reason is null.

    The column may be of any binary or string type; a null is `empty`. Where all rows are UTF-8 without a byte order
    mark, the text lies in the column's own bytes.
    """
    data, offsets = text_buffers(column)
    rows = len(column)
    plain = np.zeros(rows, np.bool_)
    for part, its_bytes, ends in padded_parts(data, offsets):
        _plain(its_bytes, ends, plain[part])
    content = text_column(data, offsets)
    odd = np.flatnonzero(~plain)
    if not len(odd):
        return content, pa.nulls(rows, TEXT)
    found = [decode_file(data[offsets[n] : offsets[n + 1]].tobytes()) for n in odd]
    reasons = np.full(rows, None, object)
    reasons[odd] = [reason for _, reason in found]
    return _with_texts(data, offsets, odd, [text for text, _ in found]), pa.array(reasons, TEXT)


def _with_texts(data: Bytes, offsets: Offsets, odd: Any, texts: Sequence[str | None]) -> pa.Array:
    """The column with these rows' texts in place of their bytes: whole runs between them are copied at once."""
    encoded = [text.encode() if text is not None else b"" for text in texts]
    lengths = np.diff(offsets)
    lengths[odd] = [len(text) for text in encoded]
    ends = np.r_[0, np.cumsum(lengths)]
    # Arrow's pool hands memory out again; fresh pages would cost more than the copy.
    room = pa.allocate_buffer(int(ends[-1]) + OVERREAD)
    out = np.frombuffer(memoryview(room), np.uint8)
    after = 0
    for row, text in zip([*odd.tolist(), len(lengths)], [*encoded, b""], strict=True):
        out[ends[after] : ends[row]] = data[offsets[after] : offsets[row]]
        out[ends[row] : ends[row] + len(text)] = np.frombuffer(text, np.uint8)
        after = row + 1
    valid = np.ones(len(lengths), bool)
    valid[odd] = [text is not None for text in texts]
    bitmap = pa.py_buffer(np.packbits(valid, bitorder="little").data)
    return pa.LargeStringArray.from_buffers(len(lengths), pa.py_buffer(ends.data), room, bitmap)


# --- documents --------------------------------------------------------------------------------------------------


def _column(values: Sequence[bytes]) -> pa.Array:
    # One join is exact, where a builder grows by doubling; the room behind spares the kernel a copy of the last values.
    data = b"".join((*values, bytes(OVERREAD)))
    offsets = np.zeros(len(values) + 1, np.int64)
    np.cumsum([len(value) for value in values], out=offsets[1:])
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(values), [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(data)]
    )


def documents(
    files: Sequence[RawFile], losses: Losses, repo_name: str | None = None, revision_id: str | None = None
) -> Batch:
    """A row for each file whose bytes are text; the others are entered in the losses with their reason."""
    content, reason = decode(_column([file.data for file in files]))
    pointer = pc.fill_null(pc.starts_with(content, LFS_POINTER), pa.scalar(False))
    reason = pc.if_else(pointer, pa.scalar("lfs_pointer", TEXT), reason)
    kept = reason.is_null()
    if reason.null_count < len(files):
        for n, why in enumerate(reason.to_pylist()):
            if why is not None:
                losses.drop(why, safe_name(files[n].path), repo_name, len(files[n].data))
    columns = {
        "content": content,
        "path": pa.array([safe_name(f.path) for f in files], TEXT),
        "repo_name": pa.array([repo_name] * len(files), TEXT),
        "revision_id": pa.array([revision_id] * len(files), TEXT),
        "license": pa.array([f.license for f in files], TEXT),
        "license_source": pa.array([f.license_source for f in files], TEXT),
    }
    batch = pa.RecordBatch.from_pydict(columns)
    return batch if reason.null_count == len(files) else batch.filter(kept)


def batches(
    files: Iterable[RawFile], losses: Losses, repo_name: str | None = None, revision_id: str | None = None
) -> Iterator[Batch]:
    """The documents of these files, in their order, in batches of about `BATCH_BYTES`."""
    group: list[RawFile] = []
    size = 0
    for file in files:
        if group and size + len(file.data) > BATCH_BYTES:
            batch = documents(group, losses, repo_name, revision_id)
            group, size = [], 0
            if batch.num_rows:
                yield batch
        group.append(file)
        size += len(file.data)
    if group:
        batch = documents(group, losses, repo_name, revision_id)
        if batch.num_rows:
            yield batch
