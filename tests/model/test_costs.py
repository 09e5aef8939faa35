"""The figures of a plan, against StarCoder's own, torch's counts and what a small model really keeps."""

import pytest
import torch
import torch.distributed as dist
from peft import LoraConfig, inject_adapter_in_model
from torch.distributed.fsdp import fully_shard
from torch.profiler import ProfilerActivity, profile
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils.flop_counter import FlopCounterMode

from model import attention
from model.config import PRESETS, preset
from model.costs import (
    A100_FLOPS,
    A100_WATTS,
    OVERHEAD,
    adapter_parameters,
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


@pytest.mark.parametrize("name", ["15b", "7b", "3b", "1b"])
def test_flops_are_those_of_megatrons_formula(name):
    """BigCode's fork of Megatron counts so for B samples of s tokens, by its numbers for multi-query attention."""
    config = preset(name)
    B, s, L, h, V, d_kv = 512, 8192, config.layers, config.width, config.vocabulary, config.head_width
    megatron = 20 * 3 * B * s * L * h**2 + 4 * 3 * B * s * L * h * s + 6 * B * s * h * V + 4 * 3 * B * s * L * h * d_kv
    assert token_flops(config, s).palm * B * s == megatron


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
    assert per_gpu == pytest.approx(909, rel=0.01)
    assert bill.tokens_a_step / per_gpu / 512 == pytest.approx(9.0, rel=0.01)
    assert bill.flops.palm * per_gpu == pytest.approx(106e12, rel=0.01)
    assert 6 * config.parameters * per_gpu == pytest.approx(84.7e12, rel=0.01)
    assert 6 * config.parameters * per_gpu / A100_FLOPS == pytest.approx(0.27, abs=0.005)


@pytest.mark.parametrize(("name", "steps", "batch"), [("1b", 10**6, 128), ("3b", 500_000, 256), ("7b", 250_000, 512)])
def test_the_smaller_models_saw_a_trillion_tokens_too(name, steps, batch):
    config = preset(name)
    bill = costs(config, steps, batch * 8192, 8192, 128, memory(config, 8192, 1, 128))
    assert bill.tokens == pytest.approx(1.05e12, rel=0.002)
    assert bill.gpu_hours * 3600 * 0.4 * 989.4e12 == pytest.approx(bill.tokens * bill.flops.palm)


def sharded_bytes(config, ranks):
    """Bytes of the parameters that FSDP2 leaves on the first of so many ranks; without memory for any of them."""
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=ranks)
    try:
        mesh = dist.init_device_mesh("cpu", (ranks,))
        with torch.device("meta"):
            model = Decoder(config)
        for block in model.h:
            fully_shard(block, mesh=mesh)
        fully_shard(model, mesh=mesh)
        return sum(w.to_local().nbytes for w in model.parameters())
    finally:
        dist.destroy_process_group()


def test_the_largest_model_is_shared_out_as_torch_does():
    """But for what 512 ranks do not divide: 6,400 biases are 12.5 for each, so the first rank has 13."""
    whole, part = sharded_bytes(preset("15b"), 1), sharded_bytes(preset("15b"), 512)
    assert whole == memory(preset("15b"), 8192, 1).weights == 4 * 15_517_456_384
    assert memory(preset("15b"), 8192, 1, ranks=512).weights == pytest.approx(part, rel=0.005)


def test_one_head_of_keys_caches_a_48th():
    assert cache_bytes(preset("15b")) == 20_480
    assert cache_bytes(preset("15b", multi_query=False)) == 983_040


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("multi_query", [True, False])
def test_activations_are_those_that_torch_keeps(multi_query, precision, dropout, monkeypatch):
    """Bytes held for the backward pass a token and block, from models that differ in blocks alone."""
    B, T = 2, 250
    # What a GPU does: fused attention keeps no more with dropout, and other dropout a byte, not a number.
    fused = attention.sdpa
    if dropout:
        monkeypatch.setattr(torch.nn.Dropout, "forward", lambda self, x: torch.native_dropout(x, self.p, True)[0])
    monkeypatch.setitem(attention.BACKENDS, "sdpa", lambda q, k, v, docs, _: fused(q, k, v, docs))

    def kept(layers):
        config = preset("tiny", layers=layers, multi_query=multi_query, vocabulary=128, dropout=dropout)
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
    config = preset("tiny", multi_query=multi_query, dropout=dropout)
    assert token_activations(config, precision) == pytest.approx(measured, rel=0.05)


