"""Every backend computes the same attention as sixteen lines of arithmetic over a full mask."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import OpError
from model import attention
from model.attention import BACKENDS, choose, documents


def by_the_book(q_BTHK, k_BTGK, v_BTGK, bounds):
    """Softmax(q kᵀ / √K) v, row by row over what a token may see."""
    B, T, H, K = q_BTHK.shape
    document_BT = torch.zeros(B * T, dtype=torch.long)
    for edge in bounds:
        document_BT[edge:] += 1
    document_BT = document_BT.view(B, T)
    seen_BTS = (document_BT[:, :, None] == document_BT[:, None]) & torch.ones(T, T).tril().bool()
    k_BTHK, v_BTHK = (x.expand(-1, -1, H, -1) for x in (k_BTGK, v_BTGK))
    scores_BHTS = torch.einsum("bthk,bshk->bhts", q_BTHK, k_BTHK) / K**0.5
    chance_BHTS = scores_BHTS.masked_fill(~seen_BTS[:, None], -torch.inf).softmax(-1)
    return torch.einsum("bhts,bshk->bthk", chance_BHTS, v_BTHK)


def heads(B=2, T=24, H=4, G=1, K=16, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(B, T, n, K, generator=generator).to(**options).requires_grad_() for n in (H, G, G)]


def gradients(attend, q, k, v, docs):
    out = attend(q, k, v, docs, 0.0)
    out.backward(torch.linspace(-1, 1, out.numel(), device=out.device, dtype=out.dtype).view_as(out))
    found = [x.grad.clone() for x in (q, k, v)]
    for x in (q, k, v):
        x.grad = None
    return [out.detach(), *found]


BOUNDS = [0, 5, 6, 24, 31, 48]


@pytest.mark.parametrize("G", [1, 4], ids=["one head of keys", "as many heads of keys"])
@pytest.mark.parametrize("bounds", [None, BOUNDS, [0, 24, 48], [0, 12, 24, 36, 48]], ids=str)
def test_the_oracle_of_the_backends_is_right_in_both_directions(G, bounds):
    q, k, v = heads(G=G)
    docs = bounds and documents(bounds, 2, 24, "sdpa", "cpu")
    right = gradients(lambda q, k, v, docs, dropout: by_the_book(q, k, v, bounds or [0, 24, 48]), q, k, v, None)
    for ours, its in zip(gradients(attention.sdpa, q, k, v, docs), right, strict=True):
        torch.testing.assert_close(ours, its, atol=2e-6, rtol=1e-5)


@given(st.lists(st.integers(1, 47), max_size=12), st.integers(0, 9))
def test_any_documents(edges, seed):
    q, k, v = heads(H=2, K=8, seed=seed)
    bounds = sorted({0, 24, 48, *edges})
    docs = documents(np.array(bounds, np.int32), 2, 24, "sdpa", "cpu")
    torch.testing.assert_close(attention.sdpa(q, k, v, docs), by_the_book(q, k, v, bounds), atol=2e-6, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("G", [1, 4])
def test_flex_attention_agrees_where_it_runs(G):
    q, k, v = (x.detach() for x in heads(T=128, G=G))
    bounds = [0, 70, 128, 200, 201, 256]
    ours = attention.flex(q, k, v, documents(bounds, 2, 128, "flex", "cpu"))
    torch.testing.assert_close(ours, by_the_book(q, k, v, bounds), atol=2e-6, rtol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("bounds", [None, [0, 500, 512, 640, 1024]], ids=["whole", "documents"])
def test_backends_agree_on_an_accelerator(backend, bounds):
    if bounds and backend == "cudnn":
        pytest.skip("cuDNN's takes whole samples only")
    q, k, v = heads(T=512, K=64, device="cuda", dtype=torch.bfloat16)
    docs = bounds and documents(bounds, 2, 512, backend, "cuda")
    oracle = bounds and documents(bounds, 2, 512, "sdpa", "cuda")
    mine, right = gradients(BACKENDS[backend], q, k, v, docs), gradients(attention.sdpa, q, k, v, oracle)
    for ours, its in zip(mine, right, strict=True):
        assert (ours - its).float().norm() < 0.02 * its.float().norm()


def test_positions_begin_anew_with_each_document():
    docs = documents([0, 3, 8, 9, 12, 16], 2, 8, "sdpa", "cpu")
    assert docs.positions_BT.tolist() == [[0, 1, 2, 0, 1, 2, 3, 4], [0, 0, 1, 2, 0, 1, 2, 3]]
    assert docs.lengths == (3, 5, 1, 3, 4)


def test_bounds_may_be_padded_and_borders_of_samples_are_bounds():
    plain, padded = (documents(b, 2, 8, "sdpa", "cpu") for b in ([0, 3, 16], [0, 3, 8, 16, 16, 16]))
    assert plain.lengths == padded.lengths == (3, 5, 8)
    assert plain.positions_BT.tolist() == padded.positions_BT.tolist()
    assert padded.bounds.tolist() == [0, 3, 8, 16, 16, 16]


@pytest.mark.parametrize("bounds", [[0, 3], [1, 16], [0, 9, 3, 16], [16], [[0, 16]]], ids=str)
def test_bounds_that_do_not_fit_are_told(bounds):
    with pytest.raises(OpError, match="must ascend from 0 to 16"):
        documents(bounds, 2, 8, "sdpa", "cpu")


def test_a_backend_is_chosen_by_what_is_there():
    assert choose("auto", "cpu") == "sdpa"
    assert choose("flex", "cpu") == "flex"
    with pytest.raises(OpError, match="`varlen` needs CUDA"):
        choose("varlen", "cpu")
    with pytest.raises(OpError, match="`cudnn` needs CUDA"):
        choose("cudnn", "cpu")
    with pytest.raises(OpError, match="did you mean `flex`"):
        choose("felx", "cpu")


def test_a_backend_without_dropout_says_so():
    q, k, v = heads()
    with pytest.raises(OpError, match="no dropout"):
        attention.flex(q, k, v, None, 0.1)
    with pytest.raises(OpError, match="keeps no documents apart"):
        attention.cudnn(q, k, v, documents([0, 48], 2, 24, "cudnn", "cpu"))


def test_a_training_with_dropout_takes_a_backend_that_has_it(monkeypatch):
    monkeypatch.setattr(attention, "varlen_attn", object())
    assert (choose("auto", "cuda"), choose("auto", "cuda", dropout=0.1)) == ("varlen", "sdpa")
    with pytest.raises(OpError, match="attention `flex` has no dropout: take `sdpa`"):
        choose("flex", "cuda", dropout=0.1)


@pytest.mark.parametrize("G", [1, 4])
def test_attention_to_a_cache_is_that_of_the_last_rows(G):
    q, k, v = heads(B=3, G=G)
    whole = attention.sdpa(q, k, v, None)
    lengths = torch.tensor([20, 7, 12])
    positions_BT = lengths[:, None] + torch.arange(4)
    rows = torch.arange(3)[:, None]
    last = attention.cached(q[rows, positions_BT], k, v, positions_BT)
    torch.testing.assert_close(last, whole[rows, positions_BT], atol=2e-6, rtol=1e-5)
