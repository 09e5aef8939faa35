"""Causal attention behind one contract: `(q_BTHK, k_BTGK, v_BTGK, documents | None) -> o_BTHK`.

With `documents`, a token sees only what precedes it in its own document; without, all that precedes it in its sample.
`sdpa` runs everywhere and is the oracle of the others: one call a document, no mask to get wrong. `varlen` (flash
kernels) and `flex` (compiled) take a whole packed batch in one call, `cudnn` whole samples; these want CUDA.

Shapes: B samples, T tokens, H heads of queries, G heads of keys and values (1 in MQA), K width of a head, N = B·T.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from engine.errors import OpError, did_you_mean

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # before torch 2.10
    varlen_attn: Any = None

# Torch's versions say it in different words that attention is causal, and that there are fewer heads of keys.
_KNOWN = inspect.signature(varlen_attn).parameters if varlen_attn else {}
VARLEN_OPTIONS: dict[str, Any] = {"window_size": (-1, 0)} if "window_size" in _KNOWN else {"is_causal": True}
if "enable_gqa" in _KNOWN:
    VARLEN_OPTIONS["enable_gqa"] = True


@dataclass(frozen=True)
class Documents:
    """Where the documents of a batch of packed samples begin and end, in the forms that the backends want."""

    bounds: Tensor
    """int32, from 0 to N over the flattened batch, ascending; sample borders are bounds; a repeated N is padding."""
    positions_BT: Tensor
    """A token's place in its own document."""
    lengths: tuple[int, ...]
    """Tokens of each document in order; empty where the backend does not read it."""
    blocks: Any = None
    """`flex`'s BlockMask: torch's class, absent from its CPU-only type stubs."""


def documents(cu_seqlens: Any, batch: int, length: int, backend: str, device: torch.device | str) -> Documents:
    """The documents of `batch` samples of `length` tokens, from bounds over the flattened batch (numpy or tensor).

    Bounds may be padded with batch · length to a fixed size, so that compiled code sees one shape. Sample borders are
    added where they are missing from a list without padding; an `OpError` tells of bounds that do not fit.
    """
    total = batch * length
    bounds = torch.as_tensor(cu_seqlens).to(dtype=torch.int32, device="cpu")
    if bounds.ndim != 1 or len(bounds) < 2 or bounds[0] != 0 or bounds[-1] != total or bool((bounds.diff() < 0).any()):
        raise OpError(f"document bounds must ascend from 0 to {total} (= {batch} · {length})")
    missing = sorted(set(range(0, total, length)) - set(bounds.tolist()))
    if missing:
        bounds = torch.cat([bounds, torch.tensor(missing, dtype=torch.int32)]).sort().values
    place_N = torch.arange(total)
    document_N = torch.searchsorted(bounds, place_N.to(torch.int32), right=True) - 1
    positions_BT = (place_N - bounds[document_N]).view(batch, length)
    lengths = tuple(n for n in bounds.diff().tolist() if n) if backend == "sdpa" else ()
    blocks = _block_mask(document_N.to(device), batch, length) if backend == "flex" else None
    return Documents(bounds.to(device), positions_BT.to(device), lengths, blocks)


Attend = Callable[[Tensor, Tensor, Tensor, "Documents | None", float], Tensor]


def sdpa(q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, docs: Documents | None, dropout: float = 0.0) -> Tensor:
    """Torch's scaled dot product attention; with documents, one call for each of them."""
    if docs is None:
        return _causal(q_BTHK, k_BTGK, v_BTGK, dropout)
    if len(set(docs.lengths)) == 1:
        q, k, v = (x.reshape(-1, docs.lengths[0], *x.shape[2:]) for x in (q_BTHK, k_BTGK, v_BTGK))
        return _causal(q, k, v, dropout).reshape(q_BTHK.shape)
    apart = zip(*(x.flatten(0, 1).split(docs.lengths) for x in (q_BTHK, k_BTGK, v_BTGK)), strict=True)
    return torch.cat([_causal(q[None], k[None], v[None], dropout)[0] for q, k, v in apart]).view(q_BTHK.shape)


def _causal(q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, dropout: float) -> Tensor:
    q_BHTK, k_BGTK, v_BGTK = (x.transpose(1, 2) for x in (q_BTHK, k_BTGK, v_BTGK))
    one_each = q_BHTK.shape[1] == k_BGTK.shape[1]
    o_BHTK = F.scaled_dot_product_attention(
        q_BHTK, k_BGTK, v_BGTK, dropout_p=dropout, is_causal=True, enable_gqa=not one_each
    )
    return o_BHTK.transpose(1, 2)


