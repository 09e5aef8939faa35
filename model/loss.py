"""Head and cross-entropy in one, by chunks of rows: the logits of a whole batch never exist at once.

A vocabulary of 49,152 makes the logits the largest tensor of a small model by far. The gradients are computed beside
the loss, while a chunk's logits are at hand, into memory that is used again: nothing is recomputed, and no fresh pages
are asked of the system. On a CPU a chunk is cut into tiles of the vocabulary besides, which its cache holds.

Shapes: N tokens, C tokens of a chunk, D width, V vocabulary, W words of a tile.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = -100
"""The target of a token without loss."""

CHUNK_BYTES = 64 << 20
"""Memory of one chunk's logits on a CPU; sixteen times as much on an accelerator."""

TILE = 4096
"""Words of a tile on a CPU: with 320 rows, 5 MB. An accelerator takes all words at once."""


def summed_cross_entropy(x_ND: Tensor, head_VD: Tensor, targets_N: Tensor, chunk: int = 0, tile: int = 0) -> Tensor:
    """The sum of the cross-entropies of `x @ headᵀ` in nats, as a float32 scalar; targets of -100 add nothing.

    `chunk` rows and `tile` words are taken at a time, by default what suits the device.
    """
    kind = x_ND.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x_ND.dtype
    chunk, tile = chunk or _rows(head_VD), tile or (TILE if kind == "cpu" else len(head_VD))
    if torch.is_grad_enabled() and (x_ND.requires_grad or head_VD.requires_grad):
        total: Tensor = _Summed.apply(x_ND, head_VD, targets_N, chunk, tile, dtype)  # type: ignore[assignment]
        return total
    return token_losses(x_ND.to(dtype), head_VD.to(dtype), targets_N, chunk).sum()


@torch.no_grad()
def token_losses(x_ND: Tensor, head_VD: Tensor, targets_N: Tensor, chunk: int = 0) -> Tensor:
    """Each token's cross-entropy in nats, float32, 0 where the target is -100; without gradients."""
    pieces = zip(*(t.split(chunk or _rows(head_VD)) for t in (x_ND, targets_N)), strict=True)
    return torch.cat(
        [
            F.cross_entropy((x_CD @ head_VD.T).float(), y_C, ignore_index=IGNORED, reduction="none")
            for x_CD, y_C in pieces
        ]
    )


def _rows(head_VD: Tensor) -> int:
    room = CHUNK_BYTES if head_VD.device.type == "cpu" else 16 * CHUNK_BYTES
    return max(64, room // (4 * len(head_VD)) // 64 * 64)


class _Summed(torch.autograd.Function):
    """The loss forward, with its gradients computed on the way."""

    @staticmethod
    def forward(
        ctx: Any, x_ND: Tensor, head_VD: Tensor, targets_N: Tensor, chunk: int, tile: int, dtype: torch.dtype
    ) -> Tensor:
        ctx.dtypes = x_ND.dtype, head_VD.dtype
        # A frozen head, as under LoRA, gets no gradient: a third of the work is saved.
        dhead_VD = torch.empty_like(head_VD, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        x_ND, head_VD = x_ND.to(dtype), head_VD.to(dtype)
        dx_ND = torch.empty_like(x_ND)
        total = torch.zeros((), dtype=torch.float32, device=x_ND.device)
        room = x_ND.new_empty(min(chunk, len(x_ND)) * len(head_VD))
        for n, (x_CD, y_C, dx_CD) in enumerate(zip(*(t.split(chunk) for t in (x_ND, targets_N, dx_ND)), strict=True)):
            total += _chunk(x_CD, head_VD, y_C, dx_CD, dhead_VD, room, tile, first=n == 0)
        ctx.save_for_backward(dx_ND, dhead_VD)
        return total

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        dx_ND, dhead_VD = ctx.saved_tensors
        # In place: a second backward through the same loss would be wrong, and torch refuses it by these versions.
        dhead_VD = None if dhead_VD is None else dhead_VD.mul_(scale).to(ctx.dtypes[1])
        return dx_ND.mul_(scale).to(ctx.dtypes[0]), dhead_VD, None, None, None, None


def _chunk(
    x_CD: Tensor,
    head_VD: Tensor,
    y_C: Tensor,
    dx_CD: Tensor,
    dhead_VD: Tensor | None,
    room: Tensor,
    tile: int,
    first: bool,
) -> Tensor:
    """The summed loss of some rows; writes their gradient and adds to the head's (`first` writes it).

    The derivative by the logits is softmax less one at the target. Each tile keeps exp(logits - its own largest); what
    is lacking, a factor for every row and tile, is known after the last tile and goes onto the narrow side of the
    products (as in online softmax, Milakov and Gimelshein 2018).
    """
    counted_C1 = (y_C != IGNORED)[:, None]
    y_C = y_C.clamp(min=0)
    right_C1 = torch.zeros(len(y_C), 1, dtype=torch.float32, device=y_C.device)
    peaks, sums, slopes = [], [], []
    for start, tile_WD in zip(range(0, len(head_VD), tile), head_VD.split(tile), strict=True):
        at, size = start * len(x_CD), len(tile_WD) * len(x_CD)
        logits_CW = torch.mm(x_CD, tile_WD.T, out=room[at : at + size].view(len(x_CD), -1))
        place_C1 = y_C[:, None] - start
        here_C1 = (place_C1 >= 0) & (place_C1 < len(tile_WD))
        right_C1 += logits_CW.gather(1, place_C1.clamp(0, len(tile_WD) - 1)) * here_C1
        peaks.append(logits_CW.amax(1, keepdim=True))
        if logits_CW.dtype == torch.float32:
            exact_CW = share_CW = logits_CW.sub_(peaks[-1]).exp_()
        else:
            exact_CW = (logits_CW.float() - peaks[-1].float()).exp_()
            share_CW = logits_CW.copy_(exact_CW)
        sums.append(exact_CW.sum(1, keepdim=True))
        slopes.append((share_CW, share_CW @ tile_WD))
    peaks_CS = torch.cat(peaks, 1).float()
    norm_C1 = (peaks_CS + torch.cat(sums, 1).log()).logsumexp(1, keepdim=True)
    factors = ((peaks_CS - norm_C1).exp() * counted_C1).split(1, dim=1)
    dx_CD.copy_(sum((dx_CW * f for (_, dx_CW), f in zip(slopes, factors, strict=True)), -head_VD[y_C] * counted_C1))
    if dhead_VD is not None:
        for (share_CW, _), factor_C1, dhead_WD in zip(slopes, factors, dhead_VD.split(tile), strict=True):
            scaled_CD = (x_CD * factor_C1).to(share_CW.dtype)
            if share_CW.dtype == dhead_WD.dtype:
                dhead_WD.addmm_(share_CW.T, scaled_CD, beta=0 if first else 1)
            elif first:
                dhead_WD.copy_(share_CW.T @ scaled_CD)
            else:
                dhead_WD += share_CW.T @ scaled_CD
        dhead_VD.index_add_(0, y_C, (x_CD * counted_C1).float(), alpha=-1)
    return ((norm_C1 - right_C1) * counted_C1).sum()
