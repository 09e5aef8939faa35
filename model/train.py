"""The training loop, for one rank of any number: no callbacks, what happens when stands in `if step % n == 0`.

Everything random is keyed by seed and step, and the order of data is arithmetic, so the state is weights, moments and a
few numbers: a run that goes on from it computes what it would have computed. `spread` says how ranks share the work.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from engine import storage, tokenizer
from engine.op import fail
from engine.schema import SPECIAL_TOKENS
from model import attention, bits, checkpoint, lora
from model.card import Origin, model_card
from model.config import ModelConfig
from model.costs import mfu, token_flops
from model.fim import Fim
from model.loader import NO_LOSS, Batch, Loader
from model.metrics import Metrics, matmul_flops, peak_flops, read
from model.ops import Train
from model.resume import Checkpoints
from model.transformer import Decoder, decoder

REMEMBERED = 50
"""Steps whose mean loss a spike is measured against."""
NAMED = 8
"""Documents of a bad step that its error names."""
END = SPECIAL_TOKENS.index("<|endoftext|>")

Report = Callable[[dict[str, Any]], None]
"""What the gang wants to hear after each checkpoint."""


def train(job: Train, run: str, out: str, report: Report = lambda _: None) -> dict[str, Any]:
    """Trains from the last checkpoint to the last step; what rank 0 answers goes into the run's report."""
    here = Place.of(job)
    loader = loader_of(job, run, here)
    model = build(job, loader, here.device)
    forward = spread(model, job, here)
    optimiser, state = adamw(job, model)
    folder = storage.local_path(out)
    checkpoints = Checkpoints(folder / "checkpoints", job.keep)
    facts, damaged = checkpoints.restore(state)
    facts = facts or {"tokens": 0, "documents": 0, "updates": 0, "seconds": 0.0, "recent": [], "skipped": []}
    first = loader.resume(facts["loader"]) if "loader" in facts else 0
    recent = deque(facts["recent"], REMEMBERED)
    set_updates(optimiser, facts["updates"])
    files = Validation(job, run, loader, here) if job.validation_files else None
    metrics = Metrics(folder, first) if here.rank == 0 else None
    if metrics and damaged:
        metrics.write(first, damaged_checkpoints=damaged)
    clock = Clock(job, loader, here, first)
    if files and first == 0:
        scores = files.measure(model)
        if metrics:
            metrics.write(0, tokens=0, **scores)
        clock.restart()

    for step, batch in enumerate(loader.batches(first, job.steps), first):
        rate = learning_rate(job, step + 1)
        for group in optimiser.param_groups:
            group["lr"] = rate
        counts = here.sum(counted(batch))
        losses = gradients(job, forward, batch, here.ranks / counts[0], step, here)
        loss = float(here.sum(np.array([losses.sum()]))[0]) / float(counts[0])
        norm = float(whole(nn.utils.clip_grad_norm_(trained(model), job.clip)))
        if wrong := what_is_wrong(job, loss, norm, recent):
            if job.on_spike == "stop":
                checkpoints.settle()
                raise fail(job, told_wrong(wrong, step, losses, loader, job, here))
            facts["skipped"].append(step)
        else:
            optimiser.step()
            facts["updates"] += 1
            recent.append(loss)
        optimiser.zero_grad()
        facts["tokens"] += int(counts[0])
        facts["documents"] += int(counts[1])
        clock.tick(counts)

        done = step + 1
        if metrics and (done % job.log_every == 0 or done == job.steps):
            seen = {name: facts[name] for name in ("tokens", "documents")}
            metrics.write(done, loss=loss, learning_rate=rate, gradient_norm=norm, **seen, **clock.figures(done))
        if files and (done % job.validate_every == 0 or done == job.steps):
            scores = files.measure(model)
            if metrics:
                metrics.write(done, tokens=facts["tokens"], **scores)
            clock.restart()
        if done % job.save_every == 0 or done == job.steps:
            facts |= {"loader": loader.state(done), "recent": list(recent), "seconds": clock.seconds(facts)}
            checkpoints.save(done, state, json.loads(json.dumps(facts)))
            report({"step": done, "loss": loss})
    checkpoints.settle()
    export(job, model, loader, out, here)
    if metrics:
        metrics.close()
    seen = {name: facts[name] for name in ("tokens", "documents")}
    told = {"parameters": model.config.parameters, "steps": job.steps, **seen, "seconds": round(facts["seconds"], 1)}
    return told | ({"skipped_steps": facts["skipped"]} if facts["skipped"] else {})


