"""Unsupervised discovery of hidden units: K-means over the heads of every layer (HUDS of the paper).

Works on feature Gram matrices alone, for all layers and all starts at once, without a Python loop over
heads or layers and without waiting for the device.
"""

import torch
from torch import Tensor

from fairseq_ghat.core.feature_gram import centre_products, cosine_gram, group_membership

DISTANCES = ("euclidean", "cosine")
_LLOYD_STEPS = 10


def check_groups(groups: int, heads: int) -> None:
    """Raises ValueError unless 1 <= groups <= heads."""
    if not 1 <= groups <= heads:
        raise ValueError(f"the number of groups must be from 1 to the {heads} heads, got {groups}")


@torch.no_grad()
def hidden_unit_labels(gram: Tensor, groups: int, distance: str = "euclidean") -> Tensor:
    """Groups of the heads of each layer by K-means.

    Lloyd's algorithm from deterministic starts, each pair of heads as the first two centres and the heads
    farthest from those taken as the others; the start that ends with the least inertia gives the result.
    The same input gives the same groups.

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

    per_start = gram.unsqueeze(1)  # (L, 1, H, H), the same for all starts
    start = _starting_membership(gram, groups)
    # The heads a start takes stay in their groups, so that none is empty at first.
    labels = torch.where(start.any(-1), start.argmax(-1), _nearest_centre(per_start, start))
    for _ in range(_LLOYD_STEPS):
        membership = group_membership(labels, groups, gram.dtype)
        nearest = _nearest_centre(per_start, membership)
        filled = group_membership(nearest, groups, torch.bool).any(-2).all(-1, keepdim=True)
        labels = torch.where(filled, nearest, labels)  # a step that would empty a group is not taken
    best = inertia(per_start, labels, groups).argmin(-1)
    labels = labels.gather(1, best[:, None, None].expand(layers, 1, heads)).squeeze(1)
    return _number_by_first_head(labels, groups)


def inertia(gram: Tensor, labels: Tensor, groups: int) -> Tensor:
    """Sum of the squared distances of the heads to their centres. (..., H, H), (..., H) -> (...)."""
    membership = group_membership(labels, groups, gram.dtype)
    _, centre_centre = centre_products(gram, membership)
    centre_norms = centre_centre.diagonal(dim1=-2, dim2=-1)
    return gram.diagonal(dim1=-2, dim2=-1).sum(-1) - (membership.sum(-2) * centre_norms).sum(-1)


def _nearest_centre(gram: Tensor, membership: Tensor) -> Tensor:
    """Group whose centre is nearest to each head. (..., H, H), (..., H, C) -> (..., H)."""
    head_centre, centre_centre = centre_products(gram, membership)
    centre_norms = centre_centre.diagonal(dim1=-2, dim2=-1).unsqueeze(-2)
    # Squared distance less <e_i, e_i>, which is the same for all centres.
    return (centre_norms - 2 * head_centre).argmin(-1)


def _starting_membership(gram: Tensor, groups: int) -> Tensor:
    """Starting centres: start (a, b) takes heads a and b, then always the head farthest from those taken.

    (L, H, H) -> (L, H*(H-1)/2 starts, H, C), one head in each group.
    """
    layers, heads, _ = gram.shape
    norms = gram.diagonal(dim1=-2, dim2=-1)
    pairwise = norms.unsqueeze(-1) + norms.unsqueeze(-2) - 2 * gram  # (L, H, H)
    first, second = torch.triu_indices(heads, heads, offset=1 if heads > 1 else 0, device=gram.device)
    nearest = None
    memberships = []
    for group in range(groups):
        chosen = (first, second)[group].expand(layers, -1) if group < 2 else nearest.argmax(-1)
        memberships.append(group_membership(chosen, heads, gram.dtype))
        rows = pairwise.gather(1, chosen.unsqueeze(-1).expand(-1, -1, heads))  # (L, starts, H)
        nearest = rows if nearest is None else torch.minimum(nearest, rows)
        # A taken head is never taken again, even where two heads coincide.
        nearest = nearest.masked_fill(memberships[-1].bool(), -float("inf"))
    return torch.stack(memberships, dim=-1)


def _number_by_first_head(labels: Tensor, groups: int) -> Tensor:
    """Renumbers the groups in the order of their first heads. (L, H) -> (L, H)."""
    membership = group_membership(labels, groups, torch.long)  # (L, H, C)
    first_head = membership.argmax(-2)  # (L, C)
    rank = first_head.argsort(-1).argsort(-1)
    return rank.gather(-1, labels)
