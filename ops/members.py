"""Members of archives, read in place: zip, tar in any compression, Ruby gems.

Nothing is unpacked to a disk and no name in an archive is trusted. What unpacks to far more than it should, or claims
to, is broken: memory and time stay bounded by the archive's own size.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, NamedTuple

import zstandard

REASONS = ("symlink", "hard_link", "not_a_file")
"""Why a member is left out that is no regular file."""

_MOST = 1 << 30, 200
"""Bytes that any archive may unpack to, and how many for each of its own bytes on top."""
_LONGEST_NAME = 1 << 20
_DICTIONARY = 256 << 20  # bytes that an xz stream may ask for; `xz -9` takes 65 MiB
_PIECE = 1 << 20


class Broken(Exception):
    """An archive, or what is left of it, that cannot be read."""


# What the standard library raises on bytes that are no such archive, or no longer one.
_ERRORS = (
    *(Broken, tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, zstandard.ZstdError, struct.error),
    *(EOFError, OSError, ValueError, RuntimeError, NotImplementedError, IndexError, KeyError, OverflowError),
)


class Member(NamedTuple):
    """What was found of a member: its bytes if they were wanted, a reason to leave it out, or an error."""

    path: str
    """Relative and without `..`; empty for an error of the archive itself."""
    size: int = 0
    data: bytes | None = None
    reason: str | None = None
    error: str | None = None


Wanted = Callable[[str], bool]
"""Whether the bytes of the member at a path are to be read."""


def members(name: str, file: IO[bytes], size: int, max_bytes: int, wanted: Wanted) -> Iterator[Member]:
    """Everything in an archive but folders, in its order; larger members than `max_bytes` are not read.

    A member that cannot be read is one with an error. Where the archive itself breaks off, a last member with an empty
    path tells the error, and nothing is raised.
    """
    limit = _MOST[0] + _MOST[1] * size
    reader = next(found for ending, found in _READERS.items() if name.lower().endswith(ending))
    try:
        yield from reader(file, limit, max_bytes, wanted)
    except _ERRORS as error:
        yield Member("", error=_told(error))


def _told(error: BaseException) -> str:
    return str(error) or type(error).__name__


def safe_path(name: str) -> str:
    """A member's name as a relative path: no root, no drive, no `.` or `..`."""
    parts = [part for part in name.split("/") if part not in ("", ".", "..")]
    return "/".join(parts[1:] if parts and len(parts[0]) == 2 and parts[0][1] == ":" else parts)


# --- zip --------------------------------------------------------------------------------------------------------


def _zip(file: IO[bytes], limit: int, max_bytes: int, wanted: Wanted) -> Iterator[Member]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            path = safe_path(_zip_name(info))
            if info.is_dir() or not path:
                continue
            mode = stat.S_IFMT(info.external_attr >> 16)
            if mode not in (0, stat.S_IFREG):
                yield Member(path, info.file_size, reason="symlink" if stat.S_ISLNK(mode) else "not_a_file")
            elif info.file_size > max_bytes:
                yield Member(path, info.file_size, reason="too_large")
            elif not wanted(path):
                yield Member(path, info.file_size)
            else:
                limit -= info.file_size
                if limit < 0:
                    raise Broken("unpacks to far more than its size allows")
                try:
                    yield Member(path, info.file_size, archive.read(info))
                except _ERRORS as error:
                    yield Member(path, info.file_size, error=_told(error))


def _zip_name(info: zipfile.ZipInfo) -> str:
    name = info.filename.replace("\\", "/") if info.create_system == 0 else info.filename
    if info.flag_bits & 0x800 or name.isascii():
        return name
    # Without the flag a name is in code page 437 by the standard, and in UTF-8 by the habit of many tools.
    try:
        return name.encode("cp437").decode()
    except UnicodeError:
        return name


# --- tar --------------------------------------------------------------------------------------------------------


_BROKEN_HEADER = (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError)  # type: ignore[attr-defined]
# Headers about the member that follows, which tarfile reads whole into memory.
_ABOUT_NEXT = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),  # type: ignore[attr-defined]
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)


