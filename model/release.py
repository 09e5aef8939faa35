"""What a training leaves: the model as everything that knows `gpt_bigcode` reads it, its evaluation, and its card."""

from __future__ import annotations

import re
import time
from typing import Any

import torch

from engine import storage, tokenizer
from model import bits, checkpoint, lora
from model.card import Origin, model_card
from model.loader import Loader
from model.metrics import read
from model.ops import Train
from model.place import Place, whole
from model.start import build
from model.transformer import Decoder
from model.validation import evaluating

_SCORES = {
    "mean": "bits a byte, mean over held-out files",
    "xz_mean": "of `xz -9`",
    "total": "bits a byte, all held-out bytes",
    "xz_total": "of `xz -9`, all held-out bytes",
}
"""What the card calls the figures of the evaluation."""


def export(job: Train, model: Decoder, loader: Loader, out: str, here: Place) -> None:
    """Writes the model into `model/`, adapters merged, these also into `adapter/`; ranks give their shares."""
    plain: Decoder | None = build(job, loader, torch.device("cpu")) if here.rank == 0 else None
    mine = dict(plain.named_parameters()) if plain else {}
    for name, p in model.named_parameters():
        tensor = whole(p.detach())
        if plain:
            mine[name].data.copy_(tensor)
    if plain:
        if job.lora:
            lora.save(plain, storage.join(out, "adapter"))
            plain = lora.merge(plain)
        made_by = checkpoint.copy_tokenizer(storage.join(loader.folder, "tokenizer"))
        lineage = {"data": loader.manifest.fingerprint, "base": job.base, "training": job.identity()}
        checkpoint.save(plain, storage.join(out, "model"), tokenizer=made_by, lineage=lineage)
    # None goes on before the model is there.
    here.sum(0)


def evaluate(job: Train, run: str, out: str, report: Any = None) -> dict[str, Any]:
    """Measures the exported model on held-out files, draws the curve, and writes the model's card; nothing to report
    on the way."""
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
        scored = [line for line in read(storage.local_path(out)) if "bits_per_byte" in line]
        points = [(line["tokens"], line["bits_per_byte"]) for line in scored]
        xz = scored[0]["xz"] if scored else told["xz_mean"]
        storage.write_bytes(storage.join(out, "curve.svg"), bits.curve(points, xz).encode())
    card = model_card(model.config, _origin(job, run, out, told))
    storage.write_bytes(storage.join(folder, "README.md"), card.encode())
    return {"evaluation": {k: v for k, v in told.items() if k != "languages"}} if told else {}


def _origin(job: Train, run: str, out: str, scores: dict[str, Any]) -> Origin:
    """What the card tells of the model besides its shape."""
    recipe = storage.read_bytes(storage.join(run, "recipe.yaml")).decode()
    named = re.search(r"^name: (.+)$", recipe, re.MULTILINE)
    counts = storage.read_json(storage.join(run, "tokens", "manifest.json"))["counts"].get("train", {})
    languages = {name: facts["bytes"] for name, facts in counts.get("languages", {}).items()}
    last = next((m for m in reversed(read(storage.local_path(out))) if "loss" in m), {})
    return Origin(
        name=job.title or (named[1] if named else "a code model"),
        recipe=recipe,
        languages={name or "(not known)": size / sum(languages.values()) for name, size in languages.items() if size},
        lineage=storage.read_json(storage.join(out, "model", "lineage.json")),
        scores={told: scores[key] for key, told in _SCORES.items() if key in scores},
        training={"steps": job.steps, "tokens": last.get("tokens", 0), "fill-in-the-middle": job.fim_rate},
    )
