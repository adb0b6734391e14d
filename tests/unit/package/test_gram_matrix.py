"""Everything read off a Gram matrix equals the same quantity on explicit feature maps."""

import pytest
import torch
import torch.nn.functional as F

from fairseq_ghat.core import gram_matrix as fg

HEADS, FEATURES, GROUPS = 6, 40, 3
LABELS = torch.tensor([[0, 1, 0, 2, 1, 0], [2, 2, 1, 0, 1, 1]])


@pytest.fixture
def features():
    return torch.randn(2, HEADS, FEATURES, generator=torch.Generator().manual_seed(0))


def explicit_centres(features, labels):
    return torch.stack([torch.stack([f[lab == c].mean(0) for c in range(GROUPS)]) for f, lab in zip(features, labels)])


def explicit_gram(maps, padding):
    """Feature maps (B, H, X, Y) sentence by sentence, positions of padding (B, X) left out."""
    flat = torch.cat([sentence[:, ~out].flatten(1) for sentence, out in zip(maps, padding)], dim=1)
    return flat @ flat.T


LAYOUTS = {"value or output": (2, 0, 1, 3), "output of the fused attention": (0, 2, 1, 3), "attention": (0, 1, 2, 3)}


def laid_out(order, dtype=torch.float64):
    """Feature maps of 3 sentences, 4 heads, 5 positions and 6 features, in the given order of memory; padding."""
    shape = [(3, 4, 5, 6)[dimension] for dimension in order]
    maps = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    padding = torch.zeros(3, 5, dtype=torch.bool)
    padding[0, :2], padding[2, 4] = True, True
    return maps.permute([order.index(dimension) for dimension in range(4)]).requires_grad_(), padding


@pytest.mark.parametrize("order", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("padded", [False, True])
def test_gram_and_its_gradient_equal_explicit_features_in_every_layout(order, padded):
    maps, padding = laid_out(order)
    padding = padding if padded else torch.zeros_like(padding)
    expected = explicit_gram(maps, padding)
    found = fg.feature_gram(maps, padding if padded else None)
    torch.testing.assert_close(found, expected)
    weights = torch.randn(4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)  # not symmetric
    (found_grad,) = torch.autograd.grad((found * weights).sum(), maps)
    (expected_grad,) = torch.autograd.grad((expected * weights).sum(), maps)
    torch.testing.assert_close(found_grad, expected_grad)
    assert padding[:, None, :, None].expand_as(found_grad)[found_grad == 0].all()  # padding alone has no gradient


@pytest.mark.parametrize("order", LAYOUTS.values(), ids=LAYOUTS)
def test_features_stay_as_they_are_and_autograd_keeps_nothing_else(order):
    maps, padding = laid_out(order)
    before, kept = maps.detach().clone(), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        gram = fg.feature_gram(maps, padding)
    own = {tensor.untyped_storage().data_ptr() for tensor in (maps, padding)}
    assert len(kept) == 2 and {tensor.untyped_storage().data_ptr() for tensor in kept} == own
    gram.sum().backward()
    assert torch.equal(maps, before)


def test_gram_and_gradient_of_half_features_are_summed_in_float32():
    maps, padding = laid_out(LAYOUTS["attention"], torch.float16)
    gram = fg.feature_gram(maps, padding)
    assert gram.dtype == torch.float32
    exact = maps.detach().float().requires_grad_()
    torch.testing.assert_close(gram, explicit_gram(exact, padding))
    (grad,), (exact_grad,) = (
        torch.autograd.grad(gram.sum(), maps),
        torch.autograd.grad(explicit_gram(exact, padding).sum(), exact),
    )
    assert grad.dtype == torch.float16
    torch.testing.assert_close(grad.float(), exact_grad, rtol=1e-3, atol=1e-2)


def test_gram_stays_float32_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        gram = fg.feature_gram(torch.full((1, 2, 3, 1), 1.001))
    assert gram.dtype == torch.float32
    torch.testing.assert_close(gram, torch.full((2, 2), 3 * 1.001**2))


def test_grams_of_batches_add_up():
    maps, padding = laid_out(LAYOUTS["attention"])
    parts = sum(fg.feature_gram(part, out) for part, out in zip(maps.split(1), padding.split(1)))
    torch.testing.assert_close(parts, fg.feature_gram(maps, padding))


def test_padding_may_hold_anything():
    maps, padding = laid_out(LAYOUTS["attention"])
    clean = fg.feature_gram(maps, padding)
    dirty = maps.detach().clone()
    dirty[0, :, :2] = float("nan")
    torch.testing.assert_close(fg.feature_gram(dirty, padding), clean)


def test_centre_products_match_explicit_centres(features):
    gram = features @ features.transpose(1, 2)
    head_centre, centre_centre = fg.centre_products(gram, fg.group_membership(LABELS, GROUPS, gram.dtype))
    centres = explicit_centres(features, LABELS)
    torch.testing.assert_close(head_centre, features @ centres.transpose(1, 2), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(centre_centre, centres @ centres.transpose(1, 2), rtol=1e-4, atol=1e-4)


def test_cosines_match_explicit_centres(features):
    gram = features @ features.transpose(1, 2)
    centres = explicit_centres(features, LABELS)
    own = torch.stack([centre[lab] for centre, lab in zip(centres, LABELS)])
    torch.testing.assert_close(fg.head_centre_cosines(gram, LABELS, GROUPS), F.cosine_similarity(features, own, dim=-1))


def test_cosine_gram_has_unit_diagonal(features):
    gram = fg.cosine_gram(features @ features.transpose(1, 2))
    unit = F.normalize(features, dim=-1)
    torch.testing.assert_close(gram, unit @ unit.transpose(1, 2))


def test_zero_head_gives_zero_cosine_and_finite_gradient():
    features = torch.randn(1, 4, 10)
    features[0, 1] = 0.0
    features.requires_grad_()
    gram = features @ features.transpose(1, 2)
    cosines = fg.head_centre_cosines(gram, torch.tensor([[0, 1, 0, 0]]), 2)
    cosines.sum().backward()
    assert cosines[0, 1] == 0
    assert torch.isfinite(features.grad).all()
