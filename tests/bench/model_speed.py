"""Training steps of a small model on a CPU, beside transformers' GPTBigCode in a plain loop.

python tests/bench/model_speed.py [--runs 3] [--steps 5] [--cores 2]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import measure
from results import Goal, Results, Table

ABOUT = """
Whole training steps in float32 (forward, loss, backward, AdamW) of GPT-BigCode models with about 17 million parameters,
dropout 0, from the same weights on the same tokens, {batch} samples of {length}. `transformers` is its
`GPTBigCodeForCausalLM` with its own loss, its default attention (SDPA) and `torch.optim.AdamW` as it comes; the
engine's is `model.transformer` with its chunked loss and the fused AdamW, and once more with samples packed from
documents of {document} tokens that do not see each other. Every figure is a process of its own, in turns, {runs} rounds
of {steps} steps after one to warm up; medians. The losses of the two must agree within 0.001 at every step, or the
benchmark fails.
"""

BATCH, LENGTH, DOCUMENT = 4, 512, 128

SHAPES: dict[str, dict[str, int]] = {
    "tiny": {"layers": 6, "width": 256, "heads": 4, "vocabulary": 49_152, "context": 1024},
    "small vocabulary": {"layers": 8, "width": 384, "heads": 6, "vocabulary": 8_192, "context": 1024},
}
"""The preset, in which the head is most of the work, and a deeper model of the same size with a smaller vocabulary."""

CONTENDERS = ("transformers", "engine", "engine, documents")


def main() -> None:
    """Measures and writes the results, or takes the steps of one contender when told to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="rounds; figures are medians")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--cores", type=int, default=2, help="processors that everything is kept on")
    parser.add_argument("--name", default="model_speed", help="of the file of results")
    parser.add_argument("--take", nargs=2, metavar=("SHAPE", "CONTENDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.take:
        json.dump(take(*given.take, given.steps), sys.stdout)
        return
    measure.pin(given.cores)
    about = ABOUT.format(batch=BATCH, length=LENGTH, document=DOCUMENT, runs=given.runs, steps=given.steps)
    results = Results(given.name, "Training steps of a small model on a CPU", about, given.runs)
    taken = {(s, c): measure.Taken(f"{c}, {s}") for s in SHAPES for c in CONTENDERS}
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in taken}
    losses: dict[tuple[str, str], list[float]] = {}
    for _ in range(given.runs):
        for (shape, contender), record in taken.items():
            options = ["--steps", str(given.steps), "--take", shape, contender]
            run = measure.run([sys.executable, str(Path(__file__)), *options])
            told = json.loads(run.output)
            record.runs.append(run)
            seconds[shape, contender] += told["seconds"]
            losses[shape, contender] = told["losses"]
            print(
                f"  {shape}, {contender:<18} {BATCH * LENGTH / min(told['seconds']):7.0f} tokens/s at best", flush=True
            )
    results.timed(list(taken.values()))
    for shape in SHAPES:
        pairs = zip(losses[shape, "engine"], losses[shape, "transformers"], strict=True)
        if apart := [pair for pair in pairs if abs(pair[0] - pair[1]) > 1e-3]:
            raise SystemExit(f"{shape}: the losses part: {apart[0]}")
    speed = {key: BATCH * LENGTH / statistics.median(value) for key, value in seconds.items()}
    rows: list[list[Any]] = [
        [s, c, speed[s, c], speed[s, c] / speed[s, "transformers"], max(r.rss for r in taken[s, c].runs) / 1e6]
        for s, c in taken
    ]
    columns = ["model", "loop", "tokens/s", "× transformers", "peak MB"]
    results.tables = [Table(f"float32, {BATCH} × {LENGTH} tokens a step, {given.cores} cores", columns, rows)]
    ratio = speed["tiny", "engine"] / speed["tiny", "transformers"]
    results.goals = [Goal("training a 17M model, beside transformers in a plain loop", 1.5, ratio)]
    results.versions = {name: metadata.version(name) for name in ("torch", "transformers")}
    results.save()


def take(shape: str, contender: str, steps: int) -> dict[str, list[float]]:
    """The seconds and the mean loss of each step, one to warm up left out."""
    import os
    import time

    import torch

    sys.path.insert(0, str(Path(__file__).parents[2]))
    from model.attention import documents
    from model.checkpoint import PREFIX, to_published
    from model.config import ModelConfig
    from model.transformer import decoder

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    config = ModelConfig(**SHAPES[shape])
    model = decoder(config, seed=1)
    draw = torch.Generator().manual_seed(0)
    # Words as frequent as in text: the n-th in proportion to 1 / n.
    often = 1 / torch.arange(1, config.vocabulary + 1)
    ids = torch.multinomial(often, (steps + 1) * BATCH * LENGTH, replacement=True, generator=draw)
    batches = ids.view(steps + 1, BATCH, LENGTH)
    if contender == "transformers":
        from transformers import GPTBigCodeConfig, GPTBigCodeForCausalLM

        theirs = GPTBigCodeForCausalLM(GPTBigCodeConfig(**to_published(config))).train()
        theirs.load_state_dict({PREFIX + n: w for n, w in model.state_dict().items()}, strict=False)
        optimiser = torch.optim.AdamW(theirs.parameters(), lr=1e-3)

        def loss_of(x: torch.Tensor) -> torch.Tensor:
            return theirs(input_ids=x, labels=x, use_cache=False).loss
    else:
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
        bounds = range(0, BATCH * LENGTH + 1, DOCUMENT)
        docs = documents(list(bounds), BATCH, LENGTH, "sdpa", "cpu") if "documents" in contender else None

        def loss_of(x: torch.Tensor) -> torch.Tensor:
            y = torch.cat([x[:, 1:], torch.full((BATCH, 1), -100)], 1)
            return model(x, y, docs) / (BATCH * (LENGTH - 1))

    seconds, losses = [], []
    for x in batches:
        began = time.perf_counter()
        loss = loss_of(x)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        seconds.append(time.perf_counter() - began)
        losses.append(loss.item())
    return {"seconds": seconds[1:], "losses": losses}


if __name__ == "__main__":
    main()
