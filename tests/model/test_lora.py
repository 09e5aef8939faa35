"""Adapters on weights that transformers saved: trained here, loaded by peft there, merged into a checkpoint."""

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, GPTBigCodeConfig, GPTBigCodeForCausalLM

from engine.errors import OpError
from model import checkpoint, lora


@pytest.fixture
def published(tmp_path):
    torch.manual_seed(0)
    config = GPTBigCodeConfig(vocab_size=300, n_positions=64, n_embd=64, n_layer=3, n_head=4, initializer_range=0.1)
    GPTBigCodeForCausalLM(config).save_pretrained(tmp_path / "published")
    return tmp_path / "published"


def ids(seed=0):
    return torch.randint(0, 300, (2, 40), generator=torch.Generator().manual_seed(seed))


def trained(published):
    torch.manual_seed(0)
    model = lora.add(
        checkpoint.load(checkpoint.fetch(str(published))), rank=4, alpha=8, dropout=0.0, base=str(published)
    )
    optimiser = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=1e-2)
    losses = []
    for _ in range(8):
        loss = model(ids(), ids(1)) / 80
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    return model.eval(), losses


def test_only_adapters_learn(published):
    before = checkpoint.load(str(published)).state_dict()
    model, losses = trained(published)
    assert losses[-1] < losses[0] - 0.1
    learning = {name for name, w in model.named_parameters() if w.requires_grad}
    assert learning
    assert all(".lora_" in name for name in learning)
    # c_attn: 64 -> 96, attention's c_proj: 64 -> 64, the MLP's c_proj: 256 -> 64
    assert sum(w.numel() for w in model.parameters() if w.requires_grad) == 3 * 4 * ((64 + 96) + (64 + 64) + (256 + 64))
    for name, value in model.state_dict().items():
        if ".lora_" not in name:
            assert torch.equal(value, before[name.replace(".base_layer", "")]), name


def test_peft_puts_what_is_saved_onto_transformers_model(published, tmp_path):
    model, _ = trained(published)
    lora.save(model, str(tmp_path / "adapter"))
    base = AutoModelForCausalLM.from_pretrained(published)
    theirs = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    with torch.no_grad():
        assert (theirs(ids()).logits - model(ids())).abs().max() < 1e-4
        assert (checkpoint.load(str(published)).eval()(ids()) - model(ids())).abs().max() > 1e-2


def test_merged_it_is_a_checkpoint_again(published, tmp_path):
    model, _ = trained(published)
    with torch.no_grad():
        with_adapters = model(ids())
        merged = lora.merge(model)
        assert (merged(ids()) - with_adapters).abs().max() < 1e-4
        checkpoint.save(merged, str(tmp_path / "merged"))
        theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
        assert (theirs(ids()).logits - with_adapters).abs().max() < 1e-4


def test_mistakes_are_told(published, tmp_path):
    model = checkpoint.load(str(published))
    with pytest.raises(OpError, match="no adapters to save"):
        lora.save(model, str(tmp_path))
    with pytest.raises(OpError, match="no adapter can be put on q_proj"):
        lora.add(model, targets=["q_proj"])
