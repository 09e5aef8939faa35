"""Greedy decoding and sampling with a cache of keys and values, many prompts of any lengths at once.

Prompts stand side by side from position 0, so that a token's position is its place whatever the others' lengths; the
places behind a short prompt are masked and written over as it grows.

Shapes: B prompts, T tokens of the longest, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from engine.errors import OpError
from model.transformer import Cache, Decoder


@dataclass
class Generated:
    """What a model wrote after one prompt."""

    tokens: list[int] = field(default_factory=list)
    """New tokens, the stop token among them."""
    margins: list[float] = field(default_factory=list)
    """By how much the best logit led the second at each token: engines may part where it is next to nothing."""
    stopped: bool = False
    """Whether a stop token ended it; else the room was used up."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn from the logits; the default takes the best one."""

    temperature: float = 0.0
    """0 takes the best; 1 draws as the model says."""
    top_k: int = 0
    """Draw among so many best tokens; 0 sets no bound."""
    top_p: float = 1.0
    """Draw among the fewest best tokens whose chances sum to this."""
    seed: int = 0
    """The same seed draws the same tokens."""


def generate(
    model: Decoder,
    prompts: Sequence[Sequence[int]],
    new_tokens: int,
    sampling: Sampling | None = None,
    stop: Sequence[int] | None = None,
) -> list[Generated]:
    """What the model writes after each prompt: up to `new_tokens`, to a `stop` token, or to the end of its context."""
    sampling, ends = sampling or Sampling(), {model.config.end_token} if stop is None else set(stop)
    written = [Generated() for _ in prompts]
    for tokens, margins in steps(model, prompts, new_tokens, sampling):
        for one, prompt, token, margin in zip(written, prompts, tokens, margins, strict=True):
            if not one.stopped and len(prompt) + len(one.tokens) < model.config.context:
                one.tokens.append(token)
                one.margins.append(margin)
                one.stopped = token in ends
        if all(one.stopped for one in written):
            break
    return written


@torch.inference_mode()
def steps(
    model: Decoder, prompts: Sequence[Sequence[int]], new_tokens: int, sampling: Sampling
) -> Iterator[tuple[list[int], list[float]]]:
    """Each step's token and margin for every prompt, for as long as the shortest prompt has room."""
    lengths, room = [len(p) for p in prompts], model.config.context
    if not lengths or min(lengths) < 1 or max(lengths) > room:
        raise OpError(f"prompts must hold from 1 to {room:,} tokens, the context of this model")
    model.eval()
    device = model.wte.weight.device
    generator = torch.Generator(device).manual_seed(sampling.seed)
    ids_BT = torch.zeros(len(prompts), max(lengths), dtype=torch.long)
    for row_T, prompt in zip(ids_BT, prompts, strict=True):
        row_T[: len(prompt)] = torch.tensor(prompt)
    cache = Cache(model.config, len(prompts), min(room, max(lengths) + new_tokens), model.wte.weight)
    lengths_B = torch.tensor(lengths, device=device)
    x_BTD = model.hidden(ids_BT.to(device), cache=cache)
    cache.lengths_B = lengths_B.clone()
    last_BD = x_BTD[torch.arange(len(prompts), device=device), lengths_B - 1]
    for step in range(last := min(new_tokens, room - min(lengths) + 1)):
        logits_BV = (last_BD @ model.wte.weight.T).float()
        next_B = choose(logits_BV, sampling, generator)
        best_B2 = logits_BV.topk(2).values
        yield next_B.tolist(), (best_B2[:, 0] - best_B2[:, 1]).tolist()
        if step + 1 == last:
            return
        # A row that is full goes on in its last place, unheard, while others still grow.
        cache.lengths_B.clamp_(max=cache.places - 1)
        last_BD = model.hidden(next_B[:, None], cache=cache)[:, 0]


def choose(logits_BV: Tensor, sampling: Sampling, generator: torch.Generator) -> Tensor:
    """The next token of each row."""
    if not sampling.temperature:
        return logits_BV.argmax(1)
    sorted_BV, order_BV = (logits_BV / sampling.temperature).sort(descending=True)
    chance_BV = sorted_BV.softmax(1)
    if sampling.top_k:
        chance_BV[:, sampling.top_k :] = 0
    # A token stays when those before it have not filled the share yet, so the best one always does.
    chance_BV[chance_BV.cumsum(1) - chance_BV >= sampling.top_p] = 0
    return order_BV.gather(1, torch.multinomial(chance_BV, 1, generator=generator))[:, 0]
