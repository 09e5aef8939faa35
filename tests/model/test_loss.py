"""The chunked loss is torch's cross-entropy over whole logits, in value and in both gradients."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from model.loss import summed_cross_entropy, token_losses


def example(N=50, D=16, V=101, scale=1.0):
    generator = torch.Generator().manual_seed(N + V)
    x = (torch.randn(N, D, generator=generator) * scale).requires_grad_()
    head = torch.randn(V, D, generator=generator).requires_grad_()
    targets = torch.randint(0, V, (N,), generator=generator)
    targets[::7] = -100
    return x, head, targets


def gradients(loss, *tensors):
    return torch.autograd.grad(loss, tensors)


@settings(max_examples=25)
@given(st.integers(1, 60), st.integers(1, 120))
def test_equal_to_whole_logits_for_any_chunks_and_tiles(chunk, tile):
    x, head, targets = example()
    whole = F.cross_entropy(x @ head.T, targets, reduction="sum")
    ours = summed_cross_entropy(x, head, targets, chunk, tile)
    torch.testing.assert_close(ours, whole, rtol=1e-6, atol=1e-4)
    for mine, its in zip(gradients(ours, x, head), gradients(whole, x, head), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-4, atol=2e-5)


def test_equal_to_torch_of_the_same_name():
    if not hasattr(F, "linear_cross_entropy"):
        pytest.skip("this torch has no linear_cross_entropy (2.13 and later)")
    x, head, targets = example()
    theirs = F.linear_cross_entropy(x, head, targets, reduction="sum", ignore_index=-100)
    torch.testing.assert_close(summed_cross_entropy(x, head, targets, 16, 32), theirs)


def test_logits_in_the_thousands_neither_overflow_nor_vanish():
    x, head, targets = example(scale=300.0)
    whole = F.cross_entropy(x @ head.T, targets, reduction="sum")
    ours = summed_cross_entropy(x, head, targets, 13, 20)
    torch.testing.assert_close(ours, whole)
    for mine, its in zip(gradients(ours, x, head), gradients(whole, x, head), strict=True):
        assert (mine - its).norm() < 1e-4 * its.norm()


def test_bfloat16_stays_near_and_sums_the_heads_gradient_in_float32():
    x, head, targets = example(N=400)
    whole = gradients(F.cross_entropy(x @ head.T, targets, reduction="sum"), x, head)
    with torch.autocast("cpu", torch.bfloat16):
        loss = summed_cross_entropy(x, head, targets, 100)
        ours = gradients(loss, x, head)
    assert loss.item() == pytest.approx(F.cross_entropy(x @ head.T, targets, reduction="sum").item(), rel=2e-3)
    for mine, its in zip(ours, whole, strict=True):
        assert mine.dtype == torch.float32
        assert (mine - its).norm() < 0.02 * its.norm()


def test_a_frozen_head_gets_no_gradient_and_changes_no_other():
    x, head, targets = example()
    (alone,) = gradients(summed_cross_entropy(x, head.detach(), targets, 16, 32), x)
    both = gradients(summed_cross_entropy(x, head, targets, 16, 32), x, head)
    assert torch.equal(alone, both[0])


def test_the_loss_may_be_scaled_but_gone_back_through_once():
    x, head, targets = example()
    loss = summed_cross_entropy(x, head, targets)
    (scaled,) = gradients(loss / 8, x)
    (plain,) = gradients(summed_cross_entropy(x, head, targets), x)
    torch.testing.assert_close(scaled, plain / 8)
    with pytest.raises(RuntimeError):
        loss.backward()


def test_every_tokens_loss_apart():
    x, head, targets = example()
    apart = token_losses(x, head, targets, 11)
    torch.testing.assert_close(apart, F.cross_entropy(x @ head.T, targets, reduction="none"))
    assert not apart[::7].any()
    with torch.no_grad():
        torch.testing.assert_close(summed_cross_entropy(x, head, targets), apart.sum())


def test_nothing_to_learn_is_nothing():
    x, head, targets = example()
    loss = summed_cross_entropy(x, head, torch.full_like(targets, -100))
    assert loss.item() == 0
    assert not any(g.any() for g in gradients(loss, x, head))
