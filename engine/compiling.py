"""Kernels are compiled once on a machine: the first worker does it, the others wait for it and load what it left."""

from __future__ import annotations

import contextlib
import fcntl
import platform
import threading
from collections.abc import Sequence
from pathlib import Path

import numba
import pyarrow as pa
import xxhash

from engine.digest import document_ids, without_markup
from engine.op import Filter, Global, Ledger, Map, Op, read_columns
from engine.schema import DOCUMENT, TEXT

_done: set[str] = set()
_turn = threading.Lock()

_TEXT = "def one(two):\n    return 'three'  # four, five\n\nsix = seven = 8\n"


def cache_folder() -> Path:
    """The folder of what the engine keeps on this machine between runs."""
    return Path.home() / ".cache" / "starcoder-engine"


def compile_kernels(ops: Sequence[Op]) -> None:
    """Sees to it that the kernels of these ops are compiled in this process, by one process at a time."""
    made = "".join(f"{type(op).__module__}.{op.name()}{op.version}{op.parameters()}" for op in ops)
    key = xxhash.xxh3_64_hexdigest(f"{platform.python_version()} {numba.__version__} {__file__} {made}".encode())
    with _turn:
        if key in _done:
            return
        _done.add(key)
        mark = cache_folder() / f"compiled-{key}"
        if mark.exists():
            return
        with contextlib.suppress(OSError):
            cache_folder().mkdir(parents=True, exist_ok=True)
            with open(cache_folder() / "compile.lock", "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                _run_on_one(ops)
            mark.touch()


def _run_on_one(ops: Sequence[Op]) -> None:
    content = pa.array([_TEXT], TEXT)
    without_markup(content)
    columns = {f.name: pa.nulls(1, f.type) for f in DOCUMENT} | {"content": content, "path": pa.array(["a.py"], TEXT)}
    columns["id"] = document_ids("none", [content])
    batch = pa.RecordBatch.from_pydict(columns)
    for op in ops:
        # What an op thinks of this text does not matter, only that its kernels have seen the types.
        with contextlib.suppress(Exception):
            if isinstance(op, Filter):
                op.run(batch, Ledger())
            elif isinstance(op, Map):
                batch = op.run(batch)
            elif isinstance(op, Global):
                op.sketch(*read_columns(op, batch))
