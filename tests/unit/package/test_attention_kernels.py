"""Which kernel computes attention, and that all of them give the same."""

import itertools

import pytest
import torch
from fairseq.modules.fairseq_dropout import FairseqDropout

from fairseq_ghat.modules.attention_kernels import (
    FUSED,
    FUSED_CAUSAL,
    FUSED_MASK,
    PRODUCTS,
    Masks,
    choose_kernel,
    fused_attention,
    join_heads,
    product_attention,
    split_heads,
)
from fairseq_ghat.modules.attention_masks import as_causal

B, K, T, D = 2, 3, 40, 8
FUTURE = torch.triu(torch.full((T, T), float("-inf")), 1)


def maps(length=T):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(B, K, length, D, generator=generator, dtype=torch.float64) for _ in range(3)]


def some_padding():
    padding = torch.zeros(B, T, dtype=torch.bool)
    padding[0, T - 3 :] = True
    return padding


@pytest.mark.parametrize(
    "added,padded,kernel",
    [
        (None, False, FUSED),
        (as_causal(FUTURE.clone()), False, FUSED_CAUSAL),
        (FUTURE, False, FUSED_MASK),
        (None, True, FUSED_MASK),
        (as_causal(FUTURE.clone()), True, FUSED_MASK),
    ],
)
def test_a_mask_is_passed_only_where_it_must_and_all_kernels_agree(added, padded, kernel):
    q, k, v = maps()
    masks = Masks(added, some_padding() if padded else None)
    dropout = FairseqDropout(0.5).eval()
    assert choose_kernel(q, k, masks, need_weights=True) == PRODUCTS
    assert choose_kernel(q, k, masks, need_weights=False) == kernel
    expected, weights = product_attention(q, k, v, masks, D**-0.5, dropout)
    torch.testing.assert_close(fused_attention(kernel, q, k, v, masks, dropout), expected)

    scores = q @ k.transpose(-2, -1) / D**0.5  # the textbook's
    if added is not None:
        scores = scores + added
    if padded:
        scores = scores.masked_fill(some_padding()[:, None, None], float("-inf"))
    torch.testing.assert_close(weights, scores.softmax(-1).to(weights.dtype), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(expected, scores.softmax(-1) @ v, rtol=1e-6, atol=1e-6)


def test_plain_products_are_for_the_cpu_only():
    q = torch.empty(400, 8, 16, 64, device="meta")
    assert choose_kernel(q, q, Masks(None, None), need_weights=False) == FUSED
    assert choose_kernel(torch.empty(400, 8, 16, 64), torch.empty(400, 8, 16, 64), Masks(None, None), False) == PRODUCTS


@pytest.mark.parametrize("hypotheses", [1, 3])
@pytest.mark.parametrize("length", [1, 4])
def test_heads_are_split_and_joined_sentence_by_sentence(hypotheses, length):
    x = torch.arange(length * B * hypotheses * K * D).view(length, B * hypotheses, K * D)
    split = split_heads(x, D, B)
    assert split.shape == (B, K, hypotheses * length, D)
    for b, n, t, h in itertools.product(range(B), range(hypotheses), range(length), range(K)):
        assert torch.equal(split[b, h, n * length + t], x[t, b * hypotheses + n, h * D : (h + 1) * D])
    assert torch.equal(join_heads(split, length), x)


def textbook(q, k, v, hidden):
    """Query by query, over the keys that are not hidden, (B, T, S); zeros where all are."""
    rows = torch.zeros_like(q)
    for b, t in itertools.product(range(q.size(0)), range(q.size(2))):
        seen = ~hidden[b, t]
        if seen.any():
            weights = (q[b, :, t, None] * k[b][:, seen]).sum(-1).div(D**0.5).softmax(-1)
            rows[b, :, t] = (weights[..., None] * v[b][:, seen]).sum(1)
    return rows


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("kernel", [PRODUCTS, FUSED_MASK])
def test_queries_that_no_key_is_left_for_give_zeros_and_take_no_gradient(causal, kernel):
    q, k, v = (x.requires_grad_() for x in maps(6))
    padding = torch.zeros(B, 6, dtype=torch.bool)
    padding[0, :2] = True  # on the left, where causal queries see nothing else
    padding[1] = True
    masks = Masks(FUTURE[:6, :6] if causal else None, padding)
    dropout = FairseqDropout(0.0)
    if kernel == PRODUCTS:
        output = product_attention(q, k, v, masks, D**-0.5, dropout)[0]
    else:
        output = fused_attention(kernel, q, k, v, masks, dropout)
    hidden = padding[:, None].expand(B, 6, 6) | (FUTURE[:6, :6].isneginf() & causal)
    expected = textbook(q, k, v, hidden)
    torch.testing.assert_close(output, expected, rtol=1e-6, atol=1e-6)
    assert not output[1].any() and bool(output[0, :, 0].any()) != causal
    for one, other in zip(*(torch.autograd.grad(x.square().sum(), (q, k, v)) for x in (output, expected))):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
