"""The card of a model says what it is, where it came from and under which licence, in a form that the hub reads."""

import yaml

from model.card import Origin, model_card
from model.config import preset

ORIGIN = Origin(
    name="A small model",
    recipe="name: smol\nsteps:\n  - train: {preset: tiny}\n",
    data_card="Documents of 120 packages.",
    licenses={"MIT": 1200, "Apache-2.0": 900, "": 3},
    languages={"Python": 0.9, "C|C++": 0.1},
    lineage={"run": "runs/smol", "fingerprint": "abc123"},
    scores={"bits per byte": 1.23456},
    training={"steps": 1000, "tokens": 1_000_000},
    contact="someone@example.org",
)


def test_everything_that_is_known_is_told():
    card = model_card(preset("tiny"), ORIGIN)
    front = yaml.safe_load(card.split("---")[1])
    assert front["license"] == "bigcode-openrail-m"
    assert {"code", "gpt_bigcode"} <= set(front["tags"])
    for said in (
        "16,992,000 parameters",
        "one head of keys and values",
        "Documents of 120 packages.",
        "| MIT | 1,200 |",
        "| (not known) | 3 |",
        "| C\\|C++ | 10.00 |",
        '"fingerprint": "abc123"',
        "  - train: {preset: tiny}",
        "| bits per byte | 1.235 |",
        "| tokens | 1,000,000 |",
        "OpenRAIL-M",
        "Attachment A",
        "## Intended use",
        "someone@example.org",
    ):
        assert said in card
    assert card.index("MIT") < card.index("Apache-2.0"), "the most frequent first"


def test_what_is_not_known_is_left_out():
    card = model_card(preset("1b", multi_query=False), Origin(name="Bare", license="apache-2.0"))
    assert "16 heads of keys and values" in card
    assert "under apache-2.0" in card
    for absent in ("## Data", "## Evaluation", "## Recipe", "## Lineage", "OpenRAIL", "Questions"):
        assert absent not in card
