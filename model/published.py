"""The shape of a model as `config.json` tells it beside published weights. No torch: recipes plan without it."""

from __future__ import annotations

from typing import Any

from engine import storage
from engine.errors import OpError
from model.config import ModelConfig


def to_published(config: ModelConfig, dtype: Any = "float32") -> dict[str, Any]:
    """The `config.json` of a model in numbers of that type: transformers' `GPTBigCodeConfig`."""
    return {
        "architectures": ["GPTBigCodeForCausalLM"],
        "model_type": "gpt_bigcode",
        "n_layer": config.layers,
        "n_embd": config.width,
        "n_head": config.heads,
        "n_inner": config.inner,
        "n_positions": config.context,
        "vocab_size": config.vocabulary,
        "multi_query": config.multi_query,
        "activation_function": config.activation,
        "layer_norm_epsilon": config.epsilon,
        "initializer_range": round(config.init_std, 6),
        "attn_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "resid_pdrop": config.dropout,
        "scale_attn_weights": True,
        "attention_softmax_in_fp32": True,
        "scale_attention_softmax_in_fp32": True,
        "tie_word_embeddings": True,
        "use_cache": True,
        "bos_token_id": config.end_token,
        "eos_token_id": config.end_token,
        "torch_dtype": str(dtype).removeprefix("torch."),
    }


def from_published(published: dict[str, Any], where: str = "config.json") -> ModelConfig:
    """The shape that a `config.json` tells of; an `OpError` says why another architecture cannot be one of ours."""
    kind = published.get("model_type")
    if kind != "gpt_bigcode":
        raise OpError(
            f"{where}: the architecture is `{kind}`; this reads `gpt_bigcode` checkpoints (StarCoder, SantaCoder)"
        )
    for name, needed in (("scale_attn_weights", True), ("add_cross_attention", False), ("tie_word_embeddings", True)):
        if published.get(name, needed) is not needed:
            raise OpError(f"{where}: {name} = {published[name]} is not supported")
    activation = published.get("activation_function", "gelu_pytorch_tanh")
    if activation not in ("gelu", "gelu_pytorch_tanh"):
        raise OpError(f"{where}: activation_function `{activation}` is not supported (gelu, gelu_pytorch_tanh)")
    try:
        return ModelConfig(
            layers=published["n_layer"],
            width=published["n_embd"],
            heads=published["n_head"],
            context=published["n_positions"],
            vocabulary=published["vocab_size"],
            multi_query=published.get("multi_query", True),
            # The paper trained with 0.1 and published it; here dropout is asked for, never inherited.
            dropout=0.0,
            inner=published.get("n_inner") or 0,
            activation=activation,
            epsilon=published.get("layer_norm_epsilon", 1e-5),
            end_token=published.get("eos_token_id") or 0,
        )
    except KeyError as missing:
        raise OpError(f"{where}: {missing.args[0]} is missing") from None


def load_config(folder: str) -> ModelConfig:
    """The shape of the model in a folder or URL."""
    url = storage.join(folder, "config.json")
    if not storage.exists(url):
        raise OpError(f"{folder} holds no checkpoint: there is no config.json in it")
    try:
        published = storage.read_json(url)
    except ValueError as wrong:
        raise OpError(f"{url} is not JSON: {wrong}") from None
    return from_published(published, url)
