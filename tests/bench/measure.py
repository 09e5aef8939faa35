"""Whole processes, measured from outside: wall and processor seconds, memory of the process tree, load of others.

Nothing here is imported by what is measured, and nothing heavy is imported here. A command's processes are found by
their parents; those that outlive the command come to this process (Linux's subreaper) and are waited for, so that the
workers of Ray and of process pools are in the sums. Memory is the largest PSS of the tree at any look, and the largest
VmHWM of one process. What others did to the machine meanwhile is `foreign`, in cores: runs with more than a tenth are
disturbed, and the results say so.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

LOOK_SECONDS = 0.2
"""Time between two looks at the memory of the tree."""
_TICK = os.sysconf("SC_CLK_TCK")
_SUBREAPER = 36


@dataclass(frozen=True)
class Run:
    """One run of a command."""

    seconds: float
    """From the start to the exit of the command itself."""
    cpu: float
    """User and system seconds of the whole tree."""
    pss: int
    """Bytes: the largest sum of the proportional set sizes of the tree."""
    rss: int
    """Bytes: the largest resident set of one process of the tree."""
    own: int
    """Bytes: the largest resident set of the command's own process: with Ray, of the driver."""
    foreign: float
    """Cores that other processes kept busy meanwhile."""
    first: float | None
    """Seconds until the file that was watched for was there."""
    output: str
    """What the command wrote to stdout."""


class Failed(RuntimeError):
    """A command that did not end well, with the end of what it said."""


def pin(cores: int) -> None:
    """Keeps this process and all that it starts on the first `cores` processors that it may use."""
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, allowed[:cores])


def run(
    command: Sequence[str | Path],
    environment: Mapping[str, str] | None = None,
    watch: tuple[Path, str] | None = None,
    folder: Path | None = None,
    timeout: float = 3600,
) -> Run:
    """Runs a command to its end. `watch` is a folder and a pattern below it: the first file that matches is timed.

    Raises Failed for an exit code other than 0 and after `timeout` seconds.
    """
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        busy, began = _machine_seconds(), time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=out,
            stderr=err,
            stdin=subprocess.DEVNULL,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        with _Watch(process.pid, began, watch) as seen:
            killer = threading.Timer(timeout, _end, [process.pid])
            killer.start()
            _, status, used = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - began
            killer.cancel()
            cpu = used.ru_utime + used.ru_stime + _reap_orphans()
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - began
        foreign = max(0.0, (_machine_seconds() - busy - cpu) / wall)
        out.seek(0)
        err.seek(0)
        output, said = out.read().decode("utf-8", "replace"), err.read().decode("utf-8", "replace")
    if process.returncode:
        end = "\n".join((said or output).splitlines()[-15:])
        raise Failed(f"{' '.join(map(str, command))}\nended with {process.returncode} after {seconds:.1f} s:\n{end}")
    return Run(seconds, cpu, seen.pss, seen.rss, seen.own, foreign, seen.first, output)


