"""What shape a model has: the published StarCoder sizes and two of our own. No torch: recipes plan without it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from engine.errors import OpError, did_you_mean

Activation = Literal["gelu_pytorch_tanh", "gelu"]
"""The tanh approximation that StarCoder was trained with, or the exact function that two of its releases name."""


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a GPT-BigCode decoder; every name on the right is the field of the same meaning in `config.json`."""

    layers: int  # n_layer
    width: int  # n_embd
    heads: int  # n_head
    context: int = 8192  # n_positions
    vocabulary: int = 49_152  # vocab_size
    multi_query: bool = True  # multi_query: one head of keys and values for all heads of queries
    dropout: float = 0.0  # embd_pdrop, attn_pdrop, resid_pdrop; the paper's was 0.1
    inner: int = 0  # n_inner; 0 stands for 4 · width
    activation: Activation = "gelu_pytorch_tanh"  # activation_function
    epsilon: float = 1e-5  # layer_norm_epsilon
    end_token: int = 0  # bos_token_id, eos_token_id

    def __post_init__(self) -> None:
        for name in ("layers", "width", "heads", "context", "vocabulary"):
            if getattr(self, name) < 1:
                raise OpError(f"a model with {name} = {getattr(self, name)}: {name} must be 1 or more")
        if self.width % self.heads:
            raise OpError(f"a width of {self.width} cannot be shared evenly by {self.heads} heads")
        if not 0 <= self.dropout < 1:
            raise OpError(f"dropout = {self.dropout}: it must be 0 or more and less than 1")
        if not self.inner:
            object.__setattr__(self, "inner", 4 * self.width)

    @property
    def head_width(self) -> int:
        """The width of one head."""
        return self.width // self.heads

    @property
    def key_heads(self) -> int:
        """Heads of keys and values: 1, or as many as there are heads of queries."""
        return 1 if self.multi_query else self.heads

    @property
    def init_std(self) -> float:
        """The standard deviation of fresh weights, `width ** -0.5` as in all four StarCoder sizes."""
        return self.width**-0.5

    @property
    def block_parameters(self) -> int:
        """Parameters of one block: attention, MLP, their biases, two layer norms."""
        d, keys = self.width, 2 * self.key_heads * self.head_width
        attention = d * (d + keys) + (d + keys) + d * d + d
        return attention + 2 * d * self.inner + self.inner + d + 4 * d

    @property
    def parameters(self) -> int:
        """All parameters; the head is tied to the token embedding and counts once."""
        embeddings = (self.vocabulary + self.context) * self.width
        return embeddings + self.layers * self.block_parameters + 2 * self.width


PRESETS = {
    "tiny": ModelConfig(layers=6, width=256, heads=4, context=1024),
    "100m": ModelConfig(layers=12, width=768, heads=6, context=2048),
    "1b": ModelConfig(layers=24, width=2048, heads=16),
    "3b": ModelConfig(layers=36, width=2816, heads=22),
    "7b": ModelConfig(layers=42, width=4096, heads=32),
    "15b": ModelConfig(layers=40, width=6144, heads=48),
}
"""StarCoder's four sizes (Li et al. 2023, and the released configurations), one for two cores, one for one GPU."""

Preset = Literal["tiny", "100m", "1b", "3b", "7b", "15b"]


def preset(name: str, **changes: Any) -> ModelConfig:
    """The preset of that name, with some of its fields changed; an `OpError` names the nearest when there is none."""
    if name not in PRESETS:
        raise OpError(f"there is no preset `{name}`{did_you_mean(name, PRESETS)} (there are {', '.join(PRESETS)})")
    if changes.get("width") and "inner" not in changes:
        changes["inner"] = 0
    return replace(PRESETS[name], **changes)
