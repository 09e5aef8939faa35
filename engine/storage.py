"""File systems, local or any that fsspec knows: their one door.

A file is written whole or not at all. On a local disk it is written aside, synced and renamed; an object store takes
it in one put under its final name.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from fsspec.implementations.local import LocalFileSystem

ASIDE = ".aside"
"""The ending of files that are being written."""


@dataclass(frozen=True)
class FileInfo:
    """A file that was found: its whole URL, its bytes, and a text that changes when its content does."""

    url: str
    bytes: int
    version: str


def is_local(url: str) -> bool:
    """Whether a path or URL lies on this machine's own file system."""
    return "://" not in url or url.startswith(("file://", "local://"))


def local_path(url: str) -> Path:
    """The path behind a local URL."""
    return Path(url.split("://", 1)[1] if "://" in url else url)


def file_system(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path within it."""
    return fsspec.core.url_to_fs(url)


def join(url: str, *parts: str) -> str:
    """The URL of something below a folder."""
    return "/".join([url.rstrip("/"), *parts]) if url != "/" else "/" + "/".join(parts)


def exists(url: str) -> bool:
    """Whether there is a file or folder at the URL."""
    if is_local(url):
        return local_path(url).exists()
    fs, path = file_system(url)
    return bool(fs.exists(path))


def _version(info: dict[str, Any]) -> str:
    told = next((info[k] for k in ("ETag", "etag", "md5Hash", "crc32c", "blob_id", "sha256") if info.get(k)), None)
    when = info.get("mtime_ns") or info.get("mtime") or info.get("LastModified") or info.get("last_modified") or ""
    return xxhash.xxh3_64_hexdigest(f"{info.get('size')}:{told or when}".encode())


def file_info(url: str) -> FileInfo:
    """Size and version of one file."""
    if is_local(url):
        path = local_path(url)
        stat = path.stat()
        return FileInfo(str(path), stat.st_size, _version({"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}))
    fs, path = file_system(url)
    info = fs.info(path)
    return FileInfo(url, int(info["size"] or 0), _version(info))


def find_files(url: str, endings: tuple[str, ...] = ()) -> list[FileInfo]:
    """The files at a path: itself, those that a glob matches, or all below a folder that have one of the endings.

    In the order of their URLs. Hidden and half-written files (`.`, `_` or the ending `.aside`) below a folder are left
    out.
    """
    fs, path = file_system(url)
    glob = any(c in path for c in "*?[")
    if glob:
        found = fs.glob(path, detail=True)
    elif fs.isfile(path):
        found = {path: fs.info(path)}
    else:
        found = fs.find(path, detail=True)
    local = isinstance(fs, LocalFileSystem)
    root = fs._strip_protocol(path)
    files = []
    for name, info in sorted(found.items()):
        if info.get("type") == "directory":
            continue
        below = name[len(root) :] if not glob and name.startswith(root) else os.path.basename(name)
        if below and any(part.startswith((".", "_")) or part.endswith(ASIDE) for part in below.split("/")):
            continue
        if below and endings and not name.lower().endswith(endings):
            continue
        if local:
            files.append(file_info(name))
        else:
            files.append(FileInfo(fs.unstrip_protocol(name), int(info.get("size") or 0), _version(info)))
    return files


@contextlib.contextmanager
def open_read(url: str, ahead: bool = True) -> Iterator[IO[bytes]]:
    """A file open for reading bytes; `ahead` says whether a remote one fetches more than is asked for."""
    if is_local(url):
        with open(local_path(url), "rb") as file:
            yield file
        return
    fs, path = file_system(url)
    with fs.open(path, "rb", **({} if ahead else {"cache_type": "none"})) as file:
        yield file


@contextlib.contextmanager
def open_mapped(url: str) -> Iterator[Any]:
    """An Arrow file open for reading here and there: a local one is mapped, of a remote one parts are fetched."""
    if is_local(url):
        with pa.memory_map(str(local_path(url))) as file:
            yield file
    else:
        with open_read(url, ahead=False) as file:
            remote: Any = file
            yield pa.PythonFile(remote, "r")


@contextlib.contextmanager
def open_whole(url: str, lasting: bool = True) -> Iterator[IO[bytes]]:
    """A file open for writing that appears under its name, complete, when the block ends without an error.

    `lasting` waits until a local file is on the disk; what a process makes for itself alone need not wait.
    """
    if is_local(url):
        path = local_path(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:80]}.", suffix=ASIDE)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                if lasting:
                    os.fsync(file.fileno())
            Path(aside).chmod(0o644)
            Path(aside).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(aside).unlink()
            raise
        return
    fs, path = file_system(url)
    with tempfile.TemporaryFile() as file:
        yield file
        file.seek(0)
        with fs.open(path, "wb") as put:
            shutil.copyfileobj(file, put, 1 << 24)


def write_bytes(url: str, data: bytes) -> None:
    """Writes a small file whole."""
    with open_whole(url) as file:
        file.write(data)


def read_bytes(url: str) -> bytes:
    """A file's bytes."""
    with open_read(url) as file:
        return file.read()


def write_json(url: str, value: Any) -> None:
    """Writes a value as indented JSON, whole."""
    write_bytes(url, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())


def read_json(url: str) -> Any:
    """The value of a JSON file."""
    return json.loads(read_bytes(url))


def write_parquet(url: str, table: pa.Table) -> None:
    """Writes a small table as Parquet, whole."""
    with open_whole(url) as file:
        pq.write_table(table, file, compression="zstd")


def read_parquet(url: str, columns: list[str] | None = None) -> pa.Table:
    """A Parquet file as a table."""
    with open_read(url) as file:
        # Not `read_table`, which loads data sets and with them pandas where that is installed: a quarter of a second.
        return pq.ParquetFile(file).read(columns=columns)


def remove(url: str) -> None:
    """Removes a file or a folder with all that it holds; nothing happens where there is none."""
    if is_local(url):
        path = local_path(url)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        return
    fs, path = file_system(url)
    if fs.exists(path):
        fs.rm(path, recursive=True)


def names(url: str) -> list[str]:
    """The names in a folder, sorted; an empty list where there is none."""
    if is_local(url):
        path = local_path(url)
        return sorted(p.name for p in path.iterdir()) if path.is_dir() else []
    fs, path = file_system(url)
    if not fs.exists(path):
        return []
    return sorted(os.path.basename(n.rstrip("/")) for n in fs.ls(path, detail=False))