def gradients(job: Train, forward: nn.Module, batch: Batch, scale: float, step: int, here: Place) -> Any:
    """Adds up the gradients of this rank's samples, and answers the nats of each part of them that went together."""
    if job.dropout or job.lora:
        torch.manual_seed(((job.seed or 0) * 1_000_003 + step) * 65_536 + here.rank & 2**63 - 1)
    losses = []
    starts = range(0, len(batch.x), job.micro_batch)
    for start in starts:
        rows = slice(start, start + job.micro_batch)
        part = replace(batch, x=batch.x[rows], y=batch.y[rows], bounds=batch.bounds[rows])
        x, y = (torch.from_numpy(t).to(here.device, non_blocking=True) for t in (part.x, part.y))
        docs = here.documents(part.cu_seqlens(), *part.x.shape) if job.document_mask else None
        with synchronised(forward, start == starts[-1]):
            with here.autocast():
                loss = forward(x, y, docs)
            (loss * scale).backward()
        losses.append(loss.detach())
    return torch.stack(losses).double().cpu().numpy()


def learning_rate(job: Train, step: int) -> float:
    """That of a step, counted from 1: a line up to `warmup`, then half a cosine down to the lowest at the last."""
    if step <= job.warmup:
        return job.learning_rate * step / job.warmup
    done = (step - job.warmup) / (job.steps - job.warmup)
    return job.lowest + (job.learning_rate - job.lowest) * 0.5 * (1 + math.cos(math.pi * done))


def counted(batch: Batch) -> Any:
    """What a batch adds to the counts: targets, documents that end, and Σlen and Σlen² of what attends to itself."""
    lengths = np.diff(batch.bounds, axis=1).astype(float)
    return np.array([(batch.y != NO_LOSS).sum(), (batch.y == END).sum(), lengths.sum(), (lengths**2).sum()], float)


# --- a step that goes wrong ---------------------------------------------------------------------------------------


def what_is_wrong(job: Train, loss: float, norm: float, recent: deque[float]) -> str:
    """What is wrong with a step, by its loss and the norm of its gradient; nothing in most cases."""
    if not math.isfinite(loss):
        return f"the loss is {loss}"
    if not math.isfinite(norm):
        return f"the gradient's norm is {norm}"
    mean = sum(recent) / len(recent) if recent else loss
    if loss > mean + job.spike:
        return f"the loss is {loss:.3f}, and was {mean:.3f} in the mean of the {len(recent)} steps before"
    return ""


def told_wrong(wrong: str, step: int, losses: Any, loader: Loader, job: Train, here: Place) -> str:
    """The error of a step: what, where, the samples and documents that it comes from, and what to do."""
    shown: list[Any] = [None] * here.ranks
    dist.all_gather_object(shown, losses.tolist())
    parts = np.concatenate([np.asarray(each) for each in shown])
    bad = np.flatnonzero(~np.isfinite(parts))
    bad = bad if len(bad) else np.array([int(parts.argmax())])
    rows = {step * loader.size + int(k) * job.micro_batch + n for k in bad for n in range(job.micro_batch)}
    read_here = loader.which_documents(step).to_pylist()
    documents = [f"{d['stream']} {d['id']}" for d in read_here if d["sequence"] in rows]
    more = f" and {len(documents) - NAMED:,} more" if len(documents) > NAMED else ""
    return (
        f"step {step + 1:,}: {wrong}. It comes from the sequences {', '.join(map(str, sorted(rows)[:NAMED]))}, with "
        f"the documents {', '.join(documents[:NAMED])}{more}. Look at them with `engine tokens`; lower "
        "`learning_rate`, or leave such steps out with `on_spike: skip`; the run goes on from its last checkpoint"
    )


