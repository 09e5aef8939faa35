"""A recipe from documents to an evaluated checkpoint, and what it says of wrong parameters before anything runs."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_samples import MIT
from token_corpus import tiny_tokenizer

from engine.errors import RecipeError
from engine.plan import make_plan
from engine.recipe import load, read
from model.metrics import read as read_metrics
from model.ops import Train

ROOT = Path(__file__).parents[2]
TRAINING = sorted(path for path in (ROOT / "recipes").glob("*.yaml") if "\n  - train:" in path.read_text())

# Of starcoder-smol, so that a training lasts seconds: long enough to be killed in the middle.
SHRUNKEN = [
    "steps.pack.length=128",
    "steps.train.layers=1",
    "steps.train.width=32",
    "steps.train.heads=2",
    "steps.train.device=cpu",
    "steps.train.tokens_per_step=512",
    "steps.train.steps=160",
    "steps.train.log_every=1",
    "steps.train.save_every=10",
    "steps.train.validate_every=80",
    "steps.train.validation_files=4",
    "steps.train.evaluation_files=6",
]

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


# --- starcoder-smol, by the command line --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clones(tmp_path_factory) -> Path:
    """Forty small repositories under a permissive licence, no two files alike."""
    folder = tmp_path_factory.mktemp("clones")
    for n in range(40):
        place = folder / f"project{n}"
        place.mkdir()
        (place / "LICENSE").write_text(MIT)
        for k in range(3):
            words = np.random.default_rng(100 * n + k).integers(0, 10**6, (12, 3))
            lines = [f"def step_{a}(value, other):\n    return value * {b} + other - {c}\n\n" for a, b, c in words]
            (place / f"part_{k}.py").write_text("".join(lines))
    return folder


def smol(clones: Path, out: Path, workers: int = 1) -> subprocess.Popen[str]:
    """`engine run` of the recipe, begun, on files of our own; more workers than one are processes."""
    given = [*SHRUNKEN, f"streams.code.source.files.path={clones}/*"]
    settings = [part for setting in given for part in ("--set", setting)]
    command = [sys.executable, "-m", "engine.cli", "run", "recipes/starcoder-smol.yaml", "--on", "here"]
    command += ["--workers", str(workers)]
    return subprocess.Popen(
        [*command, "--out", str(out), *settings], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finished(running: subprocess.Popen[str]) -> str:
    told, _ = running.communicate(timeout=300)
    assert running.returncode == 0, told
    return told


def lines_of(out: Path, *names: str) -> list[tuple[Any, ...]]:
    """Those lines of the metrics that have all these figures."""
    found = read_metrics(out / "train")
    return [(line["step"], *(line[name] for name in names)) for line in found if all(name in line for name in names)]


def in_the_middle(out: Path, step: int) -> bool:
    """Whether a checkpoint of that step or a later one stands, and training has come further than that."""
    stand = [int(place.name[5:]) for place in (out / "train" / "checkpoints").glob("step-????????")]
    return max(stand, default=0) >= step and lines_of(out, "loss")[-1][0] > max(stand)


@pytest.mark.slow
def test_a_training_that_is_killed_in_the_middle_ends_as_though_it_had_not_been(clones, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    finished(smol(clones, tmp_path / "whole"))
    out, last = tmp_path / "killed", 160
    running = smol(clones, out, workers=2)
    while not in_the_middle(out, 40):
        assert running.poll() is None, running.communicate()[0]
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(timeout=0.02)
    running.send_signal(signal.SIGKILL)
    # What it prints on is closed when the workers are gone that it had started, too.
    running.communicate(timeout=60)
    assert running.returncode == -signal.SIGKILL
    assert lines_of(out, "loss")[-1][0] < last and not (out / "train" / "model").exists()

    finished(smol(clones, out))
    whole = tmp_path / "whole"
    assert lines_of(out, "loss", "learning_rate", "gradient_norm", "tokens", "documents") == lines_of(
        whole, "loss", "learning_rate", "gradient_norm", "tokens", "documents"
    )
    assert [step for step, _ in lines_of(out, "loss")] == list(range(1, last + 1))
    assert lines_of(out, "bits_per_byte", "xz") == lines_of(whole, "bits_per_byte", "xz")
    ours, theirs = (f / "train" / "model" / "model.safetensors" for f in (out, whole))
    assert ours.read_bytes() == theirs.read_bytes()
    model = AutoModelForCausalLM.from_pretrained(str(ours.parent))
    words = AutoTokenizer.from_pretrained(str(ours.parent))("def step_1(value", return_tensors="pt")
    assert model(**words).logits.shape[-1] == 4096
    told = json.loads((out / "train" / "evaluation.json").read_text())
    assert told["files"] == 6 and told["mean"] < lines_of(out, "bits_per_byte")[0][1]


# --- what is told before anything runs ----------------------------------------------------------------------------


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
        "for path in sys.argv[1:]:\n    plan = make_plan(load(path))\n"
        "    print([s.name for s in plan.jobs], list(plan.bills()))\n"
    )
    paths = [str(path.relative_to(ROOT)) for path in TRAINING]
    run = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("['pack', 'train'] ['train']") == len(paths) == 3


def job(name: str) -> Train:
    found = next(s.op for s in make_plan(load(str(ROOT / "recipes" / f"{name}.yaml"))).jobs if s.name == "train")
    assert isinstance(found, Train)
    return found


def test_starcoderbase_has_the_papers_figures(monkeypatch):
    monkeypatch.chdir(ROOT)
    base = job("starcoderbase")
    assert base.samples_per_step(8192) == 512
    assert (base.learning_rate, base.lowest, base.warmup, base.beta2) == (3e-4, 3e-5, 2000, 0.95)
    fine = job("starcoder")
    assert (fine.steps, fine.learning_rate, fine.lowest) == (8500, 5e-5, 5e-6) and fine.base
    assert json.loads(json.dumps(fine.identity()))["base"] == "runs/starcoderbase/train/model"