def varlen(q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, docs: Documents | None, dropout: float = 0.0) -> Tensor:
    """Flash attention over the flattened batch, documents told apart by their bounds; CUDA, bf16 or fp16."""
    _refuse_dropout("varlen", dropout)
    if docs is None:
        return _causal(q_BTHK, k_BTGK, v_BTGK, dropout)
    q_NHK, k_NGK, v_NGK = (x.flatten(0, 1) for x in (q_BTHK, k_BTGK, v_BTGK))
    if "enable_gqa" not in VARLEN_OPTIONS:
        k_NGK, v_NGK = (x.expand(-1, q_NHK.shape[1], -1) for x in (k_NGK, v_NGK))
    longest = q_BTHK.shape[1]
    o_NHK = varlen_attn(q_NHK, k_NGK, v_NGK, docs.bounds, docs.bounds, longest, longest, **VARLEN_OPTIONS)
    return o_NHK.view(q_BTHK.shape)


def cudnn(q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, docs: Documents | None, dropout: float = 0.0) -> Tensor:
    """cuDNN's fused attention, made for Hopper and later; whole samples only. CUDA, bf16 or fp16."""
    if docs is not None:
        raise OpError("attention `cudnn` keeps no documents apart: take `varlen` or `flex`, or train without masks")
    with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
        return _causal(q_BTHK, k_BTGK, v_BTGK, dropout)


def flex(q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, docs: Documents | None, dropout: float = 0.0) -> Tensor:
    """FlexAttention with a block mask made from the bounds; it skips blocks that no document spans. CUDA."""
    _refuse_dropout("flex", dropout)
    if docs is None:
        return _causal(q_BTHK, k_BTGK, v_BTGK, dropout)
    q_BHTK, k_BGTK, v_BGTK = (x.transpose(1, 2) for x in (q_BTHK, k_BTGK, v_BTGK))
    gqa = q_BHTK.shape[1] != k_BGTK.shape[1]
    # Left alone it builds the whole matrix of scores: slow and right, and on a CPU it needs no compiler.
    alone = q_BTHK.is_cuda and not torch.compiler.is_compiling()
    attend = _compiled_flex() if alone else flex_attention
    return attend(q_BHTK, k_BGTK, v_BGTK, block_mask=docs.blocks, enable_gqa=gqa).transpose(1, 2)


@functools.cache
def _compiled_flex() -> Callable[..., Any]:
    return torch.compile(flex_attention, dynamic=False)


def _block_mask(document_N: Tensor, batch: int, length: int) -> Any:
    document_BT = document_N.view(batch, length)

    def same_document_before(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return (q >= k) & (document_BT[b, q] == document_BT[b, k])

    return create_block_mask(same_document_before, batch, None, length, length, device=document_N.device)


def _refuse_dropout(backend: str, dropout: float) -> None:
    if dropout:
        raise OpError(f"attention `{backend}` has no dropout: take `sdpa`, or dropout 0")


BACKENDS: dict[str, Attend] = {"sdpa": sdpa, "cudnn": cudnn, "varlen": varlen, "flex": flex}
"""Every way to compute the same attention."""


def choose(name: str, device: torch.device | str, dropout: float = 0.0) -> str:
    """The backend of that name where it can run; `auto` is `varlen` on CUDA where torch has it, `sdpa` elsewhere.

    Only `sdpa` and `cudnn` know dropout; an `OpError` says where another is asked for with it.
    """
    kind = torch.device(device).type
    runs_varlen = kind == "cuda" and varlen_attn is not None
    if name == "auto":
        return "varlen" if runs_varlen and not dropout else "sdpa"
    if name not in BACKENDS:
        raise OpError(f"there is no attention `{name}`{did_you_mean(name, BACKENDS)} (there are {', '.join(BACKENDS)})")
    if name in ("varlen", "flex"):
        _refuse_dropout(name, dropout)
    if name == "cudnn" and kind != "cuda":
        raise OpError("attention `cudnn` needs CUDA: take `sdpa`")
    if name == "varlen" and not runs_varlen:
        raise OpError("attention `varlen` needs CUDA and torch 2.10 or later: take `sdpa`")
    return name


def cached(q_BTHK: Tensor, k_BSGK: Tensor, v_BSGK: Tensor, positions_BT: Tensor) -> Tensor:
    """Attention of new tokens to a cache that already holds them: a token sees the places up to its own position.

    With one head of keys, all heads of queries are rows of one product, so that the cache is read once.
    """
    B, T, H, K = q_BTHK.shape
    G, S = k_BSGK.shape[2], k_BSGK.shape[1]
    seen_BTS = torch.arange(S, device=q_BTHK.device) <= positions_BT[:, :, None]
    q_BGRK = q_BTHK.view(B, T, G, H // G, K).permute(0, 2, 1, 3, 4).reshape(B, G, T * (H // G), K)
    seen_B1RS = seen_BTS.repeat_interleave(H // G, dim=1)[:, None]
    k_BGSK, v_BGSK = k_BSGK.transpose(1, 2), v_BSGK.transpose(1, 2)
    o_BGRK = F.scaled_dot_product_attention(q_BGRK, k_BGSK, v_BGSK, attn_mask=seen_B1RS)
    return o_BGRK.view(B, G, T, H // G, K).permute(0, 2, 1, 3, 4).reshape(B, T, H, K)
