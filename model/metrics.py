"""What a training tells while it runs: lines of JSON, TensorBoard where it is installed, and one line for people."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from pathlib import Path
from typing import Any

from engine import storage

FILE = "metrics.jsonl"


class Metrics:
    """Writes records to `metrics.jsonl` and TensorBoard; what a killed run wrote beyond `step` is taken out first.

    `told` is whether anything is written: of all ranks one tells.
    """

    def __init__(self, folder: Path, step: int, told: bool = True) -> None:
        self._file = self._board = None
        if not told:
            return
        path = folder / FILE
        kept = [line for line in _lines(path) if line["step"] <= step]
        storage.write_bytes(str(path), "".join(json.dumps(line) + "\n" for line in kept).encode())
        self._file = path.open("a")
        with contextlib.suppress(ImportError):
            from torch.utils.tensorboard import SummaryWriter  # only where it is installed

            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, **figures: Any) -> None:
        """A line with the figures of the first `step` steps."""
        if self._file is not None:
            self._file.write(json.dumps({"step": step, **figures}) + "\n")
            self._file.flush()
        if self._board is not None:
            for name, value in figures.items():
                if isinstance(value, int | float):
                    self._board.add_scalar(name, value, step)
            self._board.flush()

    def close(self) -> None:
        """Ends both."""
        for opened in (self._file, self._board):
            if opened is not None:
                opened.close()


def read(folder: Path) -> list[dict[str, Any]]:
    """The records of a training so far."""
    return _lines(folder / FILE)


def _lines(path: Path) -> list[dict[str, Any]]:
    found = []
    if path.exists():
        for line in path.read_text().splitlines():
            # A line that was being written when the process was killed.
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
    return found


class Watch:
    """Tells on standard error how a training comes on and when it will be over; reads what rank 0 writes, wherever."""

    def __init__(self, folder: Path, steps: int, seconds: float = 10.0) -> None:
        self._folder, self._steps, self._seconds = folder, steps, seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        last = None
        while not self._over.wait(self._seconds):
            with contextlib.suppress(OSError):
                told = [line for line in read(self._folder) if "loss" in line]
                if told and told[-1] != last:
                    last = told[-1]
                    sys.stderr.write(progress(last, self._steps) + "\n")


def progress(line: dict[str, Any], steps: int) -> str:
    """A record of `metrics.jsonl` for people."""
    left = line["seconds_left"]
    time_left = f"{left:.0f} s" if left < 90 else f"{left / 60:.0f} min" if left < 5400 else f"{left / 3600:.1f} h"
    return (
        f"  step {line['step']:,}/{steps:,}  loss {line['loss']:.3f}  {line['tokens_per_second']:,.0f} tokens/s  "
        f"{100 * line['mfu_palm']:.0f} % MFU (PaLM's)  {time_left} left"
    )
