"""A corpus of real source code to measure on: Parquet in The Stack's columns, made of public packages.

    python tests/bench/corpus.py fetch --downloads DIR           downloads the archives that packages.json pins
    python tests/bench/corpus.py build --downloads DIR --out DIR --size full|small

`fetch` uses pip, npm and, for the Debian sources, apt with a source entry (`Types: deb-src`); what it cannot get it
names, and the corpus is a little smaller then: compare contenders on the same build. `build` reads the archives where
they lie. Every text file of a known extension, up to 1 MiB and in UTF-8, is a row; rows stand in the order of
sha1(repository + path), so that near-duplicates are spread over all shards; a cap for each language keeps generated
formats from swamping the rest. *full* has 86,446 files and 562 MB in 61 languages; *small* has 8,035 files and 52 MB,
both versions of a file always together.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

PACKAGES = Path(__file__).with_name("packages.json")
_TABLES = json.loads(Path(__file__).with_name("corpus_tables.json").read_text())


def _turned(table: dict[str, str]) -> dict[str, str]:
    return {word: name for name, words in table.items() for word in words.split()}


EXTENSIONS, FILES = _turned(_TABLES["extensions"]), _turned(_TABLES["files"])
"""Languages by extension, and by the whole name of a file."""
DEBIAN_LICENSES = _turned(_TABLES["debian_licenses"])
"""Licences of the Debian sources, whose archives have no field for it."""
CAPS: dict[str, int] = _TABLES["caps"]
"""Megabytes of a language, times `CAP_SCALE`; the rest is left out in the order of the hashes."""
CAP, CAP_SCALE = 12, 0.7
FILE_BYTES = 1 << 20
SHARD_BYTES, GROUP_BYTES = 64 << 20, 16 << 20
SMALL_BYTES = 50 << 20

SCHEMA = pa.schema(
    [
        ("hexsha", pa.string()),
        ("size", pa.int64()),
        ("ext", pa.string()),
        ("lang", pa.string()),
        ("max_stars_repo_path", pa.string()),
        ("max_stars_repo_name", pa.string()),
        ("max_stars_repo_licenses", pa.list_(pa.string())),
        ("content", pa.string()),
    ]
)
Row = dict[str, Any]


# --- archives ---------------------------------------------------------------------------------------------------------


def fetch(downloads: Path) -> None:
    """Downloads the archives of packages.json with the ordinary clients."""
    pins = json.loads(PACKAGES.read_text())
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", "."]
    commands = [
        *(("pip", [*pip, "--only-binary", ":all:", f"{name}=={version}"]) for name, version in pins["pip"]),
        *(("pipsd", [*pip, "--no-binary", ":all:", f"{name}=={version}"]) for name, version in pins["pipsd"]),
        *(("npm", ["npm", "pack", "--silent", f"{name}@{version}"]) for name, version in pins["npm"]),
        # Debian serves one version of a source, so a newer one than the pinned may come.
        *(("deb", ["apt-get", "source", "--download-only", "-q", n]) for n in sorted({p[0] for p in pins["deb"]})),
    ]
    for folder, command in commands:
        place = downloads / folder
        place.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(command, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        print("ok    " if done.returncode == 0 else "FAILED", command[-1], flush=True)


def archives(downloads: Path) -> Iterator[tuple[str, str, str, Path]]:
    """The kind, package and version of each archive, and the archive."""
    for kind in ("pip", "pipsd", "npm", "deb"):
        for path in sorted((downloads / kind).glob("*")):
            name = path.name
            if kind == "deb":
                if ".orig" in name and "orig-www" not in name and not name.endswith(".asc"):
                    package, version = name.split("_", 1)
                    yield kind, package, version.split(".orig")[0], path
            elif kind == "npm":
                if found := re.match(r"(.+?)-(\d[^/]*)\.tgz$", name):
                    yield kind, found[1], found[2], path
            elif name.endswith(".whl"):
                package, version = name.split("-")[:2]
                yield kind, package.lower(), version, path
            elif found := re.match(r"(.+)-(\d[^-]*?)\.(tar\.gz|zip)$", name):
                yield kind, found[1].lower(), found[2], path


def members(path: Path) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    """The name and size of each file in an archive, and what reads it."""
    if path.name.endswith((".whl", ".zip")):
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if not entry.is_dir():
                    yield entry.filename, entry.file_size, lambda entry=entry: archive.read(entry)
    else:
        with tarfile.open(path) as archive:
            for entry in archive:
                if entry.isfile():
                    yield entry.name, entry.size, lambda entry=entry: archive.extractfile(entry).read()


def license_of(kind: str, package: str, about: str) -> str:
    """The licence that a package states, as it spells it; empty where it states none."""
    if kind == "deb":
        return DEBIAN_LICENSES.get(package, "")
    if kind == "npm":
        stated = json.loads(about).get("license", "") if about else ""
        return stated if isinstance(stated, str) else ""
    for field in ("License-Expression", "License", "Classifier: License :: OSI Approved ::"):
        separator = " " if field.endswith("::") else ": "
        if found := re.search(rf"^{re.escape(field)}{separator}(.+)$", about, re.M):
            return found[1].strip()[:60]
    return ""


def language_of(name: str) -> tuple[str, str | None]:
    """A file's extension and language."""
    last = name.rpartition("/")[2]
    extension = last.rpartition(".")[2].lower() if "." in last else ""
    return extension, FILES.get(last, EXTENSIONS.get(extension))


