"""`engine plan` of a recipe that trains prints the training's bill, by figures that stand in papers or are torch's."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import Told, engine
from token_corpus import tiny_tokenizer

from model import checkpoint
from model.config import PRESETS, preset
from model.transformer import decoder

ROOT = Path(__file__).parents[2]


@pytest.fixture
def plan(capsys, monkeypatch, make_corpus):
    """Plans a recipe that comes with the engine, over a small corpus."""
    monkeypatch.chdir(ROOT)
    source = f"streams.code.source.parquet.path={make_corpus(files=1)}"

    def planned(name: str, *options: str, source: str = source) -> Told:
        settings = [part for setting in (source, *options) if "=" in setting for part in ("--set", setting)]
        flags = [option for option in options if "=" not in option]
        return engine(capsys, "plan", f"recipes/{name}.yaml", "--no-probe", *settings, *flags)

    return planned


def numbers(text: str, pattern: str) -> tuple[float, ...]:
    found = re.search(pattern.replace("#", r"([\d.,]+(?:e[+-]\d+)?)"), text)
    assert found, (pattern, text)
    return tuple(float(n.replace(",", "")) for n in found.groups())


def test_starcoderbase_costs_what_it_did(plan, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # a plan needs none
    code, out, _ = plan("starcoderbase")
    assert code == 0
    passes, bill = out.split("then  train\n")
    assert "notebooks_structured 1" in passes and "then  pack" in passes
    assert numbers(bill, "# parameters: # layers") == (15_517_456_384, 40)
    assert numbers(bill, r"# steps of # tokens \(# samples of #\): # tokens") == (
        *(250_000, 4_194_304, 512, 8192),
        1_048_576_000_000,
    )
    assert numbers(bill, "on 512 A100 at 34% MFU: # GPU-hours, # days, # kWh, # kg CO2e") == pytest.approx(
        (320_256, 26.06, 89_672, 16_680), rel=0.01
    )
    whole, *parts = numbers(
        bill, r"each of 512 ranks, bf16 on fp32 weights: # GB \(weights #, gradients #, optimiser #, copies #"
        r", activations #, head #\)"
    )  # fmt: skip
    assert whole == pytest.approx(sum(parts), rel=0.01)
    assert parts[:3] == pytest.approx([4 * 15.517 / 512] * 2 + [8 * 15.517 / 512], rel=0.01)


def test_the_documentation_shows_it(plan):
    bill = plan("starcoderbase").out.split("then  train\n")[1].split("\n\n")[0]
    assert f"```\nthen  train\n{bill}\n```" in (ROOT / "docs" / "training.md").read_text()


def test_starcoder_costs_what_it_did_and_says_that_its_base_is_not_here(plan):
    _, out, _ = plan("starcoder", "steps.train.base=bigcode/starcoderbase")
    assert "bigcode/starcoderbase is not here: what follows is for the preset 15b" in out
    # 11,208 in the paper, with what was not training.
    assert numbers(out, "34% MFU: # GPU-hours") == pytest.approx((11_208,), rel=0.03)
    assert numbers(out, "# steps of # tokens") == (8_500, 4_194_304)


def test_starcoder_smol_is_told_with_its_own_vocabulary_and_length(plan):
    _, out, _ = plan("starcoder-smol")
    config = preset("tiny", layers=4, width=256, heads=4, vocabulary=4096, context=512)
    assert numbers(out, "# parameters") == (config.parameters,)
    assert numbers(out, "# tokens, a context of #") == (4096, 512)
    assert numbers(out, r"samples of #\): # tokens") == (512, 500 * 2048)
    assert numbers(out, "H100 at 40% MFU: # GPU-hours")[0] > 0
    assert "memory of the one rank" in out and "optimiser" in out


def test_a_base_that_is_here_says_its_shape_and_adapters_are_all_that_is_trained(plan, tmp_path):
    words = tiny_tokenizer(tmp_path / "words").size
    config = preset("tiny", layers=2, width=64, heads=4, vocabulary=words, context=128)
    checkpoint.save(decoder(config), str(tmp_path / "base"))
    given = [
        f"steps.train.base={tmp_path / 'base'}",
        f"steps.tokenize.tokenizer={tmp_path / 'words'}",
        "steps.pack.length=128",
    ]
    given += ["steps.train.ranks=1", "steps.train.steps=600"]
    _, out, _ = plan("starcoder", *given)
    assert numbers(out, "# parameters: # layers of width #") == (config.parameters, 2, 64)
    _, out, _ = plan("starcoder", *given, "steps.train.lora.rank=4")
    # c_attn: 64 -> 96, attention's c_proj: 64 -> 64, the MLP's c_proj: 256 -> 64
    adapters = 2 * 4 * ((64 + 96) + (64 + 64) + (256 + 64))
    assert numbers(out, "# parameters; trained are # of adapters") == (config.parameters, adapters)
    told = numbers(out, "weights #, gradients #, optimiser #")
    assert told == pytest.approx([4e-9 * (config.parameters + adapters), 4e-9 * adapters, 8e-9 * adapters], rel=0.01)
    code, _, err = plan("starcoder", *given[:2], "steps.pack.length=256")
    assert code and "has a context of 128; pack samples of that length at most" in err


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("steps.train.tokens_per_step=1000", "it must be a multiple of 2,048: 1 ranks with 4 samples of 512 tokens"),
        ("steps.pack.length=768", "multiple of 3,072"),
        ("streams.code.source.parquet.path=/nowhere/at/all", "/nowhere/at/all"),
        ("steps.tokenize.tokenizer=/nowhere", "holds no tokenizer.json"),
    ],
)
def test_what_could_not_run_is_refused_before_anything_runs(plan, setting, told):
    code, out, err = plan("starcoder-smol", setting)
    assert code in (1, 2) and not out
    assert told in err and "Traceback" not in err


def test_the_bill_is_in_the_json(plan):
    code, out, _ = plan("starcoder-smol", "--json")
    bill: dict[str, Any] = json.loads(out)["bills"]
    assert code == 0 and list(bill) == ["train"] and "parameters" in bill["train"][0]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_a_bill(plan, name):
    _, out, _ = plan("starcoderbase", f"steps.train.preset={name}", "steps.train.ranks=1")
    expected = preset(name, context=8192).parameters
    assert numbers(out, "# parameters: ")[0] == expected
