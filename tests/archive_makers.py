"""Archives of every kind that tests read, made in memory by the standard library and zstandard."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Mapping

import zstandard

Files = Mapping[str, str | bytes]


def as_bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def tar(files: Files, *more: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of these files and of the other headers behind them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(as_bytes(content))
            archive.addfile(info, io.BytesIO(as_bytes(content)))
        for info in more:
            archive.addfile(info)
    return out.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """The header of a link, device or folder."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zipped(files: Files, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), as_bytes(content), compression)
    return out.getvalue()


def gem(files: Files, metadata: str) -> bytes:
    return tar({"metadata.gz": gzip.compress(metadata.encode()), "data.tar.gz": gzip.compress(tar(files))})


MAKERS = {
    "zip": zipped,
    "whl": zipped,
    "jar": zipped,
    "tar": tar,
    "tar.gz": lambda files: gzip.compress(tar(files)),
    "tgz": lambda files: gzip.compress(tar(files)),
    "crate": lambda files: gzip.compress(tar(files)),
    "tar.bz2": lambda files: bz2.compress(tar(files)),
    "tar.xz": lambda files: lzma.compress(tar(files)),
    "tar.lzma": lambda files: lzma.compress(tar(files), lzma.FORMAT_ALONE),
    "tar.zst": lambda files: zstandard.compress(tar(files)),
    "gem": lambda files: gem(files, "name: x\n"),
}
"""How to make an archive of each ending."""
