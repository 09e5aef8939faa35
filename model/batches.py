"""Batches of sequences as plain arrays: inputs, targets, and the bounds of documents for masks and positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from engine.token_shards import Samples
from model.fim import EOD
from model.fim_reproduce import PAD
from model.order import Numbers

NO_LOSS = -100
"""The target of a place that is not in the loss, as `torch.nn.functional.cross_entropy` has it."""

Bounds = np.ndarray[Any, np.dtype[np.int32]]


@dataclass(frozen=True)
class Batch:
    """Sequences of a step for one rank: inputs, targets, and where documents end."""

    x: Numbers
    """int64 [rows, length]: the inputs."""
    y: Numbers
    """int64 [rows, length]: the next token of each input; `NO_LOSS` where there is none to learn."""
    bounds: Bounds
    """int32 [rows, most documents + 2]: 0, the end of each fragment of a document, and the length to the end. What lies
    between two neighbours attends to itself; padding is a part of its own."""
    sequences: Numbers
    """int64 [rows]: the place of each row in the whole of training."""
    samples: Numbers
    """int64 [rows]: the number of each row's sample among those of its split."""
    epochs: Numbers
    """int64 [rows]: how often the row's sample has been seen before."""
    counts: Mapping[str, int]
    """Tokens, padding, fragments, and what fill-in-the-middle did: `fim_drawn`, `psm`, `spm`, `fim_unfitting`."""

    def cu_seqlens(self) -> Bounds:
        """int32 [rows × (most documents + 1) + 1]: the bounds of all rows laid end to end, for kernels that take parts
        of different length; its own length is the same for every batch, parts of no length filling it up."""
        rows, length = self.x.shape
        ends = self.bounds[:, 1:].astype(np.int32) + (np.arange(rows, dtype=np.int32) * np.int32(length))[:, None]
        return np.concatenate([np.zeros(1, np.int32), ends.reshape(-1)])

    def positions(self) -> Numbers:
        """int64 [rows, length]: the place of each input in its fragment."""
        out = np.empty(self.x.shape, np.int64)
        _positions(self.bounds, out)
        return out


def laid(rows: Samples, length: int, fragments: int, plain: bool) -> tuple[Numbers, Numbers, Bounds]:
    """Inputs, targets and bounds of samples that have at most so many fragments.

    What was cut off does not say what comes next, since that is another document; `plain` learns it all the same.
    """
    count = len(rows.token_edges) - 1
    x, y = (np.empty((count, length), np.int64) for _ in range(2))
    bounds = np.empty((count, fragments + 2), np.int32)
    _lay(rows.tokens, rows.token_edges, rows.ends, rows.fragment_edges, plain, x, y, bounds)
    return x, y, bounds


@numba.njit(nogil=True, cache=True)
def _lay(
    tokens: Any, token_edges: Any, ends: Any, fragment_edges: Any, plain: bool, x: Any, y: Any, bounds: Any
) -> None:
    length = x.shape[1]
    for row in range(len(x)):
        lo = token_edges[row]
        held = token_edges[row + 1] - lo
        for k in range(length):
            x[row, k] = tokens[lo + k] if k < held else PAD
            y[row, k] = tokens[lo + k + 1] if k + 1 < held else NO_LOSS
        bounds[row] = length
        bounds[row, 0] = 0
        for k in range(fragment_edges[row], fragment_edges[row + 1]):
            end = ends[k]
            bounds[row, k - fragment_edges[row] + 1] = min(end, length)
            if not plain and 0 < end < held and tokens[lo + end - 1] != EOD:
                y[row, end - 1] = NO_LOSS


@numba.njit(nogil=True, cache=True)
def _positions(bounds: Any, out: Any) -> None:
    for row in range(len(out)):
        for k in range(bounds.shape[1] - 1):
            for place in range(bounds[row, k], bounds[row, k + 1]):
                out[row, place] = place - bounds[row, k]