# --- the parts ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Where this rank computes, and in which numbers."""

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
        return cls(rank, dist.get_world_size(), device, bf16, attention.choose(job.attention, device))

    def autocast(self) -> Any:
        """The context in which the forward pass computes."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def documents(self, bounds: Any, rows: int, length: int) -> attention.Documents:
        """The documents of a batch, as the attention wants them."""
        return attention.documents(bounds, rows, length, self.attention, self.device)

    def sum(self, values: Any) -> Any:
        """The sum of the ranks' values."""
        summed = torch.from_numpy(np.asarray(values, np.float64))
        dist.all_reduce(summed)
        return summed.numpy()


def loader_of(job: Train, run: str, here: Place) -> Loader:
    """The reader of this rank's samples."""
    folder = storage.join(run, "tokens")
    plain = Loader(folder, batch=1)
    fim = Fim(job.fim_rate, job.spm_rate, plain.manifest.reproduce) if job.fim_rate else None
    batch, seed = job.samples_per_step(plain.length), job.seed or 0
    return Loader(folder, batch=batch, seed=seed, fim=fim, weights=job.weights, rank=here.rank, ranks=here.ranks)


def build(job: Train, loader: Loader, device: torch.device) -> Decoder:
    """The model before its first step: fresh, or that of `base`, with adapters if asked for; the same on all ranks."""
    options = {"recompute": job.recompute}
    if job.base is None:
        return decoder(job.shape(loader.manifest), seed=job.seed or 0, device=device, **options)
    model = checkpoint.load(checkpoint.fetch(job.base), device=device, dtype=torch.float32, **options)
    fits(job, model.config, loader)
    config: Any = replace(model.config, dropout=job.dropout)
    model.config = config
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = job.dropout
        if isinstance(module, type(model.h[0].attn)):  # type: ignore[union-attr]
            module.config = model.config
    if job.lora:
        given = job.lora
        model = lora.add(model, given.rank, given.alpha, given.dropout, given.targets, job.base)
        model.to(device)
    return model


def fits(job: Train, config: ModelConfig, loader: Loader) -> None:
    """Raises where the shards were not made for this model."""
    if config.vocabulary < loader.manifest.vocabulary:
        raise fail(
            job, f"{job.base} knows {config.vocabulary:,} tokens and the shards have {loader.manifest.vocabulary:,}"
        )
    if config.context < loader.length:
        raise fail(job, f"{job.base} has a context of {config.context:,}; pack samples of that length at most")


def trained(model: Decoder) -> list[nn.Parameter]:
    """The parameters that training changes."""
    return [p for p in model.parameters() if p.requires_grad]


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


class Validation:
    """Held-out files on which the model is measured now and then: the first of those that the evaluation reads."""

    def __init__(self, job: Train, run: str, loader: Loader, here: Place) -> None:
        self.job, self.loader, self.here = job, loader, here
        self.files = bits.held_out(run, job.validation_files, job.seed or 0)
        made_by = tokenizer.read(storage.join(run, "tokens", "tokenizer"))
        self.tokens = bits.tokens_of(self.files, made_by)
        self.xz = bits.xz_bits(self.files)

    def __bool__(self) -> bool:
        return self.files.num_rows > 0

    def measure(self, model: Decoder) -> dict[str, float]:
        """Bits a byte of the model and of xz: means over the files, and totals over their bytes."""
        with evaluating(model), self.here.autocast():
            rows = (self.here.device, self.here.rank, self.here.ranks)
            nats = bits.nats(model, self.tokens, self.loader.length, self.job.micro_batch, *rows)
        told = bits.compared(self.files, self.here.sum(nats), self.xz)
        names = {"mean": "bits_per_byte", "total": "bits_per_byte_total", "xz_mean": "xz", "xz_total": "xz_total"}
        return {name: told[key] for key, name in names.items()}


