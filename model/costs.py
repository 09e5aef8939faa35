"""What a training run costs before it runs: parameters, FLOPs, memory a rank, hours and energy. Arithmetic, no torch.

FLOPs are those of `model.transformer`, a multiplication and an addition counted apart, backward pass twice the forward.
"MFU" is used in three ways in print, so each figure here says which: with attention over all pairs of tokens (PaLM's
way, Chowdhery et al. 2022, and Megatron's), over the half that a causal model needs, or over what document masks leave.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from model.config import ModelConfig

H100_FLOPS = 989.4e12
"""Dense bf16 FLOP/s of an H100 SXM, by its maker's data sheet."""
A100_FLOPS = 312e12
"""Dense bf16 FLOP/s of an A100, on which StarCoder was trained."""

H100_WATTS = 700.0
"""The most that an H100 SXM draws, by its maker's data sheet."""
A100_WATTS = 280.0
"""Mean draw of a GPU in StarCoder's training, from its published GPU-hours and energy."""
OVERHEAD = 1.2
"""Power usage effectiveness of the data centre that StarCoder's card reckons with."""
KG_CO2_PER_KWH = 0.15495
"""Carbon intensity of the grid that StarCoder's card reckons with."""

Precision = Literal["fp32", "bf16"]


def matmul_parameters(config: ModelConfig) -> int:
    """Weights that every token is multiplied with: linear maps and head, without biases, norms and positions."""
    d, keys = config.width, 2 * config.key_heads * config.head_width
    return config.layers * (2 * d * d + d * keys + 2 * d * config.inner) + config.vocabulary * d


@dataclass(frozen=True)
class TokenFlops:
    """FLOPs of training on one token, counted in the three ways."""

    palm: float
    """Attention over all pairs: 6 N + 12 L d T."""
    causal: float
    """Attention over the pairs that a causal model needs: 6 N + 6 L d T."""
    documents: float
    """Attention within documents only: 6 N + 6 L d Σlen² / Σlen; equal to `causal` without document masks."""


def adapter_parameters(config: ModelConfig, rank: int, targets: Collection[str]) -> int:
    """Parameters of low-rank adapters of that rank beside the linear maps of every block that `targets` names."""
    d, keys = config.width, 2 * config.key_heads * config.head_width
    ends = {"attn.c_attn": 2 * d + keys, "attn.c_proj": 2 * d, "mlp.c_fc": d + config.inner}
    ends["mlp.c_proj"] = ends["mlp.c_fc"]
    named = tuple(f".{target}" for target in targets)
    return config.layers * rank * sum(size for name, size in ends.items() if f".{name}".endswith(named))


def token_flops(
    config: ModelConfig, length: int, documents: Sequence[int] | float | None = None, adapters: int = 0
) -> TokenFlops:
    """FLOPs a token at samples of `length`; `documents` are their lengths, or Σlen² / Σlen itself.

    Where `adapters` parameters are all that is trained, the model's own matrices have no gradients: 4 N, not 6 N.
    """
    if documents is None:
        span = float(length)
    elif isinstance(documents, int | float):
        span = float(documents)
    else:
        span = sum(n * n for n in documents) / sum(documents)
    own, pairs = matmul_parameters(config), 6.0 * config.layers * config.width
    linear = 4.0 * own + 6.0 * adapters if adapters else 6.0 * own
    return TokenFlops(linear + 2 * pairs * length, linear + pairs * length, linear + pairs * span)


def mfu(flops: float, tokens_per_second: float, peak: float = H100_FLOPS) -> float:
    """The share of one device's peak FLOP/s that the model's own FLOPs take."""
    return flops * tokens_per_second / peak


@dataclass(frozen=True)
class Memory:
    """Bytes on one rank while it trains, by part."""

    weights: int
    """float32, shared out over the ranks when sharded; those of adapters among them."""
    gradients: int
    """float32, shared out likewise; of what is trained."""
    optimiser: int
    """AdamW's two moments of what is trained, float32, shared out likewise."""
    copies: int
    """Weights in the computation's numbers: all of them under autocast, and with gradients those at work if sharded."""
    activations: int
    """What the backward pass needs of the forward pass, at the micro-batch's size."""
    head: int
    """The head's gradient and one chunk of logits with its slopes."""

    @property
    def total(self) -> int:
        """All parts together."""
        return self.weights + self.gradients + self.optimiser + self.copies + self.activations + self.head


