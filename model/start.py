"""What a training starts from: its samples, the model before the first step, the optimiser with its moments."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from engine import storage
from model import checkpoint, lora
from model.fim import Fim
from model.loader import Loader
from model.ops import Train
from model.place import Place
from model.transformer import Attention, Decoder, decoder


def loader_of(job: Train, run: str, here: Place) -> Loader:
    """The reader of this rank's samples."""
    folder = storage.join(run, "tokens")
    plain = Loader(folder, batch=1)
    fim = Fim(job.fim_rate, job.spm_rate, plain.manifest.reproduce) if job.fim_rate else None
    batch, seed = job.samples_per_step(plain.length), job.seed or 0
    return Loader(folder, batch=batch, seed=seed, fim=fim, weights=job.weights, rank=here.rank, ranks=here.ranks)


def build(job: Train, loader: Loader, device: torch.device) -> Decoder:
    """The model before its first step: fresh, or that of `base`, with adapters if asked for; the same on all ranks."""
    shards, options = loader.manifest, {"recompute": job.recompute}
    if job.base is None:
        return decoder(job.shape(shards.vocabulary, shards.length), seed=job.seed or 0, device=device, **options)
    model = checkpoint.load(checkpoint.fetch(job.base), device=device, dtype=torch.float32, **options)
    job.fits(model.config, shards.vocabulary, shards.length)
    _set_dropout(model, job.dropout)
    if job.lora:
        given = job.lora
        model = lora.add(model, given.rank, given.alpha, given.dropout, given.targets, job.base).to(device)
    return model


def _set_dropout(model: Decoder, dropout: float) -> None:
    """Published weights say nothing about how they are to be trained further."""
    model.config = replace(model.config, dropout=dropout)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout
        if isinstance(module, Attention):
            module.config = model.config


def adamw(job: Train, model: Decoder) -> tuple[torch.optim.AdamW, dict[str, Any]]:
    """The optimiser, and the state that checkpoints hold: what is trained and its two moments, by name."""
    names = {name: p for name, p in model.named_parameters() if p.requires_grad}
    groups = [
        {"params": [p for p in names.values() if p.ndim >= 2], "weight_decay": job.weight_decay},
        {"params": [p for p in names.values() if p.ndim < 2], "weight_decay": 0.0},
    ]
    betas = (job.beta1, job.beta2)
    optimiser = torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=job.learning_rate, betas=betas, eps=job.epsilon, fused=True
    )
    for p in names.values():
        # As the optimiser would at its first step; here they are from the start, to be read into.
        moments = {"exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
        optimiser.state[p] = {"step": torch.zeros((), device=p.device), **moments}
    first, second = ({n: optimiser.state[p][k] for n, p in names.items()} for k in ("exp_avg", "exp_avg_sq"))
    return optimiser, {"weights": names, "first_moments": first, "second_moments": second}


def set_updates(optimiser: torch.optim.Optimizer, updates: int) -> None:
    """Tells the optimiser how many steps it has made."""
    for state in optimiser.state.values():
        state["step"].fill_(updates)


def learning_rate(job: Train, step: int) -> float:
    """That of a step, counted from 1: a line up to `warmup`, then half a cosine down to the lowest at the last."""
    if step <= job.warmup:
        return job.learning_rate * step / job.warmup
    done = (step - job.warmup) / (job.steps - job.warmup)
    return job.lowest + (job.learning_rate - job.lowest) * 0.5 * (1 + math.cos(math.pi * done))