def _end(pid: int) -> None:
    for each in (*_tree(pid), pid):
        try:
            os.kill(each, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _reap_orphans(patience: float = 15.0) -> float:
    """The processor seconds of processes that outlived the command, once they have ended; then they are ended."""
    cpu, until = 0.0, time.monotonic() + patience
    while True:
        try:
            pid, _, used = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return cpu
        if pid:
            cpu += used.ru_utime + used.ru_stime
            continue
        if time.monotonic() > until:
            for each in _tree(os.getpid()):
                os.kill(each, signal.SIGKILL)
        time.sleep(0.02)


class _Watch(threading.Thread):
    """Looks at the memory of a process tree until it is left, and for a file."""

    def __init__(self, pid: int, began: float, watch: tuple[Path, str] | None) -> None:
        super().__init__(daemon=True)
        self.pid, self.began, self.watch = pid, began, watch
        self.pss = self.rss = self.own = 0
        self.first: float | None = None
        self.over = threading.Event()

    def __enter__(self) -> _Watch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()

    def run(self) -> None:
        next_look = 0.0
        while not self.over.wait(0.02 if self.watch else LOOK_SECONDS):
            if self.watch and self.first is None and any(self.watch[0].glob(self.watch[1])):
                self.first = time.perf_counter() - self.began
            if time.perf_counter() >= next_look:
                next_look = time.perf_counter() + LOOK_SECONDS
                sizes = [_memory(pid) for pid in (self.pid, *_tree(os.getpid(), but=self.pid))]
                self.pss = max(self.pss, sum(pss for pss, _ in sizes))
                self.rss = max(self.rss, *(rss for _, rss in sizes))
                self.own = max(self.own, sizes[0][1])


def _tree(root: int, but: int | None = None) -> list[int]:
    """The processes below one, children before their own."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                stat = Path(f"/proc/{entry.name}/stat").read_text()
            except OSError:
                continue
            parent = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return [pid for pid in found if pid != but]


def _memory(pid: int) -> tuple[int, int]:
    """The PSS of a process and the largest RSS that it ever had, in bytes; zeros for one that is gone."""
    try:
        pss = _kilobytes(Path(f"/proc/{pid}/smaps_rollup").read_text(), "Pss:")
        rss = _kilobytes(Path(f"/proc/{pid}/status").read_text(), "VmHWM:")
    except OSError:
        return 0, 0
    return pss, rss


def _kilobytes(text: str, name: str) -> int:
    for line in text.splitlines():
        if line.startswith(name):
            return int(line.split()[1]) << 10
    return 0


def _machine_seconds() -> float:
    """Processor seconds that all processors of this process have been busy since the machine started."""
    mine = {f"cpu{n}" for n in os.sched_getaffinity(0)}
    total = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name in mine:
            user, nice, system, _, _, irq, soft = map(int, ticks[:7])
            total += user + nice + system + irq + soft
    return total / _TICK


# --- contenders in turns ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Contender:
    """What is compared: a name, and the command for an input folder and an output folder."""

    name: str
    command: Callable[[Path, Path], Sequence[str | Path]]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Taken:
    """All runs of a contender on one input."""

    name: str
    runs: list[Run] = field(default_factory=list)
    starts: list[Run] = field(default_factory=list)
    """Runs on next to nothing: what starting costs."""
    error: str | None = None

    def median(self, name: str, of: str = "runs") -> float:
        """The median of a figure of the runs, or of the starts."""
        return statistics.median(getattr(run, name) for run in getattr(self, of))

    @property
    def net(self) -> float:
        """Seconds without those that starting takes."""
        return self.median("seconds") - (self.median("seconds", "starts") if self.starts else 0.0)

    @property
    def net_cpu(self) -> float:
        """Processor seconds without those that starting takes."""
        return self.median("cpu") - (self.median("cpu", "starts") if self.starts else 0.0)

    def as_json(self) -> dict[str, object]:
        """The figures as results keep them; seconds and bytes."""
        if self.error:
            return {"name": self.name, "error": self.error}
        return {
            "name": self.name,
            "seconds": [round(r.seconds, 3) for r in self.runs],
            "cpu_seconds": [round(r.cpu, 3) for r in self.runs],
            "start_seconds": [round(r.seconds, 3) for r in self.starts],
            "start_cpu_seconds": [round(r.cpu, 3) for r in self.starts],
            "pss": max(r.pss for r in self.runs),
            "rss": max(r.rss for r in self.runs),
            "foreign_cores": [round(r.foreign, 2) for r in self.runs],
        }


def in_turns(
    contenders: Sequence[Contender], corpus: Path, start: Path | None, runs: int, scratch: Path
) -> Iterator[tuple[Contender, Taken, Path]]:
    """Runs the contenders in turns, `runs` rounds after one on the small input `start` that is not counted.

    Yields after each contender's last run with what was taken and its output, which is removed afterwards. A contender
    that fails is left out of the rounds that follow, and `Taken.error` says why.
    """
    taken = {c.name: Taken(c.name) for c in contenders}
    for path in sorted(corpus.iterdir()):
        path.read_bytes()
    for round_ in range(-1 if start else 0, runs):
        for contender in contenders:
            record = taken[contender.name]
            if record.error:
                continue
            try:
                if start:
                    with fresh(scratch) as out:
                        begun = run(contender.command(start, out), contender.environment)
                    if round_ >= 0:
                        record.starts.append(begun)
                if round_ < 0:
                    continue
                with fresh(scratch) as out:
                    record.runs.append(run(contender.command(corpus, out), contender.environment))
                    _say(contender.name, record.runs[-1])
                    if round_ == runs - 1:
                        yield contender, record, out
            except Failed as error:
                record.error = str(error)
                print(f"  {contender.name}: {error}", file=sys.stderr, flush=True)
                yield contender, record, scratch


def _say(name: str, run: Run) -> None:
    print(
        f"  {name:<34} {run.seconds:8.2f} s  {run.cpu:8.2f} cpu s  {run.pss / 1e6:7,.0f} MB PSS  "
        f"{run.foreign:.2f} foreign cores",
        file=sys.stderr,
        flush=True,
    )


@contextmanager
def fresh(scratch: Path) -> Iterator[Path]:
    """A folder that is not there yet, and is removed afterwards."""
    scratch.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(dir=scratch)) / "out"
    try:
        yield place
    finally:
        shutil.rmtree(place.parent, ignore_errors=True)
