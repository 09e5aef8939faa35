"""The decoder: its parts, its masks, and that it learns. What it computes is checked against transformers elsewhere."""

import copy
from itertools import pairwise

import pytest
import torch

from engine.errors import OpError
from model.attention import documents
from model.config import PRESETS, ModelConfig, preset
from model.transformer import Cache, Decoder, decoder

SMALL = ModelConfig(layers=3, width=32, heads=4, context=48, vocabulary=97)


def ids(B=2, T=24, seed=0):
    return torch.randint(0, 97, (B, T), generator=torch.Generator().manual_seed(seed))


def shaken(config=SMALL, **options):
    """A decoder whose biases and norms are not at their start, so that leaving one out shows."""
    model = decoder(config, **options)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.1)
    return model


@pytest.mark.parametrize("multi_query", [True, False])
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_the_parameters_it_counts(name, multi_query):
    config = preset(name, multi_query=multi_query)
    with torch.device("meta"):
        model = Decoder(config)
    assert sum(weight.numel() for weight in model.parameters()) == config.parameters


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_computes_logits_of_every_token(name):
    with torch.device("meta"):
        model = Decoder(PRESETS[name])
        assert model(torch.zeros(2, 16, dtype=torch.long)).shape == (2, 16, 49_152)


def test_fresh_weights_are_drawn_as_the_paper_says():
    config = preset("tiny", layers=2, vocabulary=5000)
    model = decoder(config, seed=3)
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            assert not weight.any(), name
        elif ".ln_" in "." + name:
            assert (weight == 1).all(), name
        else:
            # 256^-0.5; what goes into the residual stream by sqrt(2 · 2) less
            std = 1 / 32 if name.endswith("c_proj.weight") else 1 / 16
            assert weight.std().item() == pytest.approx(std, rel=0.02), name
    again, other = decoder(config, seed=3), decoder(config, seed=4)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert not torch.equal(model.wte.weight, other.wte.weight)


def as_many_heads(model):
    """The same function with keys and values repeated for each head: multi-head weights, laid out head by head."""
    config = ModelConfig(**{**vars(model.config), "multi_query": False})
    wide = decoder(config)
    state = model.state_dict()
    H, K, D = config.heads, config.head_width, config.width
    for name, value in list(state.items()):
        if "c_attn" in name:
            q, k, v = value.split([D, K, K])
            parts = (q.view(H, K, *q.shape[1:]), *(x[None].expand(H, *x.shape) for x in (k, v)))
            state[name] = torch.stack(parts, 1).reshape(3 * D, *q.shape[1:])
    wide.load_state_dict(state)
    return wide


