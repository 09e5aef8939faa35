"""What a worker answers when a shard is done: the figures of each step, the files with their bytes, the seconds."""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine import storage
from engine.stage import Task


@dataclass
class StepCount:
    """What a step did to a shard: rows that came, dropped by reason, changed; seconds of CPU."""

    step: str
    op: str
    rows: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    quarantined: int = 0
    born: int = 0
    changed: int = 0
    seconds: float = 0.0
    noted: dict[str, int] = field(default_factory=dict)
    """What was counted besides, by name; nothing is lost by it."""

    def drop(self, reason: str, rows: int = 1) -> None:
        """Counts rows that are dropped."""
        if rows:
            self.dropped[reason] = self.dropped.get(reason, 0) + rows


class Receipt:
    """The figures of a shard, counted while it is run."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.steps: dict[str, StepCount] = {}
        self.read = self.kept = self.text_bytes = self.markup_replaced = self.op_errors = 0
        self._began, self._cpu = time.perf_counter(), time.thread_time()

    def step(self, step: str, op: str) -> StepCount:
        """The figures of a step; those of steps that nothing has come to yet are nought."""
        return self.steps.setdefault(step, StepCount(step, op))

    def write(self, files: Mapping[str, str], volumes: Mapping[str, Mapping[str, list[int]]]) -> dict[str, Any]:
        """The receipt as it was written; from here on the shard counts as done.

        `files` are the shard's URLs by kind, `volumes` its documents and bytes by language. Raises AssertionError
        where a document is lost.
        """
        counts = self.steps.values()
        receipt = {
            "shard": self.task.shard.name,
            "stream": self.task.stage.stream,
            "fingerprint": self.task.fingerprint,
            "read": self.read,
            "born": sum(c.born for c in counts),
            "kept": self.kept,
            "dropped": sum(sum(c.dropped.values()) for c in counts),
            "quarantined": sum(c.quarantined for c in counts),
            "op_errors": self.op_errors,
            "markup_replaced": self.markup_replaced,
            "input_bytes": self.task.shard.bytes,
            "text_bytes": self.text_bytes,
            "steps": [vars(c) for c in counts],
            **volumes,
            "files": {k: u.rsplit("/", 1)[-1] for k, u in files.items()},
            "file_bytes": {k: storage.file_info(u).bytes for k, u in files.items()},
            "seconds": round(time.perf_counter() - self._began, 4),
            "cpu_seconds": round(time.thread_time() - self._cpu, 4),
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }
        came = self.read + receipt["born"]
        assert came == receipt["kept"] + receipt["dropped"] + receipt["quarantined"], receipt
        storage.write_json(receipt_url(self.task.out, self.task.shard.name), receipt)
        return receipt


def receipt_url(folder: str, shard: str) -> str:
    """Where the receipt of a shard lies in a stage's folder."""
    return storage.join(folder, "receipts", f"{shard}.json")
