"""The decoder of StarCoder (Li et al. 2023): GPT-2 with multi-query attention (Shazeer 2019), as GPT-BigCode names it.

Learned positions, layer norm before each half of a block, biases everywhere, tanh GELU, the head tied to the token
embedding. This file says what is computed and nothing about devices; parameters are named as in published checkpoints.

Shapes: B samples, T tokens, D width, H heads of queries, G heads of keys and values (1, or H without multi-query),
K = D / H width of a head, F inner width, V vocabulary, N = B · T, S places of a cache.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from engine.errors import OpError
from model import attention
from model.attention import Documents
from model.config import ModelConfig
from model.loss import summed_cross_entropy, token_losses


class Cache:
    """Keys and values of the tokens seen so far, one pair of tensors a layer, and how many each sample holds."""

    def __init__(self, config: ModelConfig, batch: int, places: int, like: Tensor) -> None:
        shape = (config.layers, batch, places, config.key_heads, config.head_width)
        self.keys_LBSGK, self.values_LBSGK = like.new_zeros(shape), like.new_zeros(shape)
        self.lengths_B = torch.zeros(batch, dtype=torch.long, device=like.device)
        self.places, self.longest = places, 0

    def add(self, layer: int, k_BTGK: Tensor, v_BTGK: Tensor, positions_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of all places in use, the new ones among them."""
        rows_B1 = torch.arange(len(positions_BT), device=positions_BT.device)[:, None]
        keys_BSGK, values_BSGK = self.keys_LBSGK[layer], self.values_LBSGK[layer]
        keys_BSGK[rows_B1, positions_BT], values_BSGK[rows_B1, positions_BT] = k_BTGK, v_BTGK
        used = min(self.longest + k_BTGK.shape[1], self.places)
        return keys_BSGK[:, :used], values_BSGK[:, :used]