def memory(
    config: ModelConfig,
    length: int,
    micro_batch: int,
    ranks: int = 1,
    sharded: bool = True,
    precision: Precision = "bf16",
    recompute: int = 0,
    adapters: int = 0,
    chunk_bytes: int = 1 << 30,
) -> Memory:
    """Memory of one of `ranks` ranks that trains on `micro_batch` samples of `length` at a time.

    Weights are float32 and computed with under autocast to `precision`; `sharded` is FSDP, else every rank has all.
    `recompute` is that of `Decoder`; `adapters` parameters are all that is trained, if any; `chunk_bytes` are the
    float32 logits of a chunk of the loss. What adapters add to the activations is left out.
    """
    parameters, holders = config.parameters + adapters, ranks if sharded else 1
    share, learned = -(-4 * parameters // holders), -(-4 * (adapters or parameters) // holders)
    embeddings = (config.vocabulary + config.context) * config.width
    size = 4 if precision == "fp32" else 2
    # The embeddings stay gathered through the step, of the blocks one works while the next is on its way.
    at_work = 2 * size * (embeddings + 2 * config.block_parameters)
    copies = at_work if sharded and ranks > 1 else (0 if size == 4 else size * parameters)
    tokens = length * micro_batch
    full = token_activations(config, precision)
    again = -(-config.layers // recompute) if recompute else 0
    kept = (config.layers - again) * full + again * 4 * config.width + (full if again else 0)
    ends = 4 * config.width * 3 + (2 * size + 4) * config.width + (config.width if config.dropout else 0)
    rows = max(32, min(tokens, chunk_bytes // (4 * config.vocabulary)))
    head = 0 if adapters else 4 * config.vocabulary * config.width
    head += (size if size == 4 else size + 8) * rows * config.vocabulary
    return Memory(share, learned, 2 * learned, copies, tokens * (kept + ends), head)


def token_activations(config: ModelConfig, precision: Precision = "bf16") -> int:
    """Bytes that a block keeps of each token for its backward pass, with fused attention.

    The residual stream stays float32 and is kept before each norm; the inputs of the linear maps, queries, keys,
    values, the attention's output and the MLP's two inner tensors are kept in `precision`; dropout keeps a byte for
    each value that it looks at on the way into the residual stream.
    """
    d, keys, size = config.width, 2 * config.key_heads * config.head_width, 4 if precision == "fp32" else 2
    residual = 2 * (4 * d + 8)
    attention = size * (d + d + keys + d) + 4 * config.heads
    return residual + attention + size * (d + 2 * config.inner) + (2 * d if config.dropout else 0)


@dataclass(frozen=True)
class Costs:
    """The bill of a training run."""

    parameters: int
    tokens: int
    steps: int
    tokens_a_step: int
    flops: TokenFlops
    """A token's."""
    memory: Memory
    """Of one rank."""
    gpu_hours: float
    days: float
    """With all ranks at work without a pause."""
    kwh: float
    """Of the accelerators alone."""
    kg_co2: float
    """CO2 equivalent, with the data centre's overhead."""


def costs(
    config: ModelConfig,
    steps: int,
    tokens_a_step: int,
    length: int,
    ranks: int,
    memory: Memory,
    mfu: float = 0.4,
    peak: float = H100_FLOPS,
    documents: Sequence[int] | float | None = None,
    watts: float = H100_WATTS,
    adapters: int = 0,
) -> Costs:
    """What `steps` steps cost at a stated MFU (PaLM's count) on devices of `peak` FLOP/s that draw `watts`."""
    flops = token_flops(config, length, documents, adapters)
    tokens = steps * tokens_a_step
    gpu_hours = tokens * flops.palm / (mfu * peak) / 3600
    kwh = gpu_hours * watts / 1000
    return Costs(
        parameters=config.parameters,
        tokens=tokens,
        steps=steps,
        tokens_a_step=tokens_a_step,
        flops=flops,
        memory=memory,
        gpu_hours=gpu_hours,
        days=gpu_hours / ranks / 24,
        kwh=kwh,
        kg_co2=kwh * OVERHEAD * KG_CO2_PER_KWH,
    )


def cache_bytes(config: ModelConfig, precision: Precision = "bf16") -> int:
    """Bytes of keys and values that one token adds to the cache of a server."""
    return 2 * config.layers * config.key_heads * config.head_width * (4 if precision == "fp32" else 2)
