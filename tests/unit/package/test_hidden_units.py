"""K-means from Gram matrices against a textbook K-means on explicit features, and its promises."""

import itertools
import math

import pytest
import torch

from fairseq_ghat.core import hidden_units
from fairseq_ghat.core.gram_matrix import head_centre_cosines
from fairseq_ghat.core.hidden_units import hidden_unit_labels, relative_change


def textbook_inertia(features, labels, groups):
    centres = torch.stack([features[labels == c].mean(0) for c in range(groups)])
    return ((features - centres[labels]) ** 2).sum().item()


def lloyd(features, taken, steps=50):
    """Lloyd from the given heads as centres: inertia and labels, or None if a group became empty."""
    centres = features[taken]
    for _ in range(steps):
        labels = ((features.unsqueeze(1) - centres) ** 2).sum(-1).argmin(1)
        if len(set(labels.tolist())) < len(taken):
            return None
        centres = torch.stack([features[labels == c].mean(0) for c in range(len(taken))])
    return textbook_inertia(features, labels, len(taken)), labels


def textbook_kmeans(features, groups):
    """Lloyd from each pair of heads and the farthest others, one Python loop each; labels of least inertia."""
    best = None
    for first_two in itertools.combinations(range(len(features)), 2):
        taken = list(first_two[:groups])
        while len(taken) < groups:
            distances = torch.stack([((features - features[t]) ** 2).sum(1) for t in taken]).min(0).values
            distances[taken] = -1
            taken.append(int(distances.argmax()))
        found = lloyd(features, taken)
        if found is not None and (best is None or found[0] < best[0] - 1e-9):
            best = found
    return best


def same_partition(a, b):
    return torch.equal(a[:, None] == a[None], b[:, None] == b[None])


@pytest.mark.parametrize("heads,groups", [(8, 2), (8, 3), (8, 4), (16, 4), (4, 1)])
@pytest.mark.parametrize("width", [2, 25])
@pytest.mark.parametrize("seed", range(5))
def test_equals_textbook_kmeans(heads, groups, width, seed):
    features = torch.randn(heads, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    score, labels = textbook_kmeans(features, groups)
    ours = hidden_unit_labels((features @ features.T)[None], groups)[0]
    assert textbook_inertia(features, ours, groups) == pytest.approx(score, rel=1e-4)
    assert same_partition(ours, labels)


def test_never_far_from_the_best_of_all_partitions():
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        features = torch.randn(7, 12, generator=generator, dtype=torch.float64)
        ours = hidden_unit_labels((features @ features.T)[None], 2)[0]
        best = min(
            textbook_inertia(features, torch.tensor(labels), 2)
            for labels in itertools.product((0, 1), repeat=7)
            if 0 < sum(labels) < 7
        )
        assert textbook_inertia(features, ours, 2) <= best * 1.05


def test_finds_planted_groups_in_every_layer_at_once():
    generator = torch.Generator().manual_seed(1)
    planted = torch.stack([torch.randperm(8, generator=generator) % 3 for _ in range(5)])
    centres = torch.randn(5, 3, 50, generator=generator)
    features = torch.stack([c[p] for c, p in zip(centres, planted)])
    features = features + 0.05 * torch.randn(features.shape, generator=generator)
    found = hidden_unit_labels(features @ features.transpose(1, 2), 3)
    for ours, truth in zip(found, planted):
        assert same_partition(ours, truth)


@pytest.mark.parametrize("groups", range(1, 7))
def test_every_group_has_a_head_even_when_heads_coincide(groups):
    features = torch.ones(2, 6, 10)
    labels = hidden_unit_labels(features @ features.transpose(1, 2), groups)
    for layer in labels:
        assert sorted(set(layer.tolist())) == list(range(groups))


def test_all_zero_features_still_give_groups():
    assert set(hidden_unit_labels(torch.zeros(1, 4, 4), 2)[0].tolist()) == {0, 1}


def test_scale_and_repetition_do_not_change_the_groups():
    features = torch.randn(3, 8, 20, generator=torch.Generator().manual_seed(2))
    gram = features @ features.transpose(1, 2)
    labels = hidden_unit_labels(gram, 3)
    assert torch.equal(labels, hidden_unit_labels(gram, 3))
    assert torch.equal(labels, hidden_unit_labels(gram * 1e8, 3))
    assert torch.equal(labels, hidden_unit_labels(gram * 1e-8, 3))


def test_groups_are_numbered_by_their_first_head():
    features = torch.eye(4)[[3, 1, 3, 0]] * 10
    assert hidden_unit_labels((features @ features.T)[None], 3).tolist() == [[0, 1, 0, 2]]


def test_cosine_distance_ignores_the_length_of_features():
    directions = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    features = directions * torch.tensor([[1.0], [100.0], [1.0], [100.0]])
    gram = (features @ features.T)[None]
    assert hidden_unit_labels(gram, 2, "cosine").tolist() == [[0, 0, 1, 1]]
    assert hidden_unit_labels(gram, 2, "euclidean").tolist() != [[0, 0, 1, 1]]


def test_of_very_many_starts_the_best_are_followed(monkeypatch):
    """190 pairs of heads: at least as good as Lloyd's algorithm from the pair nearest to all heads, at a bound of one
    as good as that, and never far from all pairs."""
    generator = torch.Generator().manual_seed(4)
    for _ in range(5):
        features = torch.randn(20, 12, generator=generator, dtype=torch.float64)
        gram, distances = (features @ features.T)[None], torch.cdist(features, features).square()
        pairs = list(itertools.combinations(range(20), 2))
        nearest = [torch.minimum(distances[a], distances[b]).sum().item() for a, b in pairs]
        from_nearest, _ = lloyd(features, list(pairs[nearest.index(min(nearest))]))
        found = textbook_inertia(features, hidden_unit_labels(gram, 2)[0], 2)
        with monkeypatch.context() as one_start:
            one_start.setattr(hidden_units, "_MOST_STARTS", 1)
            alone = textbook_inertia(features, hidden_unit_labels(gram, 2)[0], 2)
        assert alone == pytest.approx(from_nearest, rel=1e-9)
        best, _ = textbook_kmeans(features, 2)
        assert best * (1 - 1e-9) <= found <= min(alone, best * 1.02)


@pytest.mark.parametrize("groups", [0, 5, -1])
def test_wrong_group_count_is_refused(groups):
    with pytest.raises(ValueError, match=f"from 1 to the 4 heads, got {groups}"):
        hidden_unit_labels(torch.eye(4)[None], groups)


def test_unknown_distance_is_refused():
    with pytest.raises(ValueError, match="euclidean, cosine, got 'manhattan'"):
        hidden_unit_labels(torch.eye(4)[None], 2, "manhattan")


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