@pytest.mark.parametrize("name", PRESETS)
def test_the_state_of_a_model_is_what_its_tensors_take(name):
    """On the meta device, where tensors have sizes and no memory."""
    with torch.device("meta"):
        model = Decoder(PRESETS[name])
    optimiser = torch.optim.AdamW(model.parameters())
    for weight in model.parameters():
        weight.grad = torch.empty_like(weight)
    optimiser.step()
    room = memory(PRESETS[name], 1024, 1, precision="fp32")
    assert room.weights == sum(w.nbytes for w in model.parameters())
    assert room.gradients == sum(w.grad.nbytes for w in model.parameters())
    assert room.optimiser == sum(s[m].nbytes for s in optimiser.state.values() for m in ("exp_avg", "exp_avg_sq"))


@pytest.mark.parametrize("targets", [("c_attn", "c_proj"), ("c_fc",), ("attn.c_proj", "c_attn")])
def test_adapters_have_the_parameters_that_peft_gives_them(targets):
    config = preset("tiny", layers=2, width=64)
    model = decoder(config)
    inject_adapter_in_model(LoraConfig(r=3, target_modules=list(targets)), model)
    learned = sum(w.numel() for w in model.parameters() if w.requires_grad)
    assert adapter_parameters(config, 3, targets) == learned
    room, whole = memory(config, 256, 1, adapters=learned), memory(config, 256, 1)
    assert (room.gradients, room.optimiser) == (4 * learned, 8 * learned)
    assert room.weights == whole.weights + 4 * learned and room.head < whole.head


def test_what_is_frozen_has_no_gradients_to_compute():
    config = preset("tiny", layers=2, vocabulary=500)
    model, ids = decoder(config), torch.zeros(1, 64, dtype=torch.long)
    inject_adapter_in_model(LoraConfig(r=4, target_modules=["c_attn", "c_fc", "c_proj"]), model)
    learned = sum(w.numel() for w in model.parameters() if w.requires_grad)
    with FlopCounterMode(display=False) as counter:
        model(ids).sum().backward()
    # Attention's FLOPs are what a CPU's kernel is not counted for.
    counted = counter.get_total_flops() / ids.numel()
    flops = token_flops(config, 64, adapters=learned)
    assert counted == pytest.approx(2 * flops.causal - flops.palm, rel=0.05)


def test_a_training_of_tiny_takes_what_torchs_allocator_gives_it():
    """Everything, from fresh weights over two steps of two samples, one at a time: the most that was held at once."""
    config, length = preset("tiny"), 512
    ids = torch.zeros(1, length, dtype=torch.long)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as taken:
        model = decoder(config)
        optimiser = torch.optim.AdamW(model.parameters(), fused=True)
        for _ in range(2):
            model(ids, ids).backward()
            model(ids, ids).backward()
            optimiser.step()
            optimiser.zero_grad()
    room = memory(config, length, 1, precision="fp32", chunk_bytes=CHUNK_BYTES)
    assert room.total == pytest.approx(most_held(taken), rel=0.1)


def most_held(taken):
    """The largest sum of what was asked for and not yet given back."""
    events = [e for e in taken.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


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
    room = memory(config, length, batch, precision="fp32", chunk_bytes=CHUNK_BYTES)
    assert room.activations + room.head == pytest.approx(most_held(taken), rel=0.1)


def test_memory_is_shared_out_and_recomputing_saves_it():
    config = preset("15b")
    alone, shared = memory(config, 8192, 1, ranks=64, sharded=False), memory(config, 8192, 1, ranks=64)
    assert shared.weights == -(-alone.weights // 64)
    assert shared.total < 80e9 < alone.total
    assert memory(config, 8192, 1, recompute=1).activations < 0.2 * memory(config, 8192, 1).activations
    assert memory(config, 8192, 2).activations == 2 * memory(config, 8192, 1).activations
