"""The op `train`. No torch here: a recipe that trains loads, plans and tells its costs without it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from engine import storage, tokenizer
from engine.errors import EngineError
from engine.op import Job, Op, Workers, fail
from engine.token_shards import TokenManifest, read_manifest
from model.bill import bill
from model.config import PRESETS, ModelConfig, Preset, preset
from model.published import load_config

Share = Field(default=0.5, ge=0, le=1)

AS_YOU_LIKE = frozenset(
    {
        *("ranks", "parallel", "device", "precision", "compile", "attention", "recompute", "micro_batch", "restarts"),
        *("log_every", "save_every", "keep", "validate_every", "validation_files", "evaluation_files"),
        *("spike", "on_spike", "title"),
    }
)
"""Parameters that may change in the middle of a training: they say how it is computed and looked at, not what."""


class Lora(BaseModel):
    """Low-rank adapters to train in place of all weights."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    rank: PositiveInt = 16
    """Width of the adapters."""
    alpha: PositiveFloat = 32
    """By how much the adapters' output is scaled, times their rank."""
    dropout: float = Field(default=0.05, ge=0, lt=1)
    """Share of the adapters' inputs that is dropped."""
    targets: tuple[str, ...] = ("c_attn", "c_proj")
    """Linear maps that get adapters."""


