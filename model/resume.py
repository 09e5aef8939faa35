"""The state of a training run on disk: written aside in the background, verified before it is used, the last few kept.

A checkpoint is a folder `step-00001000` of files by `torch.distributed.checkpoint`, of which each rank writes a part
and which any number of ranks read, and `checkpoint.json` with the size and digest of each. The folder bears another
name until it is whole; one that was cut short or damaged since is recognised, and the one before is taken.
"""

from __future__ import annotations

import re
import shutil
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint
import xxhash

from engine import storage
from engine.errors import OpError

# What torch documents and its stubs do not list as exported.
dcp: Any = torch.distributed.checkpoint

FACTS = "checkpoint.json"
_NAME = re.compile(r"step-(\d{8})")


class Checkpoints:
    """The checkpoints in a folder, of which the last `keep` stay. All ranks make one, and call its methods together."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep
        self.rank, self.ranks = dist.get_rank(), dist.get_world_size()
        # Of its own: the background and the loop must not take each other's messages.
        self._group: Any = dist.new_group(backend="gloo")
        self._pending: Future[Any] | None = None
        if self.rank == 0:
            folder.mkdir(parents=True, exist_ok=True)
            for left in folder.glob("*" + storage.ASIDE):
                shutil.rmtree(left)
        dist.barrier(self._group)

    def save(self, step: int, tensors: dict[str, Any], facts: dict[str, Any]) -> None:
        """Begins to write the state before `step`: the tensors are copied now, and written while training goes on.

        Waits for the checkpoint before it; raises what went wrong with that.
        """
        self.settle()
        place = self.folder / f"step-{step:08}"
        aside = place.with_name(place.name + storage.ASIDE)
        written: Any = dcp.async_save(tensors, checkpoint_id=aside, process_group=self._group)
        self._pending = Future()
        pending = self._pending

        def finish(done: Future[Any]) -> None:
            try:
                done.result()
                if self.rank == 0:
                    self._publish(aside, place, facts)
                pending.set_result(None)
            except BaseException as wrong:
                pending.set_exception(wrong)

        written.add_done_callback(finish)

    def settle(self) -> None:
        """Waits until what was begun is whole; raises OpError where it could not be written."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            try:
                pending.result()
            except Exception as wrong:
                raise OpError(f"train: a checkpoint in {self.folder} could not be written: {wrong}") from wrong

    def _publish(self, aside: Path, place: Path, facts: dict[str, Any]) -> None:
        files = {path.name: _digest(path) for path in sorted(aside.iterdir())}
        storage.write_json(str(aside / FACTS), facts | {"files": files})
        if place.exists():
            shutil.rmtree(place)
        aside.rename(place)
        for old in self.places()[self.keep :]:
            shutil.rmtree(old)

    def places(self) -> list[Path]:
        """The folders of the checkpoints, the newest first."""
        found = (path for path in self.folder.iterdir() if _NAME.fullmatch(path.name))
        return sorted(found, reverse=True)

    def restore(self, tensors: dict[str, Any]) -> tuple[dict[str, Any] | None, list[str]]:
        """Reads the newest whole checkpoint into the tensors, in place.

        The answer is what `save` was told of it, or None where there is none, and the names of damaged newer ones.
        """
        damaged: list[str] = []
        for place in self.places():
            facts = self._verified(place)
            if facts is None:
                damaged.append(place.name)
                continue
            dcp.load(tensors, checkpoint_id=place, process_group=self._group)
            return facts, damaged
        return None, damaged

    def _verified(self, place: Path) -> dict[str, Any] | None:
        """What a checkpoint says of itself, or None where a file of it is not what was written."""
        try:
            facts = storage.read_json(str(place / FACTS))
            mine = list(facts["files"].items())[self.rank :: self.ranks]
            whole = all(_digest(place / name) == told for name, told in mine)
        except (OSError, ValueError, KeyError):
            facts, whole = None, False
        agreed = torch.tensor(int(whole))
        dist.all_reduce(agreed, dist.ReduceOp.MIN, self._group)
        return facts if agreed else None


def _digest(path: Path) -> list[Any]:
    """Bytes and digest of a file."""
    digest, size = xxhash.xxh3_128(), 0
    with path.open("rb") as file:
        while piece := file.read(1 << 24):
            digest.update(piece)
            size += len(piece)
    return [size, digest.hexdigest()]
