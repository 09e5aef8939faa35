"""A recipe from documents to an evaluated checkpoint, and what it says of wrong parameters before anything runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from token_corpus import tiny_tokenizer

from engine.errors import RecipeError
from engine.plan import make_plan
from engine.recipe import load, read
from model.ops import Train

ROOT = Path(__file__).parents[2]
TRAINING = sorted(path for path in (ROOT / "recipes").glob("*.yaml") if "\n  - train:" in path.read_text())

RECIPE = """\
name: little
seed: 5
source: {{parquet: {{path: "{path}"}}}}
steps:
  - line_length: {{longest: 1000}}
  - tokenize: {{tokenizer: "TOKENIZER"}}
  - pack: {{length: 64, validation: 0.3}}
  - train: {{layers: 1, width: 32, heads: 2, steps: 4, tokens_per_step: 128, warmup: 1, save_every: 2, device: cpu}}
"""


def test_a_recipe_goes_from_documents_to_a_checkpoint_that_transformers_loads(make_corpus, run_recipe, tmp_path):
    from transformers import AutoModelForCausalLM

    tiny_tokenizer(tmp_path / "tokenizer")
    out = tmp_path / "out"
    text = RECIPE.replace("TOKENIZER", str(tmp_path / "tokenizer"))
    corpus = make_corpus()
    report = run_recipe(out, corpus, text=text)
    told = report.jobs["train"]
    assert told["steps"] == 4 and told["evaluation"]["files"] > 0
    model = AutoModelForCausalLM.from_pretrained(str(out / "train" / "model"))
    assert sum(p.numel() for p in model.parameters()) == told["parameters"]
    assert "name: little" in (out / "train" / "model" / "README.md").read_text()
    before = (out / "train" / "metrics.jsonl").read_bytes()
    assert run_recipe(out, corpus, text=text).jobs["train"] == told
    assert (out / "train" / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("train: {step: 4}", "did you mean `steps`?"),
        ("train: {tokens_per_step: 128}", "steps"),
        ("train: {steps: 4, warmup: 8}", "`warmup` takes 8 steps"),
        ("train: {steps: 4000, width: 100, heads: 3}", "cannot be shared evenly by 3 heads"),
        ("train: {steps: 4000, fim_rate: 1.5}", "fim_rate"),
        ("train: {steps: 4000, base: x, lora: {ranks: 3}}", "ranks"),
    ],
)
def test_a_wrong_parameter_is_told_with_its_line(wrong, told):
    text = f"name: x\nsource: environment\nsteps:\n  - pack: {{length: 64}}\n  - {wrong}\n"
    with pytest.raises(RecipeError) as error:
        read(text)
    assert told in str(error.value) and ":5:" in str(error.value)


def test_recipes_that_train_plan_without_torch():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from engine.plan import make_plan\nfrom engine.recipe import load\n"
        "for path in sys.argv[1:]:\n    print([s.name for s in make_plan(load(path)).jobs])\n"
    )
    paths = [str(path.relative_to(ROOT)) for path in TRAINING]
    run = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("['pack', 'train']") == len(paths) == 3


def job(name: str) -> Train:
    found = next(s.op for s in make_plan(load(str(ROOT / "recipes" / f"{name}.yaml"))).jobs if s.name == "train")
    assert isinstance(found, Train)
    return found


def test_starcoderbase_has_the_papers_figures(monkeypatch):
    monkeypatch.chdir(ROOT)
    base, bill = job("starcoderbase"), " ".join(job("starcoderbase").bill())
    assert "15,517,456,384 parameters" in bill and "1,048,576,000,000" in bill
    assert base.samples_per_step(8192) == 512
    assert (base.learning_rate, base.lowest, base.warmup, base.beta2) == (3e-4, 3e-5, 2000, 0.95)
    fine = job("starcoder")
    assert (fine.steps, fine.learning_rate, fine.lowest) == (8500, 5e-5, 5e-6) and fine.base
    assert json.loads(json.dumps(fine.identity()))["base"] == "runs/starcoderbase/train/model"
