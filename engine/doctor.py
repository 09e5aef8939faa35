"""What of this machine matters to a run, whether it is as it should be, and what to do where it is not.

Nothing is started and nothing is changed: Ray is looked for, not joined.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import platform
import re
import resource
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from engine import catalogue
from engine.compiling import cache_folder
from engine.errors import EngineError
from engine.op import Resources
from engine.pool import LOCAL_OBJECT_STORE, cores
from engine.report import size

DISTRIBUTION = "starcoder-engine"
LEAST_DISK = 5e9
"""Bytes below which a disk may fill in the middle of a run of ordinary size."""
LEAST_FILES = 4096
"""Open files that Ray asks for."""
REMOTE = {"s3fs": "s3://", "gcsfs": "gs://", "adlfs": "az://", "huggingface-hub": "hf://"}
"""Packages by which remote input and output are reached."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `ok`, a `note` that a run survives, or `wrong`; `advice` says what to do about it."""

    level: Literal["ok", "note", "wrong"]
    subject: str
    found: str
    advice: str = ""

    def as_json(self) -> dict[str, str]:
        """The finding as plain values."""
        return asdict(self)


def examine(place: str = ".") -> list[Finding]:
    """What was found on this machine; `place` is the folder below which runs are written."""
    looks = (_software(), _machine(place), _kernels(), _ray(), _extras())
    return [finding for look in looks for finding in look]


def _finding(
    fine: bool, subject: str, found: str, advice: str, otherwise: Literal["note", "wrong"] = "note"
) -> Finding:
    return Finding("ok", subject, found) if fine else Finding(otherwise, subject, found, advice)


# --- software -----------------------------------------------------------------------------------------------------


def _software() -> Iterator[Finding]:
    told = f"{platform.python_version()} ({platform.python_implementation()}), {platform.system()} {platform.machine()}"
    yield _finding(sys.version_info >= (3, 11), "python", told, "the engine needs Python 3.11 or later", "wrong")
    encoding = sys.getfilesystemencoding()
    if encoding.lower().replace("-", "") != "utf8":
        yield Finding("note", "encoding", encoding, "paths that are not ASCII need UTF-8: export LANG=C.UTF-8")
    yield from _packages()
    try:
        yield Finding("ok", "ops", f"{len(catalogue.all_ops())} in the catalogue")
    except (EngineError, ImportError) as error:
        yield Finding("wrong", "ops", str(error), "mend or uninstall the package that brings them")


def _packages() -> Iterator[Finding]:
    try:
        required = [Requirement(text) for text in metadata.requires(DISTRIBUTION) or []]
        version = metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        yield Finding("wrong", "packages", f"{DISTRIBUTION} is not installed", "pip install -e . in its folder")
        return
    wanted = [r for r in required if r.marker is None or r.marker.evaluate({"extra": ""})]
    behind = []
    for requirement in wanted:
        have = version_of(requirement.name)
        if have is None or not requirement.specifier.contains(have, prereleases=True):
            behind.append(f"{requirement.name} {have or 'missing'}, needs {requirement.specifier or 'any'}")
    told = f"{DISTRIBUTION} {version} and the {len(wanted)} packages that it requires"
    advice = f"pip install --upgrade {DISTRIBUTION}, in the environment of {sys.executable}"
    yield _finding(not behind, "packages", "; ".join(behind) or told, advice, "wrong")


