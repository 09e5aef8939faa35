"""What this saves transformers loads, and the other way; what is broken is told."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPTBigCodeConfig, GPTBigCodeForCausalLM

from engine import storage
from engine.errors import OpError
from model import checkpoint
from model.config import ModelConfig
from model.transformer import Cache, decoder

SMALL = ModelConfig(layers=3, width=64, heads=4, context=64, vocabulary=300)


def shaken(config=SMALL):
    model = decoder(config).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.1)
    return model


def ids(B=3, T=50):
    return torch.randint(0, 300, (B, T), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def folder(tmp_path):
    checkpoint.save(shaken(), str(tmp_path / "ours"), card="# A model\n", lineage={"run": "abc"})
    return tmp_path / "ours"


@pytest.mark.parametrize("activation", ["gelu_pytorch_tanh", "gelu"])
@pytest.mark.parametrize("multi_query", [True, False])
def test_transformers_loads_what_this_saves(tmp_path, multi_query, activation):
    model = shaken(ModelConfig(**{**vars(SMALL), "multi_query": multi_query, "activation": activation}))
    checkpoint.save(model, str(tmp_path))
    theirs, told = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert isinstance(theirs, GPTBigCodeForCausalLM)
    assert not any(told.values())
    assert sum(w.numel() for w in theirs.parameters()) == model.config.parameters
    x = ids()
    with torch.no_grad():
        whole = theirs.eval()(x).logits
        assert (model(x) - whole).abs().max() < 1e-4
        first = theirs(x[:, :30], use_cache=True)
        then = theirs(x[:, 30:], past_key_values=first.past_key_values, use_cache=True).logits
        cache = Cache(model.config, 3, 50, model.wte.weight)
        ours = model(x[:, :30], cache=cache), model(x[:, 30:], cache=cache)
    assert (ours[0] - first.logits).abs().max() < 1e-4
    assert (ours[1] - then).abs().max() < 1e-4
    assert (ours[1] - whole[:, 30:]).abs().max() < 1e-4


@pytest.mark.parametrize("multi_query", [True, False])
def test_this_loads_what_transformers_saves(tmp_path, multi_query):
    torch.manual_seed(5)
    config = GPTBigCodeConfig(
        vocab_size=300, n_positions=64, n_embd=64, n_layer=3, n_head=4, multi_query=multi_query, initializer_range=0.2
    )
    theirs = GPTBigCodeForCausalLM(config).eval()
    theirs.save_pretrained(tmp_path, max_shard_size="100KB")
    assert len(checkpoint.weight_files(str(tmp_path))) > 1
    ours = checkpoint.load(str(tmp_path)).eval()
    with torch.no_grad():
        assert (ours(ids()) - theirs(ids()).logits).abs().max() < 1e-4
    assert ours.config.dropout == 0, "its 0.1 is not inherited"


def test_there_and_back_again_is_the_same(folder):
    model, again = shaken(), checkpoint.load(str(folder))
    assert again.config == model.config
    for (name, weight), other in zip(model.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(weight, other), name
        assert other.requires_grad


def test_the_folder_holds_what_others_look_for(folder):
    assert sorted(p.name for p in folder.iterdir()) == [
        "README.md",
        "config.json",
        "generation_config.json",
        "lineage.json",
        "model.safetensors",
    ]
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == 0
    lineage = json.loads((folder / "lineage.json").read_text())
    assert lineage["run"] == "abc"
    assert set(lineage["weights"]) == {"model.safetensors"}
    names = load_file(folder / "model.safetensors").keys()
    assert {n.removeprefix("transformer.") for n in names} == {n for n, _ in shaken().named_parameters()}


@pytest.mark.parametrize("where", ["disk", "memory"])
def test_large_weights_are_cut_into_several_files(tmp_path, where):
    folder = str(tmp_path) if where == "disk" else "memory://checkpoints/large"
    model = shaken()
    checkpoint.save(model, folder, shard_bytes=100_000)
    files = checkpoint.weight_files(folder)
    assert len(files) > 3
    index = storage.read_json(storage.join(folder, "model.safetensors.index.json"))
    assert index["metadata"]["total_size"] == 4 * model.config.parameters
    assert set(index["weight_map"].values()) == set(files)
    again = checkpoint.load(folder)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    if where == "disk":
        theirs = AutoModelForCausalLM.from_pretrained(folder)
        assert torch.equal(theirs.transformer.wpe.weight, model.wpe.weight)


def test_saving_again_leaves_nothing_of_before(tmp_path):
    model = shaken()
    checkpoint.save(model, str(tmp_path), shard_bytes=100_000)
    checkpoint.save(model, str(tmp_path))
    assert [p.name for p in tmp_path.glob("model*")] == ["model.safetensors"]
    checkpoint.save(model, str(tmp_path), shard_bytes=100_000)
    assert not (tmp_path / "model.safetensors").exists()
    assert checkpoint.load(str(tmp_path)).config == model.config


def test_half_the_bytes_when_asked(tmp_path):
    model = shaken()
    checkpoint.save(model, str(tmp_path), dtype=torch.bfloat16)
    assert (tmp_path / "model.safetensors").stat().st_size < 2.1 * model.config.parameters + 5000
    again = checkpoint.load(str(tmp_path))
    assert again.wte.weight.dtype == torch.bfloat16
    assert torch.equal(again.wte.weight, model.wte.weight.bfloat16())
    assert checkpoint.load(str(tmp_path), dtype=torch.float32).wte.weight.dtype == torch.float32
    assert AutoModelForCausalLM.from_pretrained(tmp_path).dtype == torch.bfloat16


def test_masks_and_the_tied_head_of_older_files_are_no_parameters(folder):
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = weights["transformer.wte.weight"].clone()
    weights["transformer.h.0.attn.bias"] = torch.ones(1, 1, 64, 64)
    weights["transformer.h.0.attn.masked_bias"] = torch.tensor(-1e4)
    save_file(weights, folder / "model.safetensors")
    (folder / "lineage.json").unlink()
    assert torch.equal(checkpoint.load(str(folder)).wte.weight, shaken().wte.weight)


def _cut(folder):
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


def _cut_and_forget(folder):
    _cut(folder)
    (folder / "lineage.json").unlink()


def _flip(folder):
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-100] ^= 1
    (folder / "model.safetensors").write_bytes(data)


def _told(folder, **fields):
    config = json.loads((folder / "config.json").read_text())
    config.update(fields)
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v != "gone"}))


def _without(folder):
    weights = load_file(folder / "model.safetensors")
    for name in ("transformer.h.1.ln_1.bias", "transformer.ln_f.weight"):
        del weights[name]
    save_file(weights, folder / "model.safetensors")
    (folder / "lineage.json").unlink()


def _with(folder):
    weights = load_file(folder / "model.safetensors")
    save_file({**weights, "transformer.h.0.rotary": torch.ones(2)}, folder / "model.safetensors")
    (folder / "lineage.json").unlink()


def _unlisted(folder):
    checkpoint.save(shaken(), str(folder), shard_bytes=100_000)
    checkpoint.weight_files(str(folder))
    next(folder.glob("model-00002-of-*.safetensors")).unlink()


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (_cut, r"model\.safetensors is not what was written there"),
        (_cut_and_forget, r"model\.safetensors is cut short or damaged"),
        (_flip, r"model\.safetensors is not what was written there"),
        (_without, r"the weights lack `h\.1\.ln_1\.bias` and 1 more"),
        (_with, r"`h\.0\.rotary` is no tensor of this architecture"),
        (_unlisted, r"model-00002-of-\d+\.safetensors listed in .* but not there"),
        (lambda f: _told(f, model_type="llama"), r"the architecture is `llama`; this reads `gpt_bigcode`"),
        (lambda f: _told(f, n_embd="gone"), r"n_embd is missing"),
        (lambda f: _told(f, activation_function="relu"), r"activation_function `relu` is not supported"),
        (lambda f: _told(f, add_cross_attention=True), r"add_cross_attention = True is not supported"),
        (lambda f: _told(f, n_inner=128), r"`h\.0\.mlp\.c_fc\.(weight|bias)` has the shape .*should be \(128"),
        (lambda f: (f / "config.json").write_text("{"), r"config\.json is not JSON"),
        (lambda f: (f / "config.json").unlink(), r"holds no checkpoint"),
        (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), r"which writes safetensors"),
    ],
)
def test_what_is_wrong_with_a_folder_is_told(folder, break_it, told):
    break_it(folder)
    with pytest.raises(OpError, match=told):
        checkpoint.load(str(folder))


def test_a_folder_is_fetched_from_where_it_lies(folder):
    assert checkpoint.fetch(str(folder)) == str(folder)
    with pytest.raises(OpError, match=r"neither a folder with a config\.json nor a repository"):
        checkpoint.fetch(str(folder / "nothing" / "here"))


def test_weights_of_the_hub_are_asked_for_by_name(folder, monkeypatch):
    asked = []

    def snapshot(name, allow_patterns):
        asked.append((name, allow_patterns))
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    assert checkpoint.load(checkpoint.fetch("bigcode/starcoderbase-1b")).config == SMALL
    assert asked == [("bigcode/starcoderbase-1b", ["*.json", "*.safetensors", "*.txt"])]


def test_a_hub_that_refuses_is_told(monkeypatch):
    def refuse(name, allow_patterns):
        raise OSError("no route")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(OpError, match="accept its licence and log in"):
        checkpoint.fetch("bigcode/starcoderbase")


def test_the_tokenizer_goes_along(tmp_path):
    source = tmp_path / "tokenizer"
    source.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "notes.txt"):
        (source / name).write_text("{}")
    checkpoint.save(shaken(), str(tmp_path / "out"), tokenizer=checkpoint.copy_tokenizer(source))
    written = {p.name for p in (tmp_path / "out").iterdir()}
    assert {"tokenizer.json", "tokenizer_config.json"} <= written
    assert "notes.txt" not in written
    shutil.rmtree(source)
    source.mkdir()
    with pytest.raises(OpError, match="holds no tokenizer"):
        checkpoint.save(shaken(), str(tmp_path / "out"), tokenizer=checkpoint.copy_tokenizer(source))
