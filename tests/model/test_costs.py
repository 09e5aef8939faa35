"""The figures of a plan, against StarCoder's own, torch's counts and what a small model really keeps."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from model.attention import documents
from model.config import PRESETS, preset
from model.costs import (
    A100_FLOPS,
    A100_WATTS,
    OVERHEAD,
    cache_bytes,
    costs,
    matmul_parameters,
    memory,
    mfu,
    token_activations,
    token_flops,
)
from model.loss import CHUNK_BYTES
from model.transformer import Decoder, decoder


def test_the_1b_preset_takes_what_was_derived_for_it():
    flops = token_flops(preset("1b"), 8192)
    assert flops.palm / 1e9 == pytest.approx(11.55, abs=0.01)
    assert 0.01 * 989.4e12 / flops.palm == pytest.approx(857, abs=1)
    assert (mfu(flops.palm, 42_000), mfu(flops.causal, 42_000)) == pytest.approx((0.49, 0.39), abs=0.005)


@pytest.mark.parametrize("name", PRESETS)
def test_matmul_parameters_are_those_of_the_linear_maps_and_the_head(name):
    with torch.device("meta"):
        model = Decoder(PRESETS[name])
    linear = sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Linear))
    assert matmul_parameters(PRESETS[name]) == linear + model.wte.weight.numel()


def test_flops_are_those_that_torch_counts():
    config = preset("tiny", layers=2)
    with torch.device("meta"):
        model, ids = Decoder(config), torch.zeros(2, 256, dtype=torch.long)
    # Whole logits count as the chunked loss does; on the meta device attention is taken apart into its products.
    with FlopCounterMode(display=False) as counter:
        model(ids).sum().backward()
    assert counter.get_total_flops() == token_flops(config, 256).palm * ids.numel()


def test_documents_cost_what_they_see():
    config = preset("1b")
    whole, apart = token_flops(config, 8192), token_flops(config, 8192, [2048] * 4)
    assert whole.documents == whole.causal
    assert whole.causal - apart.documents == 6 * 24 * 2048 * (8192 - 2048)
    assert token_flops(config, 8192, [1, 3]).documents == token_flops(config, 8192, 2.5).documents


def test_the_largest_model_costs_what_it_did():
    """320,256 GPU-hours on 512 A100 for 250,000 steps of 4,194,304 tokens: 34 % by Megatron's count."""
    config = preset("15b")
    room = memory(config, 8192, 1, ranks=512)
    bill = costs(config, 250_000, 512 * 8192, 8192, 512, room, mfu=0.34, peak=A100_FLOPS, watts=A100_WATTS)
    assert bill.tokens == 1_048_576_000_000
    assert bill.gpu_hours == pytest.approx(320_256, rel=0.01)
    assert bill.days == pytest.approx(26.06, rel=0.01)
    assert bill.kwh == pytest.approx(89_672, rel=0.01)
    assert bill.kg_co2 / 1000 == pytest.approx(16.68, rel=0.01)
    assert bill.kg_co2 == pytest.approx(bill.kwh * OVERHEAD * 0.15495)
    per_gpu = bill.tokens / bill.gpu_hours / 3600
    assert 6 * config.parameters * per_gpu / A100_FLOPS == pytest.approx(0.27, abs=0.005)


def test_one_head_of_keys_caches_a_48th():
    assert cache_bytes(preset("15b")) == 20_480
    assert cache_bytes(preset("15b", multi_query=False)) == 983_040


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("multi_query", [True, False])
def test_activations_are_those_that_torch_keeps(multi_query, precision):
    """Bytes held for the backward pass a token and block, from models that differ in blocks alone."""
    B, T = 2, 250

    def kept(layers):
        config = preset("tiny", layers=layers, multi_query=multi_query, vocabulary=128)
        model = decoder(config)
        own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
        held = {}

        def keep(tensor):
            store = tensor.untyped_storage()
            # A weight that autocast has cast is kept for the backward pass as well; it is not an activation.
            if store.data_ptr() not in own and tensor.numel() % (B * T) == 0:
                held[store.data_ptr()] = (store.nbytes(), tensor)
            return tensor

        with (
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
            torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"),
        ):
            model.hidden(torch.zeros(B, T, dtype=torch.long))
        return sum(size for size, _ in held.values())

    measured = (kept(4) - kept(2)) / 2 / (B * T)
    config = preset("tiny", multi_query=multi_query)
    assert token_activations(config, precision) == pytest.approx(measured, rel=0.05)


def test_weights_gradients_and_optimiser_are_those_of_a_step():
    config = preset("tiny", layers=2, vocabulary=500)
    model = decoder(config)
    optimiser = torch.optim.AdamW(model.parameters())
    ids = torch.zeros(1, 16, dtype=torch.long)
    model(ids, ids, documents([0, 16], 1, 16, "sdpa", "cpu")).backward()
    optimiser.step()
    room = memory(config, 16, 1, precision="fp32")
    assert room.weights == sum(w.nbytes for w in model.parameters())
    assert room.gradients == sum(w.grad.nbytes for w in model.parameters())
    moments = sum(s[name].nbytes for s in optimiser.state.values() for name in ("exp_avg", "exp_avg_sq"))
    assert room.optimiser == moments
    assert room.copies == 0


@pytest.mark.parametrize(
    ("changes", "batch", "length"), [({}, 2, 128), ({"vocabulary": 2000}, 4, 512), ({"vocabulary": 2000}, 2, 1024)]
)
def test_memory_in_use_is_that_of_torchs_allocator(changes, batch, length):
    """The most that a forward and backward pass adds to weights and gradients that are there already."""
    config = preset("tiny", layers=3, **changes)
    model = decoder(config)
    ids = torch.zeros(batch, length, dtype=torch.long)
    model(ids, ids).backward()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as taken:
        model(ids, ids).backward()
    events = [e for e in taken.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    room = memory(config, length, batch, precision="fp32", chunk_bytes=CHUNK_BYTES)
    assert room.activations + room.head == pytest.approx(most, rel=0.1)


def test_memory_is_shared_out_and_recomputing_saves_it():
    config = preset("15b")
    alone, shared = memory(config, 8192, 1, ranks=64, sharded=False), memory(config, 8192, 1, ranks=64)
    assert shared.weights == -(-alone.weights // 64)
    assert shared.total < 80e9 < alone.total
    assert memory(config, 8192, 1, recompute=1).activations < 0.2 * memory(config, 8192, 1).activations
    assert memory(config, 8192, 2).activations == 2 * memory(config, 8192, 1).activations
