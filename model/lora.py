"""Low-rank adapters (Hu et al. 2021) through `peft`, on weights of our own or published ones such as starcoderbase.

The adapters go into our own decoder, so that loop, document masks and chunked loss are those of any training here; what
`save` writes is an ordinary peft adapter, which `PeftModel.from_pretrained` puts onto transformers' model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from engine import storage
from engine.errors import OpError
from model.checkpoint import PREFIX
from model.transformer import Decoder

TARGETS = ("c_attn", "c_proj")
"""Which linear maps get an adapter: those of BigCode's own fine-tuning script (of which `q_attn` is not in MQA)."""


def add(
    model: Decoder,
    rank: int = 16,
    alpha: float = 32,
    dropout: float = 0.05,
    targets: Sequence[str] = TARGETS,
    base: str = "",
) -> Decoder:
    """The same model with adapters beside its linear maps; only these are trained. `base` names the weights' origin."""
    try:
        from peft import LoraConfig, inject_adapter_in_model  # heavy, and an option
    except ImportError:
        raise OpError("adapters need peft: pip install 'starcoder-engine[lora]'") from None
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type]
        lora_dropout=dropout,
        target_modules=list(targets),
        base_model_name_or_path=base,
        task_type="CAUSAL_LM",
    )
    try:
        inject_adapter_in_model(config, model)
    except ValueError as wrong:
        raise OpError(f"no adapter can be put on {', '.join(targets)}: {wrong}") from None
    model.adapter = config  # type: ignore[assignment]
    return model


def weights(model: Decoder) -> dict[str, Tensor]:
    """The adapters' tensors under the names that peft gives them on transformers' model."""
    from peft import get_peft_model_state_dict

    return {f"base_model.model.{PREFIX}{n}": t.contiguous() for n, t in get_peft_model_state_dict(model).items()}


def save(model: Decoder, folder: str) -> None:
    """Writes the adapters as peft does: `adapter_config.json` and `adapter_model.safetensors`."""
    config: Any = getattr(model, "adapter", None)
    if config is None:
        raise OpError("this model has no adapters to save")
    told = {k: sorted(v) if isinstance(v, set) else v for k, v in config.to_dict().items()}
    storage.write_bytes(storage.join(folder, "adapter_model.safetensors"), to_bytes(weights(model)))
    storage.write_json(storage.join(folder, "adapter_config.json"), {**told, "inference_mode": True})


def merge(model: Decoder) -> Decoder:
    """The same model with its adapters added into its weights: an ordinary checkpoint again."""
    from peft.tuners.lora import LoraLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, LoraLayer):
            module.merge()  # type: ignore[operator]
            parent, _, child = name.rpartition(".")
            layer = module.get_base_layer()
            assert isinstance(layer, nn.Linear)
            setattr(model.get_submodule(parent), child, layer)
    model.adapter = None  # type: ignore[assignment]
    return model.requires_grad_()
