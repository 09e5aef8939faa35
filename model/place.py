"""Where a rank computes: its device, its numbers, its attention, and how the ranks share the model."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from engine.op import fail
from model import attention
from model.ops import Train
from model.transformer import Decoder


@dataclass(frozen=True)
class Place:
    """One rank among others."""

    rank: int
    ranks: int
    device: torch.device
    bf16: bool
    attention: str

    @classmethod
    def of(cls, job: Train) -> Place:
        """That of this process."""
        rank, gpu = dist.get_rank(), job.device == "cuda" or (job.device == "auto" and torch.cuda.is_available())
        if gpu and not torch.cuda.is_available():
            raise fail(job, "`device` is cuda, and torch finds none here")
        device = torch.device("cuda", rank % torch.cuda.device_count()) if gpu else torch.device("cpu")
        if gpu:
            torch.cuda.set_device(device)
        bf16 = job.precision == "bf16" or (job.precision == "auto" and gpu)
        backend = attention.choose(job.attention, device, job.dropout)
        return cls(rank, dist.get_world_size(), device, bf16, backend)

    def autocast(self) -> Any:
        """The context in which the forward pass computes."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def documents(self, bounds: Any, rows: int, length: int) -> attention.Documents:
        """The documents of a batch, as the attention wants them."""
        return attention.documents(bounds, rows, length, self.attention, self.device)

    def sum(self, values: Any) -> Any:
        """The sum of the ranks' values."""
        summed = torch.from_numpy(np.array(values, np.float64))
        dist.all_reduce(summed)
        return summed.numpy()


def spread(model: Decoder, job: Train, here: Place) -> nn.Module:
    """The model as it is called in training: blocks compiled, then shared out over the ranks by FSDP2 or DDP."""
    model.use_attention(here.attention)
    gpu = here.device.type == "cuda"
    # Compiled code is made for the lengths of documents that `sdpa` is given, and these differ in every batch.
    by_lengths = here.attention == "sdpa" and job.document_mask
    if job.compile or (job.compile is None and gpu and not by_lengths):
        for block in model.h:
            block.compile()
    if here.ranks == 1:
        return model
    if job.parallel == "ddp":
        return nn.parallel.DistributedDataParallel(
            model, device_ids=[here.device] if gpu else None, gradient_as_bucket_view=True
        )
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method

    reduced = torch.bfloat16 if here.bf16 else None
    policy = MixedPrecisionPolicy(param_dtype=reduced, reduce_dtype=torch.float32)
    for block in model.h:
        fully_shard(block, mp_policy=policy)
    fully_shard(model, mp_policy=policy)
    register_fsdp_forward_method(model, "token_losses")
    return model


def adding_up(forward: nn.Module, last: bool) -> Any:
    """The context of one of the backward passes of a step, of which the last gives the ranks' sum.

    DDP adds up at home before it. FSDP sums at each: whole gradients are what a rank has no room for.
    """
    return contextlib.nullcontext() if last or not hasattr(forward, "no_sync") else forward.no_sync()  # type: ignore[operator]


def whole(tensor: Tensor) -> Tensor:
    """A tensor that ranks may have shared out, whole."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor  # type: ignore[operator]