def test_multi_query_is_multi_head_with_repeated_keys_in_both_directions():
    model = shaken()
    wide = as_many_heads(model)
    x, y = ids(), ids(seed=1)
    torch.testing.assert_close(model(x), wide(x), atol=1e-5, rtol=1e-5)
    model(x, y).backward()
    wide(x, y).backward()
    H, K, D = SMALL.heads, SMALL.head_width, SMALL.width
    for block, wider in zip(model.h, wide.h, strict=True):
        mine, its = block.attn.c_attn.weight.grad, wider.attn.c_attn.weight.grad.view(H, 3, K, D)
        right = torch.cat([its[:, 0].reshape(D, D), its[:, 1].sum(0), its[:, 2].sum(0)])
        torch.testing.assert_close(mine, right, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(model.wte.weight.grad, wide.wte.weight.grad, atol=1e-4, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("multi_query", [True, False])
@pytest.mark.parametrize("backend", ["sdpa", "flex"])
def test_packed_documents_are_as_if_each_ran_alone(backend, multi_query):
    model = shaken(ModelConfig(**{**vars(SMALL), "multi_query": multi_query})).eval()
    model.use_attention(backend)
    x = ids()
    bounds = [0, 5, 6, 24, 31, 48]
    with torch.no_grad():
        packed = model(x, docs=documents(bounds, 2, 24, backend, "cpu")).flatten(0, 1)
        apart = [model(x.flatten()[None, a:b])[0] for a, b in pairwise(bounds)]
        assert (model(x).flatten(0, 1) - packed).abs().max() > 0.01, "without a mask it is something else"
    torch.testing.assert_close(packed, torch.cat(apart), atol=1e-5, rtol=1e-5)


def test_gradients_of_packed_documents_are_the_sum_of_those_alone():
    packed, alone = shaken(), shaken()
    x, y = ids(), ids(seed=1)
    bounds = [0, 5, 6, 24, 31, 48]
    loss = packed(x, y, documents(bounds, 2, 24, "sdpa", "cpu"))
    apart = sum(alone(x.flatten()[None, a:b], y.flatten()[None, a:b]) for a, b in pairwise(bounds))
    torch.testing.assert_close(loss, apart)
    loss.backward()
    apart.backward()
    for mine, its in zip(packed.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, its.grad, atol=2e-4, rtol=1e-4)


def test_no_token_sees_what_follows_it():
    model = shaken().eval()
    x = ids()
    changed = x.clone()
    changed[:, 12:] = 5
    with torch.no_grad():
        assert torch.equal(model(x)[:, :12], model(changed)[:, :12])


def test_recomputing_changes_no_gradient():
    plain, thrifty = shaken(), shaken(recompute=2)
    x, y = ids(), ids(seed=1)
    plain(x, y).backward()
    thrifty(x, y).backward()
    for mine, its in zip(thrifty.parameters(), plain.parameters(), strict=True):
        assert torch.equal(mine.grad, its.grad)


def test_recomputing_keeps_fewer_activations():
    def kept(model):
        stored = {}

        def keep(tensor):
            stored[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model.hidden(ids(8, 48))
        return sum(stored.values())

    assert kept(shaken(recompute=1)) < 0.3 * kept(shaken())


def test_dropout_is_off_unless_asked_for():
    assert all(config.dropout == 0 for config in PRESETS.values())
    x = ids()
    quiet, noisy = shaken().train(), shaken(ModelConfig(**{**vars(SMALL), "dropout": 0.3})).train()
    assert torch.equal(quiet(x), quiet(x))
    assert not torch.equal(noisy(x), noisy(x))
    torch.testing.assert_close(noisy.eval()(x), quiet.eval()(x))


def test_a_cache_gives_what_the_whole_text_gives():
    model = shaken().eval()
    x = ids(3, 40)
    cache = Cache(SMALL, 3, 48, model.wte.weight)
    with torch.no_grad():
        pieces = [model(x[:, a:b], cache=cache) for a, b in ((0, 17), (17, 18), (18, 40))]
        torch.testing.assert_close(torch.cat(pieces, 1), model(x), atol=1e-5, rtol=1e-5)


def test_each_tokens_loss_sums_to_the_loss():
    model = shaken().eval()
    x, y = ids(), ids(seed=1)
    y[:, -3:] = -100
    docs = documents([0, 7, 24, 48], 2, 24, "sdpa", "cpu")
    apart = model.token_losses(x, y, docs)
    assert apart.shape == y.shape
    torch.testing.assert_close(apart.sum(), model(x, y, docs))
    assert not apart[:, -3:].any()


def test_a_text_longer_than_the_context_is_told():
    with pytest.raises(OpError, match="49 tokens is longer than this model's context of 48"):
        decoder(SMALL)(ids(1, 49))


def test_it_learns_one_batch_by_heart():
    torch.manual_seed(0)
    model = decoder(preset("tiny", layers=2, width=64, heads=2, vocabulary=97, context=32))
    before = copy.deepcopy(model.state_dict())
    x = ids(4, 32)
    y = torch.cat([x[:, 1:], torch.full((4, 1), -100)], 1)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2, betas=(0.9, 0.95))
    for _ in range(60):
        loss = model(x, y) / (y != -100).sum()
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    assert loss.item() < 0.05
    assert all(not torch.equal(before[name], weight) for name, weight in model.state_dict().items())
