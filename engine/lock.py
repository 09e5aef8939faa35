"""One run at a time on an output folder.

On a local disk the lock is the kernel's and dies with the process. On an object store it is a lease whose heartbeat is
written every few seconds; one that has been silent for a minute is taken over.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator

from engine import storage
from engine.errors import RunError

SILENT = 60.0
"""Seconds without a heartbeat after which a lease may be taken over."""
BEAT = 15.0
"""Seconds between heartbeats."""


@contextlib.contextmanager
def locked(out: str) -> Iterator[None]:
    """Holds the folder for this run; raises RunError, naming the holder, where another run has it."""
    if storage.is_local(out):
        with _flocked(out):
            yield
    else:
        with _leased(out):
            yield


@contextlib.contextmanager
def _flocked(out: str) -> Iterator[None]:
    folder = storage.local_path(out)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise RunError(
                f"{out}: another run is at work here ({file.read().strip()}); wait for it, or choose --out"
            ) from None
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


@contextlib.contextmanager
def _leased(out: str) -> Iterator[None]:
    url, own = storage.join(out, "lease.json"), uuid.uuid4().hex
    holder = f"process {os.getpid()} on {socket.gethostname()}"

    def beat() -> None:
        storage.write_bytes(url, json.dumps({"lease": own, "holder": holder, "at": time.time()}).encode())

    if storage.exists(url):
        held = storage.read_json(url)
        if time.time() - held["at"] < SILENT:
            raise RunError(
                f"{out}: another run is at work here ({held['holder']}); wait for it, or {SILENT:.0f} s if it died"
            )
    beat()
    if storage.read_json(url)["lease"] != own:
        raise RunError(f"{out}: another run began at the same moment; try again")
    over = threading.Event()

    def keep_beating() -> None:
        while not over.wait(BEAT):
            beat()

    thread = threading.Thread(target=keep_beating, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        storage.remove(url)
