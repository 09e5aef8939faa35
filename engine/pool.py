"""Where work runs: in this process, in workers of this machine, or on Ray.

A pool maps a function over items and answers as they are done; who asks puts them in order. Results are small
receipts: what an item makes, it writes. An item whose worker died is run again, three times at most. This is the only
file that knows Ray.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, Protocol

from engine import memory
from engine.errors import RunError
from engine.op import Resources

TRIES = 3
"""How often an item is run whose worker died."""
LOCAL_OBJECT_STORE = 200 << 20
"""Bytes of Ray's object store on a machine of our own: receipts are all that goes through it."""


class Pool(Protocol):
    """Runs a function over items; `map` answers (place of the item, result) as they are done."""

    workers: int

    def map(
        self, work: Callable[[Any], Any], items: Sequence[Any], needs: Resources = ..., threads: bool = ...
    ) -> Iterator[tuple[int, Any]]: ...

    def close(self) -> None: ...


class InlinePool:
    """Runs everything in this process, one item after the other: for tests and for a look at a few documents."""

    workers = 1

    def map(
        self, work: Callable[[Any], Any], items: Sequence[Any], needs: Resources | None = None, threads: bool = False
    ) -> Iterator[tuple[int, Any]]:
        for n, item in enumerate(items):
            yield n, work(item)

    def close(self) -> None:
        """Nothing is held."""


