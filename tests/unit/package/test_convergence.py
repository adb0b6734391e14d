"""Relative change of the hidden units, against numbers worked out by hand."""

import math

import pytest
import torch

from fairseq_ghat.core.gram_matrix import head_centre_cosines
from fairseq_ghat.core.hidden_units import relative_change


def gram(features):
    return (features @ features.T)[None]


def test_rotated_head_by_hand():
    """Two orthogonal heads, one turned by 60 degrees: their cosine goes from 0 to sin(60)."""
    before = torch.eye(2, dtype=torch.float64)
    after = torch.tensor([[1.0, 0.0], [math.sin(math.pi / 3), math.cos(math.pi / 3)]], dtype=torch.float64)
    expected = math.sqrt(2 * math.sin(math.pi / 3) ** 2) / math.sqrt(2)
    assert relative_change(gram(before), gram(after)).item() == pytest.approx(expected)


def test_longer_features_and_more_batches_are_no_change():
    features = torch.randn(6, 40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    scaled = features * torch.tensor([[3.0], [0.5], [1.0], [7.0], [2.0], [0.1]], dtype=torch.float64)
    assert relative_change(gram(features), 9 * gram(scaled)).item() == pytest.approx(0, abs=1e-12)


def test_each_layer_has_its_own():
    generator = torch.Generator().manual_seed(2)
    still, moving, moved = (torch.randn(5, 30, generator=generator) for _ in range(3))
    change = relative_change(torch.cat([gram(still), gram(moving)]), torch.cat([gram(still), gram(moved)]))
    assert change[0] < 1e-5 < 0.1 < change[1]


def test_small_change_bounds_the_change_of_all_cosines_with_centres():
    """What the threshold is for: a small change of the Gram matrix means that heads and centres stand still."""
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(8, 50, generator=generator, dtype=torch.float64)
    nudged = features + 1e-3 * torch.randn(8, 50, generator=generator, dtype=torch.float64)
    labels = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1]])
    change = relative_change(gram(features), gram(nudged)).item()
    moved = head_centre_cosines(gram(features), labels, 2) - head_centre_cosines(gram(nudged), labels, 2)
    assert change < 0.01
    assert moved.abs().max() < 5 * change
