"""Unsupervised discovery of hidden units: K-means over the heads of every layer (HUDS of the paper).

Works on feature Gram matrices alone, for all layers and all starts at once, without a Python loop over
heads or layers and without waiting for the device.
"""

from typing import Tuple

import torch
from torch import Tensor

from fairseq_ghat.core.gram_matrix import cosine_gram, group_membership

DISTANCES = ("euclidean", "cosine")
_LLOYD_STEPS = 10
# All pairs of 16 heads. A bound, since with all pairs the cost would grow with the fourth power of the heads.
_MOST_STARTS = 120


def check_groups(groups: int, heads: int) -> None:
    """Raises ValueError unless 1 <= groups <= heads."""
    if not 1 <= groups <= heads:
        raise ValueError(f"the number of groups must be from 1 to the {heads} heads, got {groups}")


@torch.no_grad()
def hidden_unit_labels(gram: Tensor, groups: int, distance: str = "euclidean") -> Tensor:
    """Groups of the heads of each layer by K-means.

    Lloyd's algorithm from deterministic starts, each pair of heads as the first two centres and the heads
    farthest from those taken as the others; of more than 120 starts, those whose centres lie nearest to the heads.
    The start that ends with the least inertia gives the result. The same input gives the same groups.

    Args:
        gram: (L, H, H) feature Gram matrices of L layers.
        groups: C, 1 <= C <= H.
        distance: "euclidean" between feature maps, or "cosine" (feature maps scaled to unit length first).

    Returns:
        (L, H) integers in 0..C-1, every group non-empty, groups numbered by their first head.

    Raises:
        ValueError: for a group count outside 1..H or an unknown distance.
    """
    layers, heads, _ = gram.shape
    check_groups(groups, heads)
    if distance not in DISTANCES:
        raise ValueError(f"distance must be one of {', '.join(DISTANCES)}, got {distance!r}")
    gram = cosine_gram(gram) if distance == "cosine" else gram
    # One scale for all layers, so that float32 sums never meet very large or very small numbers.
    scale = gram.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None]
    gram = gram / scale.clamp_min(torch.finfo(gram.dtype).tiny)

    start = _starting_membership(gram, groups)
    # The heads a start takes stay in their groups, so that none is empty at first.
    labels = torch.where(start.any(-1), start.argmax(-1), _nearest_centre(gram, start))
    for _ in range(_LLOYD_STEPS):
        nearest = _nearest_centre(gram, group_membership(labels, groups, gram.dtype))
        filled = group_membership(nearest, groups, torch.bool).any(1).all(-1).unsqueeze(1)
        labels = torch.where(filled, nearest, labels)  # a step that would empty a group is not taken
    best = _inertia_of_starts(gram, group_membership(labels, groups, gram.dtype)).argmin(-1)
    labels = labels.gather(2, best[:, None, None].expand(layers, heads, 1)).squeeze(2)
    return _number_by_first_head(labels, groups)


def _centres_of_starts(gram: Tensor, membership: Tensor) -> Tuple[Tensor, Tensor]:
    """As centre_products, for the S starts of a layer, which share its Gram matrix, in one product.

    (L, H, H), (L, H, S, C) -> head_centre (L, H, S, C), and squared norms of the centres (L, S, C).
    """
    mean_weights = membership / membership.sum(1, keepdim=True).clamp_min(1)
    head_centre = (gram @ mean_weights.flatten(2)).view_as(membership)
    return head_centre, (head_centre * mean_weights).sum(1)


def _inertia_of_starts(gram: Tensor, membership: Tensor) -> Tensor:
    """Sum of the squared distances of the heads to their centres. (L, H, H), (L, H, S, C) -> (L, S)."""
    _, centre_norms = _centres_of_starts(gram, membership)
    total = gram.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True)
    return total - (membership.sum(1) * centre_norms).sum(-1)


def _nearest_centre(gram: Tensor, membership: Tensor) -> Tensor:
    """Group whose centre is nearest to each head, in each start. (L, H, H), (L, H, S, C) -> (L, H, S)."""
    head_centre, centre_norms = _centres_of_starts(gram, membership)
    # Squared distance less <e_i, e_i>, which is the same for all centres.
    return (centre_norms.unsqueeze(1) - 2 * head_centre).argmin(-1)


def _starting_membership(gram: Tensor, groups: int) -> Tensor:
    """Starting centres: start (a, b) takes heads a and b, then always the head farthest from those taken.

    (L, H, H) -> (L, H, S, C), one head in each group; S = H*(H-1)/2 starts, but at most _MOST_STARTS.
    """
    layers, heads, _ = gram.shape
    norms = gram.diagonal(dim1=-2, dim2=-1)
    pairwise = norms.unsqueeze(-1) + norms.unsqueeze(-2) - 2 * gram  # (L, H, H)
    first, second = torch.triu_indices(heads, heads, offset=1 if heads > 1 else 0, device=gram.device)
    newest = first.expand(layers, -1)
    distance = _distance_to(newest, pairwise)  # (L, S, H), squared, of each head to the nearest of those taken
    taken = group_membership(newest, heads, torch.bool)  # (L, S, H)
    chosen = [newest]
    for group in range(1, groups):
        if group == 1:
            newest = second.expand(layers, -1)
        else:  # a taken head is never taken again, even where two heads coincide
            newest = distance.masked_fill(taken, -float("inf")).argmax(-1)
        distance = torch.minimum(distance, _distance_to(newest, pairwise))
        taken = taken | group_membership(newest, heads, torch.bool)
        chosen.append(newest)
    centres = torch.stack(chosen, dim=-1)  # (L, S, C)
    if centres.size(1) > _MOST_STARTS:
        best = distance.sum(-1).argsort(dim=-1, stable=True)[:, :_MOST_STARTS]
        centres = centres.gather(1, best.unsqueeze(-1).expand(-1, -1, groups))
    return (centres.unsqueeze(1) == torch.arange(heads, device=gram.device)[:, None, None]).to(gram.dtype)


def _distance_to(head: Tensor, pairwise: Tensor) -> Tensor:
    """Squared distance of every head to one head in each start. (L, S), (L, H, H) -> (L, S, H)."""
    return pairwise.gather(1, head.unsqueeze(-1).expand(-1, -1, pairwise.size(-1)))


def _number_by_first_head(labels: Tensor, groups: int) -> Tensor:
    """Renumbers the groups in the order of their first heads. (L, H) -> (L, H)."""
    membership = group_membership(labels, groups, torch.long)  # (L, H, C)
    first_head = membership.argmax(-2)  # (L, C)
    rank = first_head.argsort(-1).argsort(-1)
    return rank.gather(-1, labels)


def relative_change(before: Tensor, after: Tensor) -> Tensor:
    """How far the feature maps of each layer moved relative to one another between two epochs.

    All cosines of heads with centres and of centres with centres are functions of the Gram matrix of
    unit-length feature maps, so a small change of it means that the hidden units stand still.

    The hidden units have converged (rho of the paper, Algorithm 1) when this is small.

    Args:
        before: Gram matrices summed over an epoch, (L, H, H); their scale does not matter.
        after: those of the next epoch, (L, H, H).

    Returns:
        (L,) Frobenius norm of the difference over the norm of `before`, both of unit-length feature maps.
    """
    before, after = cosine_gram(before), cosine_gram(after)
    return torch.linalg.matrix_norm(after - before) / torch.linalg.matrix_norm(before)