class Attention(nn.Module):
    """Causal self-attention; in MQA every head of queries reads the same head of keys and values."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.config, self.layer, self.backend = config, layer, "sdpa"
        self.c_attn = nn.Linear(config.width, config.width + 2 * config.key_heads * config.head_width)
        self.c_proj = nn.Linear(config.width, config.width)

    def forward(self, x_BTD: Tensor, docs: Documents | None, cache: Cache | None, positions_BT: Tensor) -> Tensor:
        B, T, D = x_BTD.shape
        H, K = self.config.heads, self.config.head_width
        qkv_BTX = self.c_attn(x_BTD)
        if self.config.multi_query:
            q_BTHK, k_BTGK, v_BTGK = (x.view(B, T, -1, K) for x in qkv_BTX.split([D, K, K], dim=2))
        else:
            q_BTHK, k_BTGK, v_BTGK = qkv_BTX.view(B, T, H, 3 * K).split(K, dim=3)
        dropout = self.config.dropout if self.training else 0.0
        if cache is None:
            o_BTHK = attention.BACKENDS[self.backend](q_BTHK, k_BTGK, v_BTGK, docs, dropout)
        else:
            seen = cache.add(self.layer, k_BTGK, v_BTGK, positions_BT)
            o_BTHK = attention.cached(q_BTHK, *seen, positions_BT)
        return self.c_proj(o_BTHK.reshape(B, T, D))


class MLP(nn.Module):
    """Two linear maps with a GELU between them."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.approximate = "tanh" if config.activation == "gelu_pytorch_tanh" else "none"
        self.c_fc = nn.Linear(config.width, config.inner)
        self.c_proj = nn.Linear(config.inner, config.width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        h_BTF = F.gelu(self.c_fc(x_BTD), approximate=self.approximate)
        return self.c_proj(h_BTF)


class Block(nn.Module):
    """One layer: x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.width, config.epsilon)
        self.attn = Attention(config, layer)
        self.ln_2 = nn.LayerNorm(config.width, config.epsilon)
        self.mlp = MLP(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_BTD: Tensor, docs: Documents | None, cache: Cache | None, positions_BT: Tensor) -> Tensor:
        x_BTD = x_BTD + self.dropout(self.attn(self.ln_1(x_BTD), docs, cache, positions_BT))
        return x_BTD + self.dropout(self.mlp(self.ln_2(x_BTD)))


class Decoder(nn.Module):
    """A GPT-BigCode language model: token ids in, logits or a loss out."""

    def __init__(self, config: ModelConfig, attention: str = "sdpa", recompute: int = 0) -> None:
        """`attention` names a backend; every `recompute`-th block keeps no activations (0: all keep them)."""
        super().__init__()
        self.config, self.recompute = config, recompute
        self.wte = nn.Embedding(config.vocabulary, config.width)
        self.wpe = nn.Embedding(config.context, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.h = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.ln_f = nn.LayerNorm(config.width, config.epsilon)
        self.use_attention(attention)

    def forward(
        self,
        ids_BT: Tensor,
        targets_BT: Tensor | None = None,
        docs: Documents | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Logits [B, T, V]; with targets, the *sum* of the tokens' cross-entropies in nats (-100: not counted)."""
        x_BTD = self.hidden(ids_BT, docs, cache)
        if targets_BT is None:
            return F.linear(x_BTD, self.wte.weight)
        return summed_cross_entropy(x_BTD.flatten(0, 1), self.wte.weight, targets_BT.flatten())

    def hidden(self, ids_BT: Tensor, docs: Documents | None = None, cache: Cache | None = None) -> Tensor:
        """The last layer's output after its norm, [B, T, D]; positions begin anew with each of `docs`."""
        positions_BT = self.positions(ids_BT, docs, cache)
        x_BTD = self.dropout(self.wte(ids_BT) + self.wpe(positions_BT))
        for layer, block in enumerate(self.h):
            if self.training and self.recompute and layer % self.recompute == 0:
                x_BTD = checkpoint(block, x_BTD, docs, cache, positions_BT, use_reentrant=False)
            else:
                x_BTD = block(x_BTD, docs, cache, positions_BT)
        if cache is not None:
            cache.longest += ids_BT.shape[1]
            cache.lengths_B += ids_BT.shape[1]
        return self.ln_f(x_BTD)

    def positions(self, ids_BT: Tensor, docs: Documents | None, cache: Cache | None) -> Tensor:
        """Each token's position: in its document, after what the cache holds, or in its sample."""
        if docs is not None:
            return docs.positions_BT
        T = ids_BT.shape[1]
        if self.config.context < T:
            raise OpError(f"a text of {T:,} tokens is longer than this model's context of {self.config.context:,}")
        place_T = torch.arange(T, device=ids_BT.device)
        return place_T.expand_as(ids_BT) if cache is None else cache.lengths_B[:, None] + place_T

    def token_losses(self, ids_BT: Tensor, targets_BT: Tensor, docs: Documents | None = None) -> Tensor:
        """Each token's cross-entropy in nats, [B, T], without gradients: for evaluation."""
        with torch.no_grad():
            x_BTD = self.hidden(ids_BT, docs)
            return token_losses(x_BTD.flatten(0, 1), self.wte.weight, targets_BT.flatten()).view_as(targets_BT)

    def use_attention(self, name: str) -> None:
        """Takes another attention backend, by its name in `model.attention.BACKENDS`."""
        for block in self.h:
            block.attn.backend = name  # type: ignore[union-attr]

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator | None = None) -> Decoder:
        """Draws fresh weights: normal with `init_std`, projections into the residual stream by √(2 L) less."""
        std = self.config.init_std
        for name, weight in self.named_parameters():
            if name.endswith("bias"):
                weight.zero_()
            elif ".ln_" in f".{name}":
                weight.fill_(1.0)
            else:
                scale = (2 * self.config.layers) ** -0.5 if name.endswith("c_proj.weight") else 1.0
                weight.normal_(0.0, std * scale, generator=generator)
        return self


def decoder(config: ModelConfig, seed: int = 0, device: Any = "cpu", **options: Any) -> Decoder:
    """A decoder with fresh weights, the same for the same seed on the same kind of device."""
    with torch.device("meta"):
        model = Decoder(config, **options)
    return model.to_empty(device=device).init_weights(torch.Generator(device).manual_seed(seed))
