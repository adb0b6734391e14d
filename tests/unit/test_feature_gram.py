"""Everything read off a Gram matrix equals the same quantity on explicit feature maps."""

import pytest
import torch
import torch.nn.functional as F

from fairseq_ghat.core import feature_gram as fg

HEADS, FEATURES, GROUPS = 6, 40, 3
LABELS = torch.tensor([[0, 1, 0, 2, 1, 0], [2, 2, 1, 0, 1, 1]])


@pytest.fixture
def features():
    return torch.randn(2, HEADS, FEATURES, generator=torch.Generator().manual_seed(0))


def explicit_centres(features, labels):
    return torch.stack([torch.stack([f[lab == c].mean(0) for c in range(GROUPS)]) for f, lab in zip(features, labels)])


def test_gram_is_float32_of_half_features():
    features = torch.randn(4, 1000).half()
    gram = fg.feature_gram(features)
    assert gram.dtype == torch.float32
    torch.testing.assert_close(gram, features.float() @ features.float().T)


def test_gram_stays_float32_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        gram = fg.feature_gram(torch.full((2, 3), 1.001))
    assert gram.dtype == torch.float32
    torch.testing.assert_close(gram, torch.full((2, 2), 3 * 1.001**2))


def test_grams_of_batches_add_up():
    features = torch.randn(4, 30)
    parts = sum(fg.feature_gram(part) for part in features.split(7, dim=1))
    torch.testing.assert_close(parts, fg.feature_gram(features))


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
    torch.testing.assert_close(
        fg.centre_cosines(gram, LABELS, GROUPS),
        F.cosine_similarity(centres.unsqueeze(2), centres.unsqueeze(1), dim=-1),
        rtol=1e-4,
        atol=1e-5,
    )


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
