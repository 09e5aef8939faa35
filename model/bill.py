"""The bill of a training as `engine plan` prints it: the figures of `model.costs` in words. No torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from model.config import ModelConfig
from model.costs import A100_FLOPS, A100_WATTS, H100_FLOPS, H100_WATTS, adapter_parameters, costs, memory

if TYPE_CHECKING:
    from model.ops import Train


@dataclass(frozen=True)
class Gpu:
    """A device that a training is reckoned on."""

    name: str
    flops: float
    watts: float
    mfu: float
    """The share of its speed that is stated, by PaLM's count."""


GPUS = (Gpu("H100", H100_FLOPS, H100_WATTS, 0.40), Gpu("A100", A100_FLOPS, A100_WATTS, 0.34))
"""Today's, at a share that Llama 3's training reports (38 to 43 %, Grattafiori et al. 2024, table 4); StarCoder's, at
that which its GPU-hours come to."""


def bill(job: Train, config: ModelConfig, length: int) -> list[str]:
    """What the training of a model of that shape costs, as lines for people."""
    adapters = adapter_parameters(config, job.lora.rank, job.lora.targets) if job.lora else 0
    precision = "fp32" if job.precision == "fp32" or (job.precision == "auto" and job.device == "cpu") else "bf16"
    sharded = job.parallel == "fsdp"
    room = memory(config, length, job.micro_batch, job.ranks, sharded, precision, job.recompute, adapters)
    found = [
        costs(config, job.steps, job.tokens_per_step, length, job.ranks, room, g.mfu, g.flops, None, g.watts, adapters)
        for g in GPUS
    ]
    one = found[0]
    parts = ", ".join(f"{name} {_gb(size)}" for name, size in asdict(room).items() if size)
    learned = f"; trained are {adapters:,} of adapters" if adapters else ""
    return [
        f"{config.parameters:,} parameters{learned}: {config.layers} layers of width {config.width:,}, {config.heads} "
        f"heads on {config.key_heads} of keys, {config.vocabulary:,} tokens, a context of {config.context:,}",
        f"{job.steps:,} steps of {job.tokens_per_step:,} tokens ({job.tokens_per_step // length:,} samples of "
        f"{length:,}): {one.tokens:,} tokens",
        f"{one.flops.palm / 1e9:,.4g} GFLOP a token with attention over all pairs (PaLM's count), "
        f"{one.flops.causal / 1e9:,.4g} over causal ones; {one.tokens * one.flops.palm:.3g} FLOP in all",
        f"memory of {_each(job.ranks)}, {precision} on fp32 weights: {_gb(room.total)} GB ({parts})",
        *(
            f"on {job.ranks:,} {gpu.name} at {gpu.mfu:.0%} MFU: {_figure(cost.gpu_hours)} GPU-hours, "
            f"{_span(cost.days)}, {_figure(cost.kwh)} kWh, {_figure(cost.kg_co2)} kg CO2e"
            for gpu, cost in zip(GPUS, found, strict=True)
        ),
    ]


def _each(ranks: int) -> str:
    return f"each of {ranks:,} ranks" if ranks > 1 else "the one rank"


def _gb(size: int) -> str:
    return f"{size / 1e9:.3g}"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _span(days: float) -> str:
    seconds = 86_400 * days
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.3g} seconds"
