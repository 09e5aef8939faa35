"""Training speed on one accelerator: backends, batches, masks, recomputation, transformers in the same run.

python tests/bench/gpu.py [--preset 1b] [--length 8192] [--steps 10] [--only NAME ...]

Without CUDA it says so and ends well. A row that does not fit or does not run is told and the others go on.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from results import Goal, Results, Table

sys.path.insert(0, str(Path(__file__).parents[2]))

from model.attention import Documents, choose, documents
from model.checkpoint import to_published
from model.config import ModelConfig, preset
from model.costs import memory, mfu, token_flops
from model.transformer import Decoder, decoder

ABOUT = """
Whole training steps (forward, loss, backward, fused AdamW in float32 without clipping, bf16 by autocast) of the preset
`{preset}` at {length:,} tokens a sample on one {device}; medians of {steps} steps after {warm} to warm up,
synchronised. Blocks are compiled one by one. *Documents* are packed samples whose documents do not see each other, of
lengths such that Σlen² / Σlen is {span:,.0f}. MFU is of 989.4 TFLOP/s, by the three counts of `model/costs.py`; a large
bf16 product of {side:,}² reached {matmul:.0f} TFLOP/s on this device in the same run. `transformers` is its
GPTBigCodeForCausalLM with SDPA in the same precision and optimiser, plain and compiled.
"""

WARM = 4
SIDE = 8192


@dataclass(frozen=True)
class Row:
    """One way to train."""

    name: str
    attention: str = "sdpa"
    batch: int = 2
    packed: bool = False
    recompute: int = 0
    compiled: bool = True
    head: str = "own"
    """`own` chunked loss, `torch` for F.linear_cross_entropy, `whole` for whole logits."""
    float8: bool = False
    transformers: bool = False


ROWS = (
    Row("transformers, plain", batch=1, compiled=False, transformers=True),
    Row("transformers, plain", batch=2, compiled=False, transformers=True),
    Row("transformers, compiled", batch=1, transformers=True),
    Row("transformers, compiled", batch=2, transformers=True),
    Row("not compiled", batch=2, compiled=False),
    Row("sdpa", batch=1),
    Row("sdpa", batch=2),
    Row("sdpa", batch=4),
    Row("sdpa by cuDNN", "cudnn", batch=2),
    Row("sdpa by cuDNN", "cudnn", batch=4),
    Row("sdpa, F.linear_cross_entropy", head="torch"),
    Row("sdpa, whole logits", head="whole"),
    Row("sdpa, every block recomputed", batch=4, recompute=1),
    Row("sdpa, every block recomputed", batch=8, recompute=1),
    Row("sdpa, every other block recomputed", batch=4, recompute=2),
    Row("varlen, documents", "varlen", batch=1, packed=True),
    Row("varlen, documents", "varlen", batch=2, packed=True),
    Row("varlen, documents", "varlen", batch=4, packed=True),
    Row("flex, documents", "flex", batch=2, packed=True),
    Row("flex, documents", "flex", batch=4, packed=True),
    Row("sdpa by document", "sdpa", batch=2, packed=True, compiled=False),
    Row("float8, sdpa", batch=2, float8=True),
    Row("float8, varlen, documents", "varlen", batch=2, packed=True, float8=True),
)


def main() -> None:
    """Measures and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="1b")
    parser.add_argument("--length", type=int, default=8192)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--only", nargs="+", help="rows whose name holds one of these words")
    parser.add_argument("--name", default="gpu", help="of the file of results")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        print("There is no CUDA device here: nothing was measured.")
        return
    config = preset(given.preset, context=max(given.length, preset(given.preset).context))
    lengths = packed_lengths(given.length)
    flops = token_flops(config, given.length, lengths)
    peak = matmul_flops()
    table = []
    for row in ROWS:
        if given.only and not any(word in row.name for word in given.only):
            continue
        try:
            seconds, peak_bytes, loss = measure(row, config, given.length, lengths, given.steps)
        except (RuntimeError, ImportError, NotImplementedError, ValueError) as wrong:
            told = "out of memory" if isinstance(wrong, torch.OutOfMemoryError) else str(wrong).splitlines()[0][:60]
            table.append([row.name, row.batch, *[None] * 7, told])
            print(f"  {row.name:<36} {row.batch}: {told}", flush=True)
            continue
        speed = row.batch * given.length / seconds
        counts = (flops.palm, flops.causal, flops.documents if row.packed else flops.causal)
        shares = [100 * mfu(count, speed) for count in counts]
        planned = memory(config, given.length, row.batch, sharded=False, recompute=row.recompute).total
        sizes = [peak_bytes / 1e9, None if row.transformers else planned / 1e9]
        table.append([row.name, row.batch, speed, *shares, 100 * counts[1] * speed / peak, *sizes, ""])
        told = f"{speed:8,.0f} tokens/s  {shares[0]:.1f} % PaLM  {peak_bytes / 1e9:.1f} GB  loss {loss:.3f}"
        print(f"  {row.name:<36} {row.batch}: {told}", flush=True)
    span = sum(n * n for n in lengths) / sum(lengths)
    about = ABOUT.format(
        preset=given.preset,
        length=given.length,
        device=torch.cuda.get_device_name(),
        steps=given.steps,
        warm=WARM,
        span=span,
        side=SIDE,
        matmul=peak / 1e12,
    )
    results = Results(given.name, "Training on one accelerator", about, given.steps)
    columns = ["way", "micro-batch", "tokens/s", "MFU PaLM %", "MFU causal %", "MFU documents %", "of matmul %"]
    results.tables = [Table("bf16", [*columns, "peak GB", "GB by `plan`", "note"], table)]
    results.goals = goals(table)
    results.versions = {name: metadata.version(name) for name in ("torch", "transformers")}
    results.save()