class _Header(tarfile.TarInfo):
    """A header that says so when it is broken; tarfile by itself takes it for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: Any, encoding: str, errors: str) -> Any:
        info = super().frombuf(buf, encoding, errors)
        if info.size < 0 or (info.type in _ABOUT_NEXT and info.size > _LONGEST_NAME):
            raise Broken(f"a header claims {info.size} bytes")
        return info

    @classmethod
    def fromtarfile(cls, tarfile: Any) -> Any:
        try:
            return super().fromtarfile(tarfile)
        except _BROKEN_HEADER as error:
            raise Broken(f"broken header at byte {tarfile.offset}: {error}") from None


class _Forward:
    """A stream that tarfile may seek in, forward only, up to a limit of bytes."""

    def __init__(self, stream: Any, limit: int) -> None:
        self.stream, self.limit, self.at = stream, limit, 0

    def tell(self) -> int:
        return self.at

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size)
        self.at += len(data)
        if self.at > self.limit:
            raise Broken("unpacks to far more than its size allows")
        return data

    def seek(self, to: int) -> None:
        if to < self.at:
            raise Broken("a header points backwards")
        while self.at < to and self.read(min(_PIECE, to - self.at)):
            pass


def _tar(stream: Any, limit: int, max_bytes: int, wanted: Wanted) -> Iterator[Member]:
    file: Any = _Forward(stream, limit)
    with tarfile.open(fileobj=file, mode="r:", tarinfo=_Header, encoding="utf-8", errors="surrogateescape") as archive:
        while (info := archive.next()) is not None:
            path = safe_path(info.name)
            if path and not info.isdir():
                yield _tar_member(archive, file, info, path, max_bytes, wanted)
            archive.members.clear()  # type: ignore[attr-defined]  # or it keeps every header that it met


def _tar_member(
    archive: tarfile.TarFile, file: Any, info: tarfile.TarInfo, path: str, max_bytes: int, wanted: Wanted
) -> Member:
    if not info.isreg():
        kind = "symlink" if info.issym() else "hard_link" if info.islnk() else "not_a_file"
        return Member(path, info.size, reason=kind)
    if info.size > max_bytes:
        return Member(path, info.size, reason="too_large")
    if not wanted(path):
        return Member(path, info.size)
    try:
        if info.issparse():
            sparse = archive.extractfile(info)
            assert sparse is not None
            return Member(path, info.size, sparse.read())
        file.seek(info.offset_data)
        data = file.read(info.size)
    except _ERRORS as error:
        raise Broken(f"breaks off in {path}: {_told(error)}") from None
    if len(data) < info.size:
        raise Broken(f"breaks off in {path}: {len(data)} of {info.size} bytes")
    return Member(path, info.size, data)


class _Blocks(io.RawIOBase):
    """The bytes of a bzip2 or xz file, of all its streams; it ends before its end only with an EOFError."""

    def __init__(self, file: IO[bytes], decompressor: Callable[[], Any]) -> None:
        self.file, self.new = file, decompressor
        self.now = decompressor()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            if self.now.eof:
                rest = (self.now.unused_data or self.file.read(_PIECE)).lstrip(b"\0")
                if not rest:
                    return 0
                self.now = self.new()
                data = self.now.decompress(rest, len(buffer))
            elif self.now.needs_input:
                more = self.file.read(_PIECE)
                if not more:
                    raise EOFError("the compressed stream ends too early")
                data = self.now.decompress(more, len(buffer))
            else:
                data = self.now.decompress(b"", len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)


def _xz() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(memlimit=_DICTIONARY)


def _tar_in(unpack: Callable[[IO[bytes]], Any]) -> Callable[..., Iterator[Member]]:
    def read(file: IO[bytes], limit: int, max_bytes: int, wanted: Wanted) -> Iterator[Member]:
        with unpack(file) as stream:
            yield from _tar(stream, limit, max_bytes, wanted)

    return read


_gz = _tar_in(lambda file: gzip.GzipFile(fileobj=file))
_bz2 = _tar_in(lambda file: io.BufferedReader(_Blocks(file, bz2.BZ2Decompressor), _PIECE))
_lzma = _tar_in(lambda file: io.BufferedReader(_Blocks(file, _xz), _PIECE))
_zst = _tar_in(lambda file: zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True))


def _gem(file: IO[bytes], limit: int, max_bytes: int, wanted: Wanted) -> Iterator[Member]:
    with tarfile.open(fileobj=file, mode="r:", tarinfo=_Header) as outer:
        for info in outer:
            inner: Any = outer.extractfile(info) if info.name in ("metadata.gz", "data.tar.gz") else None
            if inner is not None and info.name == "data.tar.gz":
                yield from _gz(inner, limit, max_bytes, wanted)
            elif inner is not None and wanted(info.name):
                with gzip.GzipFile(fileobj=inner) as packed:
                    yield Member(info.name, info.size, packed.read(max_bytes))


_READERS: dict[str, Callable[..., Iterator[Member]]] = {
    **dict.fromkeys((".zip", ".whl", ".egg", ".jar"), _zip),
    ".tar": _tar,
    **dict.fromkeys((".tar.gz", ".tgz", ".crate"), _gz),
    **dict.fromkeys((".tar.bz2", ".tbz2", ".tbz"), _bz2),
    **dict.fromkeys((".tar.xz", ".txz", ".tar.lzma"), _lzma),
    **dict.fromkeys((".tar.zst", ".tzst"), _zst),
    ".gem": _gem,
}

ENDINGS = tuple(_READERS)
"""Name endings of the archives that can be read."""
