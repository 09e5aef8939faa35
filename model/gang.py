"""Ranks that train together: in this process, in processes of this machine, or as a Ray Train job.

A rank that dies takes the others with it, and all are started again: they go on from the last checkpoint. What a rank
raises for the user to mend is raised here. `launch` is all that the op knows of it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from engine import storage
from engine.errors import EngineError
from engine.op import fail
from model.ops import Train

# What torch documents and its stubs do not list as exported.
_dist: Any = dist

Work = Callable[..., dict[str, Any]]
"""`train` or `evaluate`: takes the op, the run, the folder to make, and what to call after a checkpoint."""


def launch(work: Work, job: Train, run: str, out: str, ranks: int) -> dict[str, Any]:
    """What rank 0 answers when all `ranks` have done the work.

    What several ranks train on Ray is evaluated there as well: the machine that drives may have no such device.
    """
    if job.ranks > 1 and "ray" in sys.modules and sys.modules["ray"].is_initialized():
        return _on_ray(work, job, run, out, ranks)
    return _alone(work, job, run, out) if ranks == 1 else _here(work, job, run, out, ranks)


def _backend(job: Train) -> str:
    gpu = job.device != "cpu" and torch.cuda.is_available()
    return "cpu:gloo,cuda:nccl" if gpu else "gloo"


def _alone(work: Work, job: Train, run: str, out: str) -> dict[str, Any]:
    with _group(job, _dist.HashStore(), 0, 1):
        return work(job, run, out)


@contextlib.contextmanager
def _group(job: Train, store: Any, rank: int, ranks: int) -> Iterator[None]:
    dist.init_process_group(_backend(job), store=store, rank=rank, world_size=ranks)
    try:
        yield
    finally:
        dist.destroy_process_group()


# --- processes of this machine ------------------------------------------------------------------------------------


def _here(work: Work, job: Train, run: str, out: str, ranks: int) -> dict[str, Any]:
    failures, reached = 0, -1
    while True:
        answer = _gang(work, job, run, out, ranks)
        if answer is not None:
            return answer
        step = _last_step(out)
        failures = failures + 1 if step == reached else 1
        reached = step
        if failures > job.restarts:
            raise fail(job, f"a rank died {failures} times without coming further: is there enough memory?")


def _last_step(out: str) -> int:
    folder = storage.local_path(out) / "checkpoints"
    return max((int(path.name[5:]) for path in folder.glob("step-????????")), default=0)


def _gang(work: Work, job: Train, run: str, out: str, ranks: int) -> dict[str, Any] | None:
    """What rank 0 answers, or None where a rank died."""
    context = get_context("spawn")
    with tempfile.TemporaryDirectory() as meeting:
        pipes = [context.Pipe(duplex=False) for _ in range(ranks)]
        given = [(work, job, run, out, rank, ranks, str(Path(meeting) / "store")) for rank in range(ranks)]
        gang = [
            context.Process(target=_rank, args=(*each, pipe[1]), daemon=True)
            for each, pipe in zip(given, pipes, strict=True)
        ]
        for process, (_, sender) in zip(gang, pipes, strict=True):
            process.start()
            sender.close()
        try:
            return _answers([receiver for receiver, _ in pipes])
        finally:
            for process in gang:
                process.kill()
            for process in gang:
                process.join()


def _answers(receivers: list[Any]) -> dict[str, Any] | None:
    waiting = {receiver: rank for rank, receiver in enumerate(receivers)}
    answers: dict[int, dict[str, Any]] = {}
    while waiting:
        for receiver in connection.wait(list(waiting)):
            try:
                answer = receiver.recv()  # type: ignore[union-attr]
            except EOFError:
                return None
            if isinstance(answer, BaseException):
                raise answer
            answers[waiting.pop(receiver)] = answer  # type: ignore[arg-type]
    return answers[0]


def _rank(work: Work, job: Train, run: str, out: str, rank: int, ranks: int, store: str, answer: Any) -> None:
    _end_with_parent()
    if job.device == "cpu" or not torch.cuda.is_available():
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // ranks))
        # All ranks are on this machine, whose name need not lead to an address.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    try:
        with _group(job, _dist.FileStore(store, ranks), rank, ranks):
            answer.send(work(job, run, out))
    except EngineError as wrong:
        answer.send(wrong)


def _end_with_parent() -> None:
    """A rank whose driver was killed ends: two trainings must not write one folder."""
    driver = parent_process()
    assert driver

    def wait() -> None:
        driver.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


# --- Ray Train ----------------------------------------------------------------------------------------------------


def _on_ray(work: Work, job: Train, run: str, out: str, ranks: int) -> dict[str, Any]:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    gpu = job.device == "cuda" or (job.device == "auto" and _cluster_gpus() >= ranks)
    answer = Path(storage.local_path(out)) / "answer.json"
    trainer = TorchTrainer(
        _ray_rank,
        train_loop_config={"work": work, "job": job, "run": run, "out": out, "answer": str(answer)},
        torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if gpu else "gloo"),
        scaling_config=ScalingConfig(num_workers=ranks, use_gpu=gpu),
        run_config=RunConfig(
            name=f"ray_{work.__name__}",
            storage_path=str(Path(storage.local_path(out)).absolute()),
            failure_config=FailureConfig(max_failures=job.restarts),
        ),
    )
    try:
        trainer.fit()
    except Exception as error:
        wrong = next((e for e in _causes(error) if isinstance(e, EngineError)), None)
        raise wrong or fail(job, f"Ray Train could not finish: {str(error).splitlines()[-1]}") from error
    told = storage.read_json(str(answer))
    answer.unlink()
    return told


def _cluster_gpus() -> int:
    import ray

    return int(ray.cluster_resources().get("GPU", 0))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        for inner in getattr(error, "worker_failures", {}).values():
            yield from _causes(inner)
        error = getattr(error, "cause", None) or error.__cause__


def _ray_rank(given: dict[str, Any]) -> None:
    from ray import train

    if train.get_context().get_world_rank() == 0:
        storage.write_json(
            given["answer"], given["work"](given["job"], given["run"], given["out"], lambda told: train.report(told))
        )
    else:
        given["work"](given["job"], given["run"], given["out"], lambda told: train.report(told))