def goals(table: list[list[Any]]) -> list[Goal]:
    """The promised speeds, of rows without masks and without float8, and the best beside transformers'."""

    def best(*words: str) -> float | None:
        speeds = [r[2] for r in table if r[2] and r[0].startswith(words) and "documents" not in r[0]]
        return max(speeds, default=None)

    own, theirs = best("sdpa"), best("transformers, plain")
    ratio = own / theirs if own and theirs else None
    return [
        Goal("1B at 8,192, bf16, no mask", 42_000, own, "tokens/s"),
        Goal("beside transformers in a plain loop", 2.0, ratio),
    ]


def packed_lengths(length: int) -> list[int]:
    """Documents that fill one sample, few long and many short, as code files are."""
    shares = (0.35, 0.2, 0.14, 0.1, 0.07, 0.05, 0.035, 0.025, 0.015, 0.01)
    lengths = [int(length * share) for share in shares]
    return [*lengths, length - sum(lengths)]


def measure(row: Row, config: ModelConfig, length: int, lengths: list[int], steps: int) -> tuple[float, int, float]:
    """The median seconds of a step, the most memory that was in use, and the last loss."""
    with fresh():
        step = make_step(row, config, length, lengths)
        for _ in range(WARM):
            step()
        taken, loss = [], 0.0
        for _ in range(steps):
            torch.cuda.synchronize()
            began = time.perf_counter()
            loss = step()
            torch.cuda.synchronize()
            taken.append(time.perf_counter() - began)
        return statistics.median(taken), torch.cuda.max_memory_allocated(), float(loss)


@contextmanager
def fresh() -> Iterator[None]:
    """Nothing of the row before is left, in memory or compiled."""
    try:
        torch.cuda.reset_peak_memory_stats()
        yield
    finally:
        torch.compiler.reset()
        gc.collect()
        torch.cuda.empty_cache()


def make_step(row: Row, config: ModelConfig, length: int, lengths: list[int]) -> Callable[[], torch.Tensor]:
    """A function that takes one training step of that kind and answers the mean loss."""
    draw = torch.Generator("cuda").manual_seed(0)
    ids_BT = torch.randint(0, config.vocabulary, (row.batch, length), generator=draw, device="cuda")
    targets_BT = torch.cat([ids_BT[:, 1:], torch.full((row.batch, 1), -100, device="cuda")], 1)
    counted = row.batch * (length - 1)
    if row.transformers:
        return _steps(*_transformers(config, row.compiled), ids_BT)
    model = decoder(config, device="cuda", attention=choose(row.attention, "cuda"), recompute=row.recompute)
    if row.float8:
        from torchao.float8 import convert_to_float8_training

        convert_to_float8_training(model.h)
    if row.compiled:
        for block in model.h:
            block.compile()
    docs = None
    if row.packed:
        bounds = [0]
        for n in lengths * row.batch:
            bounds.append(bounds[-1] + n)
        docs = documents(bounds, row.batch, length, row.attention, "cuda")
    return _steps(model, lambda ids: _loss(model, row.head, ids, targets_BT, docs) / counted, ids_BT)


def _loss(model: Decoder, head: str, ids: torch.Tensor, targets: torch.Tensor, docs: Documents | None) -> torch.Tensor:
    if head == "own":
        return model(ids, targets, docs)
    x_ND = model.hidden(ids, docs).flatten(0, 1).bfloat16()
    weight, targets_N = model.wte.weight.bfloat16(), targets.flatten()
    if head == "whole":
        return F.cross_entropy((x_ND @ weight.T).float(), targets_N, reduction="sum")
    options = torch.nn.LinearCrossEntropyOptions()
    return F.linear_cross_entropy(x_ND, weight, targets_N, reduction="sum", options=options)


def _transformers(config: ModelConfig, compiled: bool) -> tuple[Any, Callable[[torch.Tensor], torch.Tensor]]:
    from transformers import GPTBigCodeConfig, GPTBigCodeForCausalLM

    with torch.device("cuda"):
        model = GPTBigCodeForCausalLM(GPTBigCodeConfig(**to_published(config))).train()
    called = torch.compile(model) if compiled else model
    return model, lambda ids: called(input_ids=ids, labels=ids, use_cache=False).loss


def _steps(
    model: Any, loss_of: Callable[[torch.Tensor], torch.Tensor], ids_BT: torch.Tensor
) -> Callable[[], torch.Tensor]:
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step() -> torch.Tensor:
        with torch.autocast("cuda", torch.bfloat16):
            loss = loss_of(ids_BT)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        return loss.detach()

    return step


def matmul_flops() -> float:
    """FLOP/s of a large square product in bf16 on this device."""
    a, b = (torch.randn(SIDE, SIDE, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(10):
        a @ b
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(50):
        a @ b
    torch.cuda.synchronize()
    return 50 * 2 * SIDE**3 / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