class Train(Job):
    """Train a code model with StarCoder's architecture on the token shards that `pack` made, and evaluate it.

    AdamW, a cosine schedule behind a linear warm-up, clipped gradients, fill-in-the-middle drawn anew each epoch. What
    is read at every step is arithmetic on the seed, so a training that was stopped or killed goes on from its last
    checkpoint as though nothing had been, on another number of ranks too. Parameters that change what is learned begin
    a new training; what there was is moved to `replaced/`. With `base` a finished checkpoint is trained further, its
    optimiser state fresh.

    The folder has `model/`, which `transformers` loads, `metrics.jsonl`, `tensorboard/` where that is installed,
    `checkpoints/`, and, where `pack` kept repositories out, `evaluation.json` and `curve.svg`: bits a byte on files of
    those repositories, beside `xz -9`. Needs the extra `model`.

    Example:
        - train: {preset: tiny, steps: 2000, tokens_per_step: 8192, micro_batch: 4, learning_rate: 0.001, warmup: 100}

    Reference:
        Li et al. 2023, StarCoder, https://arxiv.org/abs/2305.06161, section 5
    """

    folder: ClassVar[str] = "train"
    # Weights are no text, and days of many GPUs; what to do about a forgotten document is decided by people.
    holds_text: ClassVar[bool] = False

    preset: Preset = "tiny"
    """Shape of the model unless `base` has one; the vocabulary is that of the shards, the context their length."""
    layers: PositiveInt | None = None
    """Layers, if not the preset's."""
    width: PositiveInt | None = None
    """Width of the residual stream, if not the preset's."""
    heads: PositiveInt | None = None
    """Heads of queries, if not the preset's."""
    multi_query: bool = True
    """Whether all heads of queries share one head of keys and values."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout; the paper's was 0.1."""
    base: str | None = None
    """A checkpoint to train further, in place of fresh weights: a folder, or `owner/name` on the Hugging Face hub."""
    lora: Lora | None = None
    """Trains low-rank adapters in place of the weights of `base`."""

    steps: PositiveInt
    """Steps of the optimiser."""
    tokens_per_step: PositiveInt = 4_194_304
    """Tokens of a step over all ranks: whole samples."""
    micro_batch: PositiveInt = 1
    """Samples that a rank works on at a time; gradients are summed up to the step's tokens."""
    learning_rate: PositiveFloat = 3e-4
    """Learning rate at its highest."""
    final_learning_rate: NonNegativeFloat | None = None
    """Learning rate at the end; a tenth of the highest unless given."""
    warmup: NonNegativeInt = 2000
    """Steps of linear warm-up."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """AdamW's decay of the first moment."""
    beta2: float = Field(default=0.95, ge=0, lt=1)
    """AdamW's decay of the second moment."""
    epsilon: PositiveFloat = 1e-8
    """AdamW's epsilon."""
    weight_decay: NonNegativeFloat = 0.1
    """Decay of matrices and embeddings; biases and norms have none."""
    clip: PositiveFloat = 1.0
    """Norm to which gradients are clipped."""

    fim_rate: float = Share
    """How likely a fragment of a document is permuted for fill-in-the-middle."""
    spm_rate: float = Share
    """How likely a permuted one has its suffix first."""
    weights: dict[str, NonNegativeFloat] | None = None
    """Shares of the streams in what is read; unless given, each sample comes once an epoch."""
    document_mask: bool = True
    """Whether documents packed into one sample do not see each other; StarCoder's did."""

    ranks: PositiveInt = 1
    """Processes that train together, each on a device of its own."""
    parallel: Literal["fsdp", "ddp"] = "fsdp"
    """Whether ranks share out the model's state, or each has all of it."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; `auto` takes a GPU where there is one."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Numbers to compute with; `auto` is bf16 on a GPU and fp32 on a CPU. Weights are fp32."""
    compile: bool | None = None
    """Whether blocks are compiled; unless given, on a GPU, but not where `sdpa` tells documents apart."""
    attention: Literal["auto", "sdpa", "varlen", "flex"] = "auto"
    """Attention backend; `auto` takes the fastest that runs. Dropout takes `sdpa`."""
    recompute: NonNegativeInt = 0
    """Recompute the activations of every so many-th block in the backward pass; 0 keeps all."""
    restarts: NonNegativeInt = 3
    """How often ranks that died are started again without having come further."""

    log_every: PositiveInt = 10
    """Steps between two lines of `metrics.jsonl`."""
    save_every: PositiveInt = 1000
    """Steps between two checkpoints."""
    keep: PositiveInt = 2
    """Checkpoints that stay."""
    validate_every: PositiveInt = 1000
    """Steps between two validations."""
    validation_files: NonNegativeInt = 32
    """Held-out files that a validation reads."""
    evaluation_files: NonNegativeInt = 1000
    """Held-out files that the evaluation at the end reads, at most."""
    spike: PositiveFloat = 2.0
    """By how much, in nats a token, a step's loss is above the mean of the last 50 when it counts as a spike."""
    on_spike: Literal["stop", "skip"] = "stop"
    """What becomes of a step with a spike, or whose loss or gradient is no number: the training stops and names its
    documents, or the step is left out."""
    title: str | None = None
    """The model's name on its card; the recipe's unless given."""
    seed: NonNegativeInt | None = None
    """What chance is made of; the recipe's seed unless given."""

    @model_validator(mode="after")
    def _fits_together(self) -> Train:
        if self.warmup >= self.steps:
            raise ValueError(
                f"`warmup` takes {self.warmup:,} steps and all of training {self.steps:,}; make it shorter"
            )
        if self.lowest > self.learning_rate:
            raise ValueError("`final_learning_rate` is above `learning_rate`")
        if self.lora and not self.base:
            raise ValueError("`lora` adapts the weights of a checkpoint: name it as `base`")
        if self.base and (self.layers or self.width or self.heads):
            raise ValueError("`base` has a shape of its own: leave `layers`, `width` and `heads` out")
        if self.dropout and self.attention in ("varlen", "flex"):
            raise ValueError(f"attention `{self.attention}` has no dropout: take `sdpa`, or dropout 0")
        try:
            self.shape(vocabulary=1, length=1)
        except EngineError as wrong:
            raise ValueError(str(wrong)) from None
        return self

    @property
    def lowest(self) -> float:
        """The learning rate at the end."""
        return self.learning_rate / 10 if self.final_learning_rate is None else self.final_learning_rate

    def shape(self, vocabulary: int, length: int) -> ModelConfig:
        """The model's shape for shards of such a vocabulary and length, unless `base` says another."""
        given = {name: getattr(self, name) for name in ("layers", "width", "heads") if getattr(self, name)}
        sizes: dict[str, Any] = {"vocabulary": vocabulary, "context": length, "dropout": self.dropout}
        return preset(self.preset, **given, **sizes, multi_query=self.multi_query)

    def samples_per_step(self, length: int) -> int:
        """Samples of a step over all ranks."""
        samples, rest = divmod(self.tokens_per_step, length)
        if rest or samples % (self.ranks * self.micro_batch):
            unit = length * self.ranks * self.micro_batch
            raise fail(
                self,
                f"`tokens_per_step` is {self.tokens_per_step:,}; it must be a multiple of {unit:,}: {self.ranks} ranks "
                f"with {self.micro_batch} samples of {length:,} tokens at a time",
            )
        return samples

    def identity(self) -> dict[str, Any]:
        """What the loss curve depends on, besides the data."""
        return {name: value for name, value in self.parameters().items() if name not in AS_YOU_LIKE}

    def besides(self) -> Any:
        """What `base` holds, by the digests of its weights."""
        told = storage.join(self.base, "lineage.json") if self.base else ""
        return storage.read_json(told) if told and storage.exists(told) else None

    def fits(self, config: ModelConfig, vocabulary: int, length: int) -> None:
        """Raises OpError where the shards are not made for the model of `base`."""
        if config.vocabulary < vocabulary:
            raise fail(self, f"{self.base} knows {config.vocabulary:,} tokens and the shards have {vocabulary:,}")
        if config.context < length:
            raise fail(self, f"{self.base} has a context of {config.context:,}; pack samples of that length at most")

    def bill(self, above: Sequence[Op]) -> list[str]:
        """What the training costs, by part and in all; no torch is needed."""
        given, usual = {op.name(): op.parameters() for op in above}, PRESETS[self.preset]
        length = given["pack"]["length"] if "pack" in given else usual.context
        words = tokenizer.read(given["tokenize"]["tokenizer"]).size if "tokenize" in given else usual.vocabulary
        self.samples_per_step(length)
        if not self.base:
            return bill(self, self.shape(words, length), length)
        if not storage.exists(storage.join(self.base, "config.json")):
            unknown = f"{self.base} is not here: what follows is for the preset {self.preset}"
            return [unknown, *bill(self, self.shape(words, length), length)]
        config = load_config(self.base)
        self.fits(config, words, length)
        return bill(self, replace(config, dropout=self.dropout), length)

    def run(self, run: str, out: str, pool: Workers) -> dict[str, Any]:
        if find_spec("torch") is None or find_spec("safetensors") is None:
            raise fail(self, "needs torch: pip install 'starcoder-engine[model]'")
        if not storage.is_local(out):
            raise fail(self, f"{out}: checkpoints are written to a disk or a shared file system; run into a folder")
        manifest = read_manifest(storage.join(run, "tokens"))
        self.samples_per_step(manifest.length)
        _begin(self, manifest, storage.local_path(out))
        from model.gang import launch  # torch: to run, not to plan
        from model.metrics import Watch
        from model.release import evaluate
        from model.train import train

        with Watch(storage.local_path(out), self.steps):
            told = launch(train, self, run, out, self.ranks)
        return told | launch(evaluate, self, run, out, 1)


def _begin(op: Train, manifest: TokenManifest, out: Path) -> None:
    """Makes the folder ready: what another training left there goes to `replaced/`."""
    identity = op.identity() | {"data": manifest.fingerprint, "base_holds": op.besides()}
    mark = out / "training.json"
    if mark.exists() and storage.read_json(str(mark)) != identity:
        replaced = out / "replaced"
        shutil.rmtree(replaced, ignore_errors=True)
        left = list(out.iterdir())
        replaced.mkdir()
        for path in left:
            path.rename(replaced / path.name)
    storage.write_json(str(mark), identity)