def describes(kind: str, name: str) -> bool:
    """Whether a file of an archive is the one that states the licence."""
    last = name.rpartition("/")[2]
    if kind == "npm":
        return name.count("/") == 1 and last == "package.json"
    own = name.endswith(".dist-info/METADATA") or (last == "PKG-INFO" and name.count("/") == 1)
    return kind.startswith("pip") and own


def package_rows(kind: str, package: str, version: str, path: Path) -> Iterator[tuple[str, Row]]:
    """The rows of an archive, each with the hash that orders it."""
    repository = f"{kind.replace('pipsd', 'pip')}/{package}-{version}"
    about, found = "", []
    for name, size, read in members(path):
        if describes(kind, name):
            about = read().decode("utf-8", "replace")
        extension, language = language_of(name)
        if language is None or not 0 < size <= FILE_BYTES:
            continue
        raw = read()
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            found.append((name, extension, language, raw, text))
    license = license_of(kind, package, about)
    for name, extension, language, raw, text in found:
        key = hashlib.sha1(f"{repository}\0{name}".encode()).hexdigest()
        values = (hashlib.sha1(raw).hexdigest(), len(raw), extension, language, name, repository)
        yield key, dict(zip(SCHEMA.names, (*values, [license] if license else [], text), strict=True))


# --- the corpus -------------------------------------------------------------------------------------------------------


def build(downloads: Path, out: Path, small: bool) -> None:
    """Writes the corpus as Parquet shards into `out`, and what it holds into `out/stats.json`."""
    rows = [row for archive in archives(downloads) for row in package_rows(*archive)]
    kept = capped([row for _, row in sorted(rows, key=lambda item: item[0])])
    if small:
        share = SMALL_BYTES / sum(row["size"] for row in kept)
        kept = [row for row in kept if stem_chance(row) < share]
    out.mkdir(parents=True, exist_ok=True)
    write(kept, out, SHARD_BYTES // 16 if small else SHARD_BYTES)
    stats = {
        "rows": len(kept),
        "bytes": sum(row["size"] for row in kept),
        "exact_duplicate_rows": len(kept) - len({row["hexsha"] for row in kept}),
        "repositories": len({row["max_stars_repo_name"] for row in kept}),
    }
    (out / "stats.json").write_text(json.dumps(stats, indent=1) + "\n")
    print(json.dumps(stats))


def capped(rows: list[Row]) -> list[Row]:
    """The rows, in their order, up to the cap of each language."""
    used: Counter[str] = Counter()
    kept = []
    for row in rows:
        language, size = row["lang"], row["size"]
        if used[language] + size <= CAPS.get(language, CAP) * CAP_SCALE * 1e6:
            used[language] += size
            kept.append(row)
    return kept


def stem_chance(row: Row) -> float:
    """A number in [0, 1) that is the same for all versions of a file."""
    package = re.sub(r"[-_]?v?\d+(\.\d+)+[^/]*", "", row["max_stars_repo_name"])
    path = re.sub(r"-\d[^/]*", "", row["max_stars_repo_path"])
    return int(hashlib.sha1((package + path).encode()).hexdigest()[:8], 16) / 2**32


def write(rows: list[Row], out: Path, shard_bytes: int) -> None:
    """Writes rows as shards of about so many bytes of text, in row groups."""
    writer, number, group, shard, held = None, 0, 0, 0, []
    for n, row in enumerate(rows):
        held.append(row)
        group, shard = group + row["size"], shard + row["size"]
        full = shard >= shard_bytes or n == len(rows) - 1
        if group >= GROUP_BYTES or full:
            writer = writer or pq.ParquetWriter(out / f"data-{number:05}.parquet", SCHEMA, compression="zstd")
            writer.write_table(pa.Table.from_pylist(held, schema=SCHEMA), row_group_size=len(held))
            group, held = 0, []
        if full and writer is not None:
            writer.close()
            writer, number, shard = None, number + 1, 0


def main() -> None:
    """Downloads or builds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["fetch", "build"])
    parser.add_argument("--downloads", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--size", choices=["full", "small"], default="full")
    given = parser.parse_args()
    if given.what == "fetch":
        fetch(given.downloads.resolve())
    elif given.out is None:
        parser.error("build needs --out")
    else:
        build(given.downloads, given.out, given.size == "small")


if __name__ == "__main__":
    main()
