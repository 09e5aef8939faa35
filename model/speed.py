"""How fast a training is: tokens a second, the shares of the device's speed that go by the name of MFU, time left."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from model.config import ModelConfig
from model.costs import A100_FLOPS, H100_FLOPS, mfu, token_flops
from model.ops import Train
from model.place import Place

_SIDE = {"cpu": 1024, "cuda": 8192}
"""Rows and columns of the product that is timed."""


class Clock:
    """Tokens a second and shares of the device's speed since the last line, and the time that is left."""

    def __init__(self, job: Train, config: ModelConfig, length: int, here: Place, adapters: int = 0) -> None:
        self.job, self.config, self.length, self.here, self.adapters = job, config, length, here, adapters
        self.matmul = matmul_flops(here.device)
        self.peak = peak_flops(here.device, self.matmul)
        self.restart()

    def restart(self) -> None:
        """Begins to measure anew: what was between is no training."""
        self._last, self._counts, self._steps = time.monotonic(), np.zeros(4), 0

    def tick(self, counts: Any) -> None:
        """Counts a step: its targets, documents, and Σlen and Σlen² of what attends to itself."""
        self._counts = self._counts + counts
        self._steps += 1

    def figures(self, step: int) -> dict[str, float]:
        """Speed since the last line."""
        elapsed = max(time.monotonic() - self._last, 1e-9)
        tokens, _, places, squares = self._counts
        span = squares / max(places, 1.0) if self.job.document_mask else None
        flops = token_flops(self.config, self.length, span, self.adapters)
        # Padding is computed like anything else.
        each = places / elapsed / self.here.ranks
        told = {
            "seconds": round(elapsed, 3),
            "seconds_left": round((self.job.steps - step) * elapsed / max(self._steps, 1), 1),
            "tokens_per_second": round(tokens / elapsed, 1),
            "mfu_palm": round(mfu(flops.palm, each, self.peak), 4),
            "mfu_causal": round(mfu(flops.causal, each, self.peak), 4),
            "mfu_documents": round(mfu(flops.documents, each, self.peak), 4),
            "share_of_matmul": round(mfu(flops.causal, each, self.matmul), 4),
        }
        self.restart()
        return told


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
