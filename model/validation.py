"""How well a model predicts held-out files while it is trained: bits a byte, beside `xz -9` (see `model.bits`)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from engine import storage, tokenizer
from model import bits
from model.loader import Loader
from model.ops import Train
from model.place import Place
from model.transformer import Decoder


class Validation:
    """The files on which the model is measured now and then: the first of those that the evaluation reads."""

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


@contextlib.contextmanager
def evaluating(model: Decoder) -> Iterator[None]:
    """The model as it is evaluated: without dropout."""
    before = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(before)
