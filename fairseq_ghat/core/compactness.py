"""How compact groups of heads are: distances between their feature maps, and the Dunn index (paper, Figure 2)."""

from typing import Optional

from torch import Tensor

from fairseq_ghat.core.gram_matrix import cosine_gram


def head_distances(gram: Tensor, distance: str = "euclidean") -> Tensor:
    """Distances between the feature maps of the heads of a layer, those that K-means takes squares of.

    Args:
        gram: feature Gram matrix, (H, H).
        distance: "euclidean" between feature maps, or "cosine" (feature maps scaled to unit length first).

    Returns:
        (H, H) float64, symmetric, 0 on the diagonal.
    """
    gram = gram.double()
    gram = cosine_gram(gram) if distance == "cosine" else gram
    norms = gram.diagonal()
    squared = norms.unsqueeze(0) + norms.unsqueeze(1) - gram - gram.T
    return squared.clamp_min(0).fill_diagonal_(0).sqrt()


def dunn_index(distances: Tensor, labels: Tensor) -> Optional[float]:
    """Least distance between heads of two groups, over the greatest within one (Dunn, 1974): more is more compact.

    Args:
        distances: between the heads, (H, H).
        labels: group of each head, (H,).

    Returns:
        The index; None for one group, and where no group has two heads that differ.
    """
    together = labels.unsqueeze(0) == labels.unsqueeze(1)
    widest = distances[together].max()
    if bool(together.all()) or not widest > 0:
        return None
    return float(distances[~together].min() / widest)