def version_of(name: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


# --- the machine --------------------------------------------------------------------------------------------------


def _machine(place: str) -> Iterator[Finding]:
    yield Finding("ok", "processors", f"{cores()} of {os.cpu_count()} may be used")
    memory, need = available_memory(), Resources().memory
    if memory is not None:
        fit = max(1, memory // need)
        advice = f"workers may use {size(need)} each: run with --workers {fit}"
        yield _finding(fit >= cores(), "memory", f"{size(memory)} available", advice)
    folder = _nearest_folder(Path(place))
    free = shutil.disk_usage(folder).free
    yield _finding(
        free >= LEAST_DISK, "disk", f"{size(free)} free at {folder}", "free some, or run with --out elsewhere"
    )
    if not os.access(folder, os.W_OK):
        yield Finding("wrong", "disk", f"{folder} cannot be written", "run with --out elsewhere")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = "unlimited" if hard == resource.RLIM_INFINITY else f"{hard:,}"
    advice = f"raise it for many workers: ulimit -n {min(hard, 65536) if hard > 0 else 65536}"
    enough = soft >= LEAST_FILES or soft == resource.RLIM_INFINITY
    yield _finding(enough, "open files", f"{soft:,} of at most {most}", advice)


def _nearest_folder(path: Path) -> Path:
    path = path.absolute()
    return next((p for p in (path, *path.parents) if p.is_dir()), Path("/"))


def available_memory() -> int | None:
    """Bytes that this process may still use, within its container; None where the system does not say."""
    told: list[int] = []
    try:
        found = re.search(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text())
        told += [int(found[1]) * 1024] if found else []
        most = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = Path("/sys/fs/cgroup/memory.current").read_text()
        told += [int(most) - int(used)] if most != "max" else []
    except OSError:
        pass
    return min(told) if told else None


# --- kernels, Ray, extras -----------------------------------------------------------------------------------------


def _kernels() -> Iterator[Finding]:
    kept = os.environ.get("NUMBA_CACHE_DIR")
    folders = [Path(kept)] if kept else [folder / "__pycache__" for folder in _code()]
    compiled = sum(1 for folder in (*folders, Path.home() / ".cache" / "numba") for _ in folder.rglob("*.nbi"))
    if compiled:
        yield Finding("ok", "kernels", f"{compiled} compiled")
    else:
        yield Finding("note", "kernels", "not compiled", "the first run compiles them, which takes a minute, once")
    shut = [folder for folder in (*folders, cache_folder()) if not os.access(_nearest_folder(folder), os.W_OK)]
    if shut:
        advice = "every process compiles anew: set NUMBA_CACHE_DIR and HOME to folders that can be written"
        yield Finding("note", "kernels", f"{shut[0]} cannot be written", advice)


def _code() -> list[Path]:
    """The folders of the engine and of the ops that can be imported."""
    found = {Path(__file__).parent}
    with contextlib.suppress(EngineError, ImportError):
        found |= {Path(inspect.getfile(op)).parent for op in catalogue.all_ops()}
    return sorted(found)


def _ray() -> Iterator[Finding]:
    version = version_of("ray")
    if version is None:
        yield Finding("note", "ray", "not installed", "run with --on here, or pip install 'ray[default]'")
        return
    address = os.environ.get("RAY_ADDRESS", "")
    here = Path("/tmp/ray/ray_current_cluster")
    if address:
        fine = _answers(address)
        advice = "start the cluster, or unset RAY_ADDRESS to run on this machine"
        told = f"{version}, RAY_ADDRESS={address}{'' if fine else ' does not answer'}"
        yield _finding(fine, "ray", told, advice, "wrong")
    elif here.exists():
        yield Finding("ok", "ray", f"{version}, runs join the cluster at {here.read_text().strip()}")
    else:
        yield Finding("ok", "ray", f"{version}, no cluster: a run starts one on this machine")
    shared = Path("/dev/shm")
    if shared.is_dir():
        free = shutil.disk_usage(shared).free
        advice = "Ray then keeps its store on the disk: give the container more, as in docker run --shm-size=1g"
        yield _finding(free >= LOCAL_OBJECT_STORE, "shared memory", f"{size(free)} free", advice)


def _answers(address: str) -> bool:
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdecimal():
        return True
    try:
        socket.create_connection((host, int(port)), 3).close()
    except OSError:
        return False
    return True


def _extras() -> Iterator[Finding]:
    have = [f"{at} ({name} {version})" for name, at in REMOTE.items() if (version := version_of(name))]
    lack = [f"{at} with pip install {name}" for name, at in REMOTE.items() if not version_of(name)]
    yield Finding("ok", "remote files", ", ".join(have) or "none can be reached", "; ".join(lack))
    torch = version_of("torch")
    told = f"torch {torch}" if torch else "not installed; only recipes that train or run models need it"
    yield Finding("ok", "models", told, "" if torch else f"pip install '{DISTRIBUTION}[model]'")
