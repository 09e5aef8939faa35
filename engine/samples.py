"""The text of a few dropped documents a reason, chosen by chance, for people to look at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from engine.digest import chances
from engine.op import Batch
from engine.schema import SAMPLE

SAMPLES = 50
"""Dropped documents a reason whose text is kept (decision 1)."""
SAMPLE_CHARACTERS = 4000
"""Characters of such a text that are kept."""
_NAMES = ("id", "path", "repo_name")

Key = tuple[str, str]
"""A step and the reason for which it drops."""


class Samples:
    """The samples of a shard so far."""

    def __init__(self, stream: str, seed: int) -> None:
        self._stream, self._seed = stream, seed
        self._held: dict[Key, list[Any]] = {}
        self._highest: dict[Key, float] = {}
        """Of each step and reason that has its samples, the draw below which a document still becomes one."""

    def offer(
        self, batch: Batch, rows: Any, ids: pa.Array, keys: list[Key], codes: Any, score: pa.Array, public: Any
    ) -> None:
        """Chooses among rows of a batch with these ids, each dropped for a key, which its code names.

        Only of those that are `public` may the text be kept.
        """
        draws = chances(ids, self._seed, "samples")
        highest = np.array([self._highest.get(key, 1.0) for key in keys])
        low = np.flatnonzero((draws < highest[codes]) & public)
        for code in np.unique(codes[low]):
            self._keep(keys[code], batch, rows, low[codes[low] == code], draws, score)

    def _keep(self, key: Key, batch: Batch, lost: Any, chosen: Any, draws: Any, score: pa.Array) -> None:
        """Keeps the text of the first few dropped documents by chance; from then on only earlier ones are looked at."""
        chosen = chosen[np.argsort(draws[chosen], kind="stable")][:SAMPLES]
        rows, held = pa.array(lost[chosen]), self._held.setdefault(key, [])
        content = batch.column("content")
        text = [_beginning(content[row].as_buffer()) for row in lost[chosen].tolist()]
        figures = score.take(pa.array(chosen)).to_pylist()
        columns = [batch.column(n).take(rows).to_pylist() for n in _NAMES]
        held += list(zip(draws[chosen].tolist(), *columns, figures, text, strict=True))
        held.sort(key=lambda sample: (sample[0], sample[1]))
        del held[SAMPLES:]
        if len(held) == SAMPLES:
            self._highest[key] = held[-1][0]

    def table(self) -> pa.Table:
        """The samples by step and reason, each group in the order of its draws."""
        rows = [
            {
                "id": i,
                "path": p,
                "repo_name": r,
                "stream": self._stream,
                "step": step,
                "reason": why,
                "score": s,
                "content": t,
            }
            for (step, why), held in sorted(self._held.items())
            for _, i, p, r, s, t in held
        ]
        return pa.Table.from_pylist(rows, SAMPLE)


def _beginning(text: pa.Buffer) -> str:
    """The first characters of a text; no more of it is decoded."""
    return text.slice(0, min(text.size, 4 * SAMPLE_CHARACTERS)).to_pybytes().decode(errors="ignore")[:SAMPLE_CHARACTERS]
