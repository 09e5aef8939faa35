"""What a training tells while it runs: lines of JSON, TensorBoard where it is installed, and one line for people."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch

from model.costs import A100_FLOPS, H100_FLOPS

FILE = "metrics.jsonl"
_SIDE = {"cpu": 1024, "cuda": 8192}


class Metrics:
    """Writes records to `metrics.jsonl` and TensorBoard; what a killed run wrote beyond `step` is taken out first."""

    def __init__(self, folder: Path, step: int) -> None:
        self._path = folder / FILE
        kept = [line for line in _lines(self._path) if line["step"] <= step]
        self._path.write_text("".join(json.dumps(line) + "\n" for line in kept))
        self._file = self._path.open("a")
        self._board: Any = None
        with contextlib.suppress(ImportError):
            from torch.utils.tensorboard import SummaryWriter  # only where it is installed

            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, **figures: Any) -> None:
        """A line with the figures of the first `step` steps."""
        self._file.write(json.dumps({"step": step, **figures}) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in figures.items():
                if isinstance(value, int | float):
                    self._board.add_scalar(name, value, step)
            self._board.flush()

    def close(self) -> None:
        """Ends both."""
        self._file.close()
        if self._board is not None:
            self._board.close()


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


def matmul_flops(device: torch.device) -> float:
    """FLOP/s that a large product reaches on the device, in the numbers that training has there; best of twenty."""
    side, kind = _SIDE[device.type], torch.bfloat16 if device.type == "cuda" else torch.float32
    a = torch.randn(side, side, dtype=kind, device=device, generator=torch.Generator(device).manual_seed(0))
    best = 0.0
    for _ in range(20):
        began = time.perf_counter()
        float((a @ a)[0, 0])
        best = max(best, 2.0 * side**3 / (time.perf_counter() - began))
    return best


def peak_flops(device: torch.device, measured: float) -> float:
    """Dense bf16 FLOP/s of the device by its maker's data sheet; where we know none, what was measured."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    known = {"H100": H100_FLOPS, "H200": H100_FLOPS, "A100": A100_FLOPS}
    return next((flops for part, flops in known.items() if part in name), measured)
