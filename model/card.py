"""The card of a model: what it is, what it was made from, what it may be used for. Markdown, as the hub reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from model.config import ModelConfig


@dataclass(frozen=True)
class Origin:
    """What a model card tells besides the architecture; what is not known is left out of the card."""

    name: str
    recipe: str = ""
    """The recipe, as YAML."""
    data_card: str = ""
    """The card of the data that it was trained on, as Markdown, or where that stands."""
    licenses: Mapping[str, int] = field(default_factory=dict)
    """Training documents by licence."""
    languages: Mapping[str, float] = field(default_factory=dict)
    """Share of the training bytes by programming language, from 0 to 1."""
    lineage: Mapping[str, Any] = field(default_factory=dict)
    """Runs and checkpoints that this one came from, with their fingerprints; plain values."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """What was measured, by name."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Steps, tokens, hardware, hours, energy: whatever is to be told."""
    license: str = "bigcode-openrail-m"
    """The licence of the weights, as the hub names it."""
    contact: str = ""


def model_card(config: ModelConfig, origin: Origin) -> str:
    """The card as Markdown with the hub's front matter, to be written as `README.md`."""
    sections = [
        _front(origin),
        f"# {origin.name}\n\n{_summary(config)}",
        _use(origin),
        "## Intended use\n\n" + INTENDED,
        _training(config, origin),
        _data(origin),
        _scores(origin),
        "## Limits\n\n" + LIMITS,
        "## Attribution\n\n" + ATTRIBUTION,
        _license(origin),
        _fenced("## Recipe", origin.recipe, "yaml"),
        _fenced("## Lineage", json.dumps(dict(origin.lineage), indent=1) if origin.lineage else "", "json"),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


INTENDED = (
    "To complete source code and to fill in the middle of it, in editors and in research. It was trained on code and "
    "not to follow instructions: give it the beginning of a file, not a request. It is not meant to decide anything "
    "about people, and what it writes is to be reviewed, tested and run shut in before anyone relies on it."
)

LIMITS = (
    "What it writes may be wrong, insecure, out of date or inefficient. It knows best the languages that it saw most. "
    "It may repeat its training data word for word, licensed code and what escaped the search for personal data too."
)

ATTRIBUTION = (
    "Every training file stays under its own licence. Where a completion repeats one of them, that licence may ask for "
    "credit or more; the data's index of what was read (`engine trace`) says where a passage comes from."
)

OPENRAIL = (
    "The weights are under the BigCode OpenRAIL-M licence agreement, version 1: free of charge to use, change and pass "
    "on, for commercial use too, under use restrictions (its Attachment A) to which everyone has to be bound likewise "
    "to whom the model, a model derived from it or an application of it is passed. Read it before using them: "
    "<https://huggingface.co/spaces/bigcode/bigcode-model-license-agreement>. A card like this one has to go with them."
)


def _front(origin: Origin) -> str:
    lines = ["---", f"license: {origin.license}", "library_name: transformers", "pipeline_tag: text-generation"]
    return "\n".join([*lines, "tags:", "- code", "- gpt_bigcode", "---"])


def _summary(config: ModelConfig) -> str:
    heads = "one head of keys and values" if config.multi_query else f"{config.heads} heads of keys and values"
    return (
        f"A language model of source code with {config.parameters:,} parameters and StarCoder's architecture "
        f"(GPT-BigCode): {config.layers} layers of width {config.width}, {config.heads} heads of queries on {heads}, "
        f"{config.vocabulary:,} tokens, a context of {config.context:,}."
    )


def _use(origin: Origin) -> str:
    return (
        "## Use\n\n```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        'here = "PATH_OF_THIS_FOLDER"\n'
        "tokenizer, model = AutoTokenizer.from_pretrained(here), AutoModelForCausalLM.from_pretrained(here)\n"
        'ids = tokenizer("<fim_prefix>def add(a, b):\\n    return <fim_suffix>\\n<fim_middle>", return_tensors="pt")\n'
        "print(tokenizer.decode(model.generate(**ids, max_new_tokens=32)[0]))\n```\n\n"
        "Token 0 (`<|endoftext|>`) begins and ends every document; without the `fim` tokens it simply continues."
    )


def _training(config: ModelConfig, origin: Origin) -> str:
    activation = "tanh approximation of GELU" if config.activation == "gelu_pytorch_tanh" else "exact GELU"
    rows = {"activation": activation, "dropout": config.dropout, **origin.training}
    return "## Training\n\n" + _table(("", ""), rows)


def _data(origin: Origin) -> str:
    told = []
    if origin.data_card:
        told.append(origin.data_card.strip())
    if origin.languages:
        ranked = sorted(origin.languages.items(), key=lambda item: (-item[1], item[0]))
        told.append(_table(("language", "% of bytes"), {name: f"{100 * share:.2f}" for name, share in ranked}))
    if origin.licenses:
        ranked = sorted(origin.licenses.items(), key=lambda item: (-item[1], item[0]))
        told.append(_table(("licence", "documents"), {name or "(not known)": f"{n:,}" for name, n in ranked}))
    return "## Data\n\n" + "\n\n".join(told) if told else ""


def _scores(origin: Origin) -> str:
    if not origin.scores:
        return ""
    rows = {name: f"{value:.4g}" for name, value in origin.scores.items()}
    return "## Evaluation\n\n" + _table(("measure", "value"), rows)


def _license(origin: Origin) -> str:
    told = OPENRAIL if "openrail" in origin.license else f"The weights are under {origin.license}."
    contact = f" Questions and objections: {origin.contact}." if origin.contact else ""
    return f"## Licence\n\n{told}{contact}"


def _fenced(title: str, text: str, kind: str) -> str:
    return f"{title}\n\n```{kind}\n{text.strip()}\n```" if text.strip() else ""


def _table(head: tuple[str, str], rows: Mapping[str, Any]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "|---|---:|"]
    return "\n".join([*lines, *(f"| {_cell(name)} | {_cell(value)} |" for name, value in rows.items())])


def _cell(value: Any) -> str:
    told = f"{value:,}" if isinstance(value, int) else str(value)
    return told.replace("|", "\\|").replace("\n", " ")
