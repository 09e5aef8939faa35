"""What a training leaves: a model that transformers loads, its evaluation, its card."""

from __future__ import annotations

import torch

from engine import storage
from engine.tokenizer import read as read_tokenizer
from model import checkpoint
from model.generate import generate


def test_transformers_loads_the_model_with_its_tokenizer(undisturbed):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = str(undisturbed / "model")
    theirs = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("the quick brown", return_tensors="pt")["input_ids"]
    ours = checkpoint.load(folder)
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, ours(ids), rtol=1e-4, atol=1e-4)
    assert generate(ours, [ids[0].tolist()], 4)
    assert read_tokenizer(folder).size == ours.config.vocabulary


def test_the_evaluation_stands_beside_xz_on_the_card_and_the_curve(undisturbed):
    told = storage.read_json(str(undisturbed / "evaluation.json"))
    assert told["files"] == 3 and 0 < told["mean"] < 20 and told["xz_mean"] > 0
    assert sum(each["bytes"] for each in told["languages"].values()) == told["bytes"]
    card = (undisturbed / "model" / "README.md").read_text()
    assert "mean over held-out files" in card and "steps" in card
    assert "xz -9" in (undisturbed / "curve.svg").read_text()