class Clock:
    """Tokens a second and shares of the device's speed since the last line, and the time that is left."""

    def __init__(self, job: Train, loader: Loader, here: Place, step: int) -> None:
        self.job, self.here = job, here
        self.config = job.shape(loader.manifest) if job.base is None else None
        self.length = loader.length
        self.matmul = matmul_flops(here.device)
        self.peak = peak_flops(here.device, self.matmul)
        self.began = time.monotonic()
        self._spent = 0.0
        self.restart()

    def restart(self) -> None:
        """Begins to measure anew: what was between is no training."""
        self._last, self._counts, self._steps = time.monotonic(), np.zeros(4), 0

    def tick(self, counts: Any) -> None:
        """Counts a step."""
        self._counts = self._counts + counts
        self._steps += 1

    def figures(self, step: int) -> dict[str, float]:
        """Speed since the last line."""
        elapsed = max(time.monotonic() - self._last, 1e-9)
        tokens, _, spans, squares = self._counts
        config = self.config or ModelConfig(1, 1, 1)
        flops = token_flops(config, self.length, squares / max(spans, 1.0) if self.job.document_mask else None)
        speed = tokens / elapsed
        each = spans / elapsed / self.here.ranks
        told = {
            "seconds": round(elapsed, 3),
            "seconds_left": round((self.job.steps - step) * elapsed / max(self._steps, 1), 1),
            "tokens_per_second": round(speed, 1),
            "mfu_palm": round(mfu(flops.palm, each, self.peak), 4),
            "mfu_causal": round(mfu(flops.causal, each, self.peak), 4),
            "mfu_documents": round(mfu(flops.documents, each, self.peak), 4),
            "share_of_matmul": round(mfu(flops.causal, each, self.matmul), 4),
        }
        self.restart()
        return told

    def seconds(self, facts: dict[str, Any]) -> float:
        """Seconds of training so far, those of earlier starts among them."""
        now = time.monotonic()
        spent, self.began = now - self.began, now
        return facts["seconds"] + spent


# --- what is left -------------------------------------------------------------------------------------------------


def export(job: Train, model: Decoder, loader: Loader, out: str, here: Place) -> None:
    """Writes the model as everything that knows `gpt_bigcode` reads it; each rank adds its share of the weights."""
    plain: Decoder | None = build(job, loader, torch.device("cpu")) if here.rank == 0 else None
    mine = dict(plain.named_parameters()) if plain else {}
    for name, p in model.named_parameters():
        tensor = whole(p.detach())
        if plain:
            mine[name].data.copy_(tensor)
    if plain:
        folder = storage.join(out, "model")
        if job.lora:
            lora.save(plain, storage.join(out, "adapter"))
            plain = lora.merge(plain)
        made_by = checkpoint.copy_tokenizer(storage.join(loader.folder, "tokenizer"))
        lineage = {"data": loader.manifest.fingerprint, "base": job.base, "training": job.identity()}
        checkpoint.save(plain, folder, tokenizer=made_by, lineage=lineage)
    here.sum([0])