class LocalPool:
    """Runs items in workers of this machine: threads where the source leaves Python's lock alone, else processes."""

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or cores()
        self._processes: futures.ProcessPoolExecutor | None = None

    def map(
        self, work: Callable[[Any], Any], items: Sequence[Any], needs: Resources | None = None, threads: bool = False
    ) -> Iterator[tuple[int, Any]]:
        if threads or self.workers == 1:
            yield from self._in_threads(work, items)
        else:
            yield from self._in_processes(work, items)

    def _in_threads(self, work: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        executor = futures.ThreadPoolExecutor(self.workers)
        running: dict[futures.Future[Any], int] = {}
        waiting = deque(enumerate(items))
        try:
            while waiting or running:
                while waiting and len(running) < self.workers:
                    n, item = waiting.popleft()
                    running[executor.submit(work, item)] = n
                for done in futures.wait(running, return_when=futures.FIRST_COMPLETED).done:
                    yield running.pop(done), done.result()
        finally:
            executor.shutdown(wait=True, cancel_futures=True)

    def _in_processes(self, work: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        waiting = deque(enumerate(items))
        tries = [0] * len(items)
        running: dict[futures.Future[Any], tuple[int, Any]] = {}
        while waiting or running:
            while waiting and len(running) < self.workers:
                n, item = waiting.popleft()
                tries[n] += 1
                running[self._workers_of_ours().submit(work, item)] = (n, item)
            for done in futures.wait(running, return_when=futures.FIRST_COMPLETED).done:
                n, item = running.pop(done)
                try:
                    result = done.result()
                except BrokenProcessPool:
                    # The pool does not say whose worker died: all that ran are run again.
                    if tries[n] >= TRIES:
                        raise RunError(
                            f"a worker died {TRIES} times on the same item: is there enough memory?"
                        ) from None
                    waiting.appendleft((n, item))
                    if self._processes is not None:
                        self._processes.shutdown(wait=False, cancel_futures=True)
                        self._processes = None
                    continue
                yield n, result

    def _workers_of_ours(self) -> futures.ProcessPoolExecutor:
        if self._processes is None:
            # Forking a process in which Arrow has threads is not safe.
            self._processes = futures.ProcessPoolExecutor(
                self.workers, mp_context=get_context("spawn"), initializer=_begin_worker
            )
        return self._processes

    def close(self) -> None:
        """Ends the workers, whatever they are at: what is whole is under its name already."""
        if self._processes is not None:
            workers = list(getattr(self._processes, "_processes", {}).values())
            self._processes.shutdown(wait=False, cancel_futures=True)
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.join(5)
            self._processes = None


class RayPool:
    """Runs items as Ray tasks: on the cluster that is there, else on a Ray of this machine that leaves it usable."""

    def __init__(self, workers: int | None = None) -> None:
        self._ray = _quiet_ray()
        self._limit = workers
        if not self._ray.is_initialized():
            self._join_or_start(workers)
        self.workers = workers or max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def _join_or_start(self, workers: int | None) -> None:
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error", "configure_logging": True}
        named = os.environ.get("RAY_ADDRESS", "")
        if named and not _answers(named):
            raise _no_cluster(named)
        try:
            if named or _answers(_noted_address()):
                self._ray.init(address="auto", **quiet)
                return
        except ConnectionError:
            if named:
                raise _no_cluster(named) from None
        self._ray.init(
            address="local",
            num_cpus=workers or cores(),
            object_store_memory=LOCAL_OBJECT_STORE,
            include_dashboard=False,
            **quiet,
        )

    def map(
        self, work: Callable[[Any], Any], items: Sequence[Any], needs: Resources | None = None, threads: bool = False
    ) -> Iterator[tuple[int, Any]]:
        needs = needs or Resources()
        task = self._ray.remote(
            num_cpus=needs.cpus, num_gpus=needs.gpus, memory=needs.memory, max_retries=TRIES, max_calls=0
        )(_on_ray)
        handle = self._ray.put(work)
        waiting = deque(enumerate(items))
        running: dict[Any, int] = {}
        try:
            while waiting or running:
                # A few more than there are workers, so that none waits for the driver.
                while waiting and len(running) < self.workers + (2 if self._limit is None else 0):
                    n, item = waiting.popleft()
                    running[task.remote(handle, item)] = n
                done, _ = self._ray.wait(list(running), num_returns=1)
                for reference in done:
                    yield running.pop(reference), self._get(reference)
        finally:
            for reference in running:
                self._ray.cancel(reference, force=False)

    def _get(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            # What the shard's own code raised is told in its own words; what broke in Ray is Ray's.
            if isinstance(cause, Exception) and not isinstance(cause, self._ray.exceptions.RayError):
                raise cause from None
            what = str(cause or error).splitlines()[0]
            raise RunError(f"Ray could not finish a shard after {TRIES} retries: {what}") from None

    def close(self) -> None:
        """Leaves the cluster, or stops the Ray that was started here."""
        self._ray.shutdown()


def _noted_address() -> str:
    """Where the Ray that was started last on this machine listened: it may have gone without a word."""
    note = Path(os.environ.get("RAY_TMPDIR", "/tmp"), "ray", "ray_current_cluster")
    try:
        return note.read_text().strip()
    except OSError:
        return ""


def _answers(address: str) -> bool:
    """Whether something listens there, as far as that can be told; Ray itself would wait or end the process."""
    host, _, port = address.rpartition(":")
    if "://" in address or not port.isdecimal():
        return bool(address)
    try:
        socket.create_connection((host, int(port)), 10).close()
    except OSError:
        return False
    return True


def _no_cluster(address: str) -> RunError:
    return RunError(f"no Ray cluster answers at RAY_ADDRESS={address}; start one, or unset it to run on this machine")


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quiet_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "1")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_TQDM", "0")
    warnings.filterwarnings("ignore", category=FutureWarning, module="ray")
    import ray  # a run without Ray does not pay for importing it
    import ray.exceptions

    return ray


def _on_ray(work: Callable[[Any], Any], item: Any) -> Any:
    return work(item)


def _begin_worker() -> None:
    # Ctrl-C reaches the whole group; the driver decides what becomes of the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    memory.keep_freed()
    threading.Thread(target=_end_with_driver, daemon=True).start()


def _end_with_driver() -> None:
    # One that was killed ends no workers, and these would wait for ever: each holds both ends of their queue.
    driver = parent_process()
    assert driver
    driver.join()
    os._exit(1)
