"""Checkpoints as everything that knows `gpt_bigcode` reads them: `config.json` and safetensors, in one folder or URL.

`save` leaves a folder that transformers, CTranslate2 and vLLM load, `load` reads one that this or `save_pretrained`
wrote. Beside the weights stand the tokenizer, a model card and `lineage.json`: what the weights came from, and the
digest of every weights file, by which a damaged one is recognised.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import xxhash
from torch import Tensor

from engine import storage
from engine.errors import OpError
from model.published import load_config, to_published
from model.transformer import Decoder

PREFIX = "transformer."
"""What the published names have before ours."""

SHARD_BYTES = 5 << 30
"""Weights beyond this are cut into several files, as transformers does."""

NO_WEIGHTS = re.compile(r"(h\.\d+\.attn\.)?(bias|masked_bias)|lm_head\.weight")
"""Tensors of other writers that are no parameters here: masks, and the head, which is tied to the embedding."""

INDEX = "model.safetensors.index.json"
"""Which file holds which tensor, where there are several."""
WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?")
"""Every name that a weights file or the index may have: what an earlier, larger save left is removed."""

DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}
"""The names of number types in safetensors."""

WriteTokenizer = Callable[[str], None]
"""Writes a tokenizer's files into a folder."""


def save(
    model: Decoder,
    folder: str,
    *,
    tokenizer: WriteTokenizer | None = None,
    card: str | None = None,
    lineage: dict[str, Any] | None = None,
    dtype: torch.dtype | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Writes the model into a folder or URL: weights, configuration, tokenizer, card (`README.md`) and lineage.

    `dtype` is that of the file, the model's own by default. Each file appears whole, `lineage.json` last.
    """
    tensors = {PREFIX + name: weight.detach() for name, weight in model.named_parameters()}
    dtype = dtype or model.wte.weight.dtype
    digests = _write_weights(folder, tensors, dtype, shard_bytes)
    index = {INDEX} if len(digests) > 1 else set()
    for name in storage.names(folder):
        if WEIGHTS.fullmatch(name) and name not in digests.keys() | index:
            storage.remove(storage.join(folder, name))
    storage.write_json(storage.join(folder, "config.json"), to_published(model.config, dtype))
    end = model.config.end_token
    generation = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end}
    storage.write_json(storage.join(folder, "generation_config.json"), generation)
    if tokenizer:
        tokenizer(folder)
    if card is not None:
        storage.write_bytes(storage.join(folder, "README.md"), card.encode())
    storage.write_json(storage.join(folder, "lineage.json"), {**(lineage or {}), "weights": digests})


def load(
    folder: str, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None, **options: Any
) -> Decoder:
    """The model of a folder or URL, in the numbers of its file or in `dtype`; `options` are those of `Decoder`.

    An `OpError` tells of another architecture, a missing or unknown tensor, a wrong shape, a file cut short or changed.
    """
    config = load_config(folder)
    with torch.device("meta"):
        model = Decoder(config, **options)
    wanted = dict(model.named_parameters())
    tensors: dict[str, Tensor] = {}
    for file in weight_files(folder):
        for name, tensor in _read_weights(folder, file):
            name = name.removeprefix(PREFIX)
            if name not in wanted:
                if not NO_WEIGHTS.fullmatch(name):
                    raise OpError(f"{storage.join(folder, file)}: `{name}` is no tensor of this architecture")
                continue
            if tensor.shape != wanted[name].shape:
                shapes = f"{tuple(tensor.shape)}, by config.json it should be {tuple(wanted[name].shape)}"
                raise OpError(f"{storage.join(folder, file)}: `{name}` has the shape {shapes}")
            tensors[name] = tensor.to(device=device, dtype=dtype or tensor.dtype)
    if missing := sorted(wanted.keys() - tensors.keys()):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise OpError(f"{folder}: the weights lack `{missing[0]}`{more}; was the folder copied whole?")
    model.load_state_dict(tensors, assign=True)
    return model


def fetch(name: str) -> str:
    """The folder of a checkpoint: the path or URL itself, or a copy of that repository of the Hugging Face hub."""
    if storage.exists(storage.join(name, "config.json")):
        return name
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise OpError(f"{name} is neither a folder with a config.json nor a repository of the hub (owner/name)")
    try:
        from huggingface_hub import snapshot_download  # heavy, and of use only to those who bring weights from the hub
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError:
        raise OpError(f"{name}: the hub needs huggingface-hub: pip install 'starcoder-engine[hub]'") from None
    try:
        return snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.txt"])
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as wrong:
        why = "or the repository asks you to accept its licence and log in (`hf auth login`)"
        raise OpError(f"{name}: no such folder here, and the hub could not be reached, {why}: {wrong}") from wrong


def weight_files(folder: str) -> list[str]:
    """The names of a folder's weights files, those that its index lists where it has one."""
    present = storage.names(folder)
    if INDEX in present:
        index = storage.read_json(storage.join(folder, INDEX))
        listed = sorted(set(index["weight_map"].values()))
        if absent := sorted(set(listed) - set(present)):
            raise OpError(f"{folder}: {', '.join(absent)} listed in {INDEX} but not there")
        return listed
    if "model.safetensors" not in present:
        old = [name for name in present if name.endswith(".bin")]
        hint = "; load it with transformers and `save_pretrained` it, which writes safetensors" if old else ""
        raise OpError(f"{folder} has no model.safetensors{hint}")
    return ["model.safetensors"]


def _write_weights(folder: str, tensors: dict[str, Tensor], dtype: torch.dtype, shard_bytes: int) -> dict[str, str]:
    """Writes the tensors, in one file or more; the answer is each file's digest."""
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        bytes_ = tensor.numel() * dtype.itemsize
        if size and size + bytes_ > shard_bytes:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += bytes_
    if len(shards) == 1:
        return {"model.safetensors": _write_safetensors(storage.join(folder, "model.safetensors"), shards[0], dtype)}
    files = [f"model-{n + 1:05}-of-{len(shards):05}.safetensors" for n in range(len(shards))]
    digests = {
        file: _write_safetensors(storage.join(folder, file), shard, dtype)
        for file, shard in zip(files, shards, strict=True)
    }
    where = {name: file for file, shard in zip(files, shards, strict=True) for name in shard}
    total = sum(t.numel() * dtype.itemsize for t in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": where}
    storage.write_json(storage.join(folder, INDEX), index)
    return digests


def _write_safetensors(url: str, tensors: dict[str, Tensor], dtype: torch.dtype) -> str:
    """Writes one file, a tensor at a time, on any file system; the answer is the digest of its bytes.

    The format: eight bytes that say how long the header is, the header in JSON, the numbers as they lie in memory.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.numel() * dtype.itemsize
        header[name] = {"dtype": DTYPES[dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    digest = xxhash.xxh3_128()
    with storage.open_whole(url) as file:
        for piece in (len(text).to_bytes(8, "little"), text):
            file.write(piece)
            digest.update(piece)
        for tensor in tensors.values():
            numbers = tensor.to(device="cpu", dtype=dtype).contiguous().view(-1).view(torch.uint8).numpy()
            file.write(numbers.data)
            digest.update(numbers.data)
    return digest.hexdigest()


def _read_weights(folder: str, file: str) -> Iterator[tuple[str, Tensor]]:
    """The named tensors of a file, once it is known to be whole."""
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load as from_bytes

    url = storage.join(folder, file)
    lineage = storage.join(folder, "lineage.json")
    told = storage.read_json(lineage).get("weights", {}).get(file) if storage.exists(lineage) else None
    if told and told != _digest(url):
        raise OpError(f"{url} is not what was written there (its digest is not that in lineage.json): copy it again")
    try:
        if not storage.is_local(url):
            yield from from_bytes(storage.read_bytes(url)).items()
            return
        with safe_open(storage.local_path(url), framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - it is no dictionary
                yield name, tensors.get_tensor(name)
    except SafetensorError as wrong:
        raise OpError(f"{url} is cut short or damaged ({wrong}): copy it again or take the checkpoint before") from None


def _digest(url: str) -> str:
    digest = xxhash.xxh3_128()
    with storage.open_read(url) as file:
        while piece := file.read(1 << 24):
            digest.update(piece)
    return digest.hexdigest()


def copy_tokenizer(source: str | Path) -> WriteTokenizer:
    """A writer for `save` that copies another folder's tokenizer."""

    def write(folder: str) -> None:
        found = [name for name in storage.names(str(source)) if name.startswith(("tokenizer", "special_tokens"))]
        if not found:
            raise OpError(f"{source} holds no tokenizer.json")
        for name in found:
            storage.write_bytes(storage.join(folder, name), storage.read_bytes(storage.join(str(source), name)))

    return write