def evaluate(job: Train, run: str, out: str, report: Report = lambda _: None) -> dict[str, Any]:
    """Measures the exported model on held-out files, draws the curve, and writes the model's card."""
    here = Place.of(job)
    folder = storage.join(out, "model")
    model = checkpoint.load(folder, device=here.device)
    model.use_attention(here.attention)
    told: dict[str, Any] = {}
    files = bits.held_out(run, job.evaluation_files, job.seed or 0)
    if files.num_rows:
        tokens = bits.tokens_of(files, tokenizer.read(folder))
        began = time.monotonic()
        with evaluating(model), here.autocast():
            nats = bits.nats(model, tokens, model.config.context, max(4, job.micro_batch), here.device)
        told = bits.compared(files, nats, bits.xz_bits(files)) | {"seconds": round(time.monotonic() - began, 1)}
        storage.write_json(storage.join(out, "evaluation.json"), told)
        points = [(m["tokens"], m["bits_per_byte"]) for m in read(storage.local_path(out)) if "bits_per_byte" in m]
        xz = next((m["xz"] for m in read(storage.local_path(out)) if "xz" in m), told["xz_mean"])
        storage.write_bytes(storage.join(out, "curve.svg"), bits.curve(points, xz).encode())
    card = model_card(model.config, origin(job, run, out, told))
    storage.write_bytes(storage.join(folder, "README.md"), card.encode())
    return {"evaluation": {k: v for k, v in told.items() if k != "languages"}} if told else {}


def origin(job: Train, run: str, out: str, scores: dict[str, Any]) -> Origin:
    """What the card tells of the model besides its shape."""
    recipe = storage.read_bytes(storage.join(run, "recipe.yaml")).decode()
    named = re.search(r"^name: (.+)$", recipe, re.MULTILINE)
    counts = storage.read_json(storage.join(run, "tokens", "manifest.json"))["counts"].get("train", {})
    languages = {name: facts["bytes"] for name, facts in counts.get("languages", {}).items()}
    names = {
        "mean": "bits a byte, mean over held-out files",
        "xz_mean": "of `xz -9`",
        "total": "bits a byte, all held-out bytes",
        "xz_total": "of `xz -9`, all held-out bytes",
    }
    last = next((m for m in reversed(read(storage.local_path(out))) if "loss" in m), {})
    return Origin(
        name=job.title or (named[1] if named else "a code model"),
        recipe=recipe,
        languages={name or "(not known)": size / sum(languages.values()) for name, size in languages.items() if size},
        lineage=storage.read_json(storage.join(out, "model", "lineage.json")),
        scores={told: scores[key] for key, told in names.items() if key in scores},
        training={"steps": job.steps, "tokens": last.get("tokens", 0), "fill-in-the-middle": job.fim_rate},
    )


@contextlib.contextmanager
def evaluating(model: Decoder) -> Iterator[None]:
    """The model as it is evaluated: without dropout."""
    before = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(before)


def whole(tensor: Tensor) -> Tensor:
    """A tensor that ranks may have shared out, whole."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor  # type: ignore[operator]


def synchronised(forward: nn.Module, now: bool) -> Any:
    """A context in which gradients are summed over the ranks, or not yet."""
    if hasattr(forward, "set_requires_gradient_sync"):
        forward.set_requires_gradient_sync(now)  # type: ignore[operator]
    elif hasattr(forward, "no_sync") and not now:
        return forward.no_sync()  # type: ignore[operator]
    return contextlib.nullcontext()


def spread(model: Decoder, job: Train, here: Place) -> nn.Module:
    """The model as it is called in training: blocks compiled, then shared out over the ranks by FSDP2 or DDP."""
    model.use_attention(here.attention)
    if job.compile or (job.compile is None and here.device.type == "cuda"):
        for block in model.h:
            block.compile()
    if here.ranks == 1:
        return model
    if job.parallel == "ddp":
        return nn.parallel.DistributedDataParallel(model, device_ids=[here.device] if here.device.index else None)
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method

    reduced = torch.bfloat16 if here.bf16 else None
    policy = MixedPrecisionPolicy(param_dtype=reduced, reduce_dtype=torch.float32)
    for block in model.h:
        fully_shard(block, mp_policy=policy)
    fully_shard(model, mp_policy=policy)
    register_fsdp_forward_method(model, "token_losses")
    return model
