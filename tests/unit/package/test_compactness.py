"""Distances between heads, Dunn index and silhouette: by hand, and against explicit feature maps."""

import pytest
import torch

from fairseq_ghat.core.compactness import dunn_index, head_distances
from fairseq_ghat.evaluation.head_analysis import silhouette_coefficients

# Four heads of one feature each, in two groups.
POINTS = torch.tensor([[0.0], [1.0], [4.0], [6.0]], dtype=torch.float64)
LABELS = torch.tensor([0, 0, 1, 1])


def random_heads(seed):
    """Feature maps (H, F) of 9 heads around 3 centres, and the groups of the heads; one is alone in its group."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor([0, 1, 0, 0, 1, 1, 2, 0, 1])
    centres = torch.randn(3, 40, generator=generator, dtype=torch.float64)
    return centres[labels] + torch.randn(9, 40, generator=generator, dtype=torch.float64), labels


def test_distances_dunn_index_and_silhouette_by_hand():
    distances = head_distances(POINTS @ POINTS.T)
    assert distances.tolist() == [[0, 1, 4, 6], [1, 0, 3, 5], [4, 3, 0, 2], [6, 5, 2, 0]]
    assert dunn_index(distances, LABELS) == 3 / 2  # heads 1 and 2 are nearest between groups, 2 and 3 farthest within
    pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install scikit-learn")
    # (b - a) / max(a, b): a the mean distance in the own group, b that to the other one.
    expected = [(5 - 1) / 5, (4 - 1) / 4, (3.5 - 2) / 3.5, (5.5 - 2) / 5.5]
    assert silhouette_coefficients(distances, LABELS) == pytest.approx(expected, abs=1e-12)


def test_equal_heads_have_no_distance_though_their_gram_matrix_is_rounded():
    rounded = torch.tensor([[1, 1 + 1e-15], [1 + 1e-15, 1]], dtype=torch.float64)
    assert head_distances(rounded).tolist() == [[0, 0], [0, 0]]


def test_dunn_index_of_one_group_of_single_heads_and_of_equal_heads_is_none():
    distances = head_distances(POINTS @ POINTS.T)
    assert dunn_index(distances, torch.zeros(4)) is None
    assert dunn_index(distances, torch.arange(4)) is None
    equal = torch.tensor([[1.0], [1.0], [5.0]], dtype=torch.float64)
    assert dunn_index(head_distances(equal @ equal.T), torch.tensor([0, 0, 1])) is None


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_same_as_of_explicit_feature_maps(seed, distance):
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed: pip install scikit-learn")
    features, labels = random_heads(seed)
    explicit = torch.nn.functional.normalize(features, dim=1) if distance == "cosine" else features
    distances = head_distances(features @ features.T, distance)
    torch.testing.assert_close(distances, torch.cdist(explicit, explicit), rtol=0, atol=1e-6)
    silhouettes = silhouette_coefficients(distances, labels)
    assert silhouettes == pytest.approx(metrics.silhouette_samples(explicit, labels), abs=1e-6)
    mean = metrics.silhouette_score(explicit, labels)
    assert sum(silhouettes) / 9 == pytest.approx(mean, abs=1e-6) and silhouettes[6] == 0
    pairs = [(i, j) for j in range(9) for i in range(j)]
    norms = {(i, j): float((explicit[i] - explicit[j]).norm()) for i, j in pairs}
    between = min(norms[i, j] for i, j in pairs if labels[i] != labels[j])
    within = max(norms[i, j] for i, j in pairs if labels[i] == labels[j])
    assert dunn_index(distances, labels) == pytest.approx(between / within, abs=1e-6)
