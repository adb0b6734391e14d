"""Unsupervised discovery of hidden units: K-means over the heads of every layer (HUDS of the paper).

Works on feature Gram matrices alone, for all layers at once, without a Python loop over heads or layers and without
waiting for the device. Few heads have so few partitions that all are compared and the best is exact; many heads are
grouped by Lloyd's algorithm from many starts. Sums are in float64, which neither autocast nor TF32 shortens.
"""

from functools import lru_cache
from math import comb, factorial
from typing import NamedTuple, Optional, Tuple

import torch
from torch import Tensor

from fairseq_ghat.core.gram_matrix import cosine_gram, group_membership

DISTANCES = ("euclidean", "cosine")
# Numbers in a table of all partitions, P * H * H: 8 MB. Enough for all groups of 8 heads, and 3 of 10.
_LARGEST_TABLE = 2**20
_LLOYD_STEPS = 10
# All pairs of 16 heads. A bound, since with all pairs the cost would grow with the fourth power of the heads.
_MOST_STARTS = 120


def check_groups(groups: int, heads: int) -> None:
    """Raises ValueError unless 1 <= groups <= heads."""
    if not 1 <= groups <= heads:
        raise ValueError(f"the number of groups must be from 1 to the {heads} heads, got {groups}")


def hidden_unit_labels(gram: Tensor, groups: int, distance: str = "euclidean") -> Tensor:
    """Groups of the heads of each layer by K-means.

    Of all partitions of the heads, the one with the least inertia; where they are too many to compare, the best that
    Lloyd's algorithm reaches. The same input gives the same groups.

    Args:
        gram: (L, H, H) feature Gram matrices of L layers.
        groups: C, 1 <= C <= H.
        distance: "euclidean" between feature maps, or "cosine" (feature maps scaled to unit length first).

    Returns:
        (L, H) integers in 0..C-1, every group non-empty, groups numbered by their first head.

    Raises:
        ValueError: for a group count outside 1..H or an unknown distance.
    """
    return discover(gram, groups, distance)[0]


@torch.no_grad()
def discover(gram: Tensor, groups: int, distance: str = "euclidean") -> Tuple[Tensor, Optional[Tensor]]:
    """As hidden_unit_labels, and which of all partitions they are.

    Returns:
        Labels (L, H), and their rows (L,) in the table of all_partitions, or None where there is no such table.
    """
    heads = gram.size(-1)
    check_groups(groups, heads)
    if distance not in DISTANCES:
        raise ValueError(f"distance must be one of {', '.join(DISTANCES)}, got {distance!r}")
    gram = gram.to(torch.float64)
    gram = cosine_gram(gram) if distance == "cosine" else gram
    partitions = all_partitions(heads, groups, gram.device)
    if partitions is None:
        return lloyd_labels(gram, groups), None
    rows = (gram.flatten(1) @ partitions.shares).argmax(-1)
    return partitions.labels.index_select(0, rows), rows


class Partitions(NamedTuple):
    """All P partitions of H heads into C groups.

    The inertia of a partition is trace(G) - <T, G>, with 1/size in T wherever two heads share a group of that size.
    """

    labels: Tensor  # (P, H), groups numbered by their first head
    shares: Tensor  # T of each partition as a column, (H*H, P), float64


@lru_cache(maxsize=32)
def all_partitions(heads: int, groups: int, device: torch.device) -> Optional[Partitions]:
    """The partitions of the heads, made once and kept, or None if their table would be too large."""
    # Number of partitions (Stirling number of the second kind).
    number = sum((-1) ** (groups - c) * comb(groups, c) * c**heads for c in range(groups + 1)) // factorial(groups)
    if number * heads**2 > _LARGEST_TABLE:
        return None
    # Head by head, every group begun so far or the next one, while the heads left can fill the groups not begun.
    choices = torch.arange(groups, device="cpu")
    labels = torch.zeros(1, 0, dtype=torch.long, device="cpu")
    begun = torch.zeros(1, 1, dtype=torch.long, device="cpu")
    for left in reversed(range(heads)):
        begun_then = torch.maximum(begun, choices + 1)
        row, choice = ((choices <= begun) & (groups - begun_then <= left)).nonzero(as_tuple=True)
        labels = torch.cat([labels[row], choice.unsqueeze(1)], dim=1)
        begun = begun_then[row, choice].unsqueeze(1)
    together = (labels.unsqueeze(2) == labels.unsqueeze(1)).to(torch.float64)
    shares = (together / together.sum(-1, keepdim=True)).flatten(1).transpose(0, 1).contiguous()
    return Partitions(labels.to(device), shares.to(device))


def lloyd_labels(gram: Tensor, groups: int) -> Tensor:
    """Groups of the heads by Lloyd's algorithm, of euclidean distances.

    From deterministic starts, each pair of heads as the first two centres and the heads farthest from those taken as
    the others; of more than 120 starts, those whose centres lie nearest to the heads. The start that ends with the
    least inertia gives the result.

    Args:
        gram: (L, H, H) feature Gram matrices, float64.
        groups: C, 1 <= C <= H.

    Returns:
        (L, H) integers in 0..C-1, every group non-empty, groups numbered by their first head.
    """
    layers, heads, _ = gram.shape
    start = _starting_membership(gram, groups)
    # The heads a start takes stay in their groups, so that none is empty at first.
    labels = torch.where(start.any(2), start.int().max(2).indices, _nearest_centre(gram, start))
    for _ in range(_LLOYD_STEPS):
        nearest = _nearest_centre(gram, _membership_of_starts(labels, groups))
        filled = _membership_of_starts(nearest, groups).any(1).all(1, keepdim=True)
        labels = torch.where(filled, nearest, labels)  # a step that would empty a group is not taken
    best = _inertia_of_starts(gram, _membership_of_starts(labels, groups)).argmin(-1)
    labels = labels.gather(2, best[:, None, None].expand(layers, heads, 1)).squeeze(2)
    return _number_by_first_head(labels, groups)


def _membership_of_starts(labels: Tensor, groups: int) -> Tensor:
    """One-hot groups in S starts, which lie inside for speed. (L, H, S) -> (L, H, C, S) bool."""
    return labels.unsqueeze(2) == torch.arange(groups, device=labels.device).unsqueeze(1)


def _centres_of_starts(gram: Tensor, membership: Tensor) -> Tuple[Tensor, Tensor]:
    """As centre_products, for the S starts of a layer, which share its Gram matrix, in one product.

    (L, H, H), (L, H, C, S) -> head_centre (L, H, C, S), and squared norms of the centres (L, C, S).
    """
    mean_weights = membership / membership.sum(1, keepdim=True).to(gram.dtype)
    head_centre = (gram @ mean_weights.flatten(2)).view_as(membership)
    return head_centre, (head_centre * mean_weights).sum(1)


def _inertia_of_starts(gram: Tensor, membership: Tensor) -> Tensor:
    """Sum of the squared distances of the heads to their centres. (L, H, H), (L, H, C, S) -> (L, S)."""
    _, centre_norms = _centres_of_starts(gram, membership)
    total = gram.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True)
    return total - (membership.sum(1) * centre_norms).sum(1)


def _nearest_centre(gram: Tensor, membership: Tensor) -> Tensor:
    """Group whose centre is nearest to each head, in each start. (L, H, H), (L, H, C, S) -> (L, H, S)."""
    head_centre, centre_norms = _centres_of_starts(gram, membership)
    # Squared distance less <e_i, e_i>, which is the same for all centres.
    return (centre_norms.unsqueeze(1) - 2 * head_centre).min(2).indices


def _starting_membership(gram: Tensor, groups: int) -> Tensor:
    """Starting centres: start (a, b) takes heads a and b, then always the head farthest from those taken.

    (L, H, H) -> (L, H, C, S) bool, one head in each group; S = H*(H-1)/2 starts, but at most _MOST_STARTS.
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
    centres = torch.stack(chosen, dim=1)  # (L, C, S)
    if centres.size(2) > _MOST_STARTS:
        best = distance.sum(-1).argsort(dim=-1, stable=True)[:, :_MOST_STARTS]
        centres = centres.gather(2, best.unsqueeze(1).expand(-1, groups, -1))
    return centres.unsqueeze(1) == torch.arange(heads, device=gram.device)[:, None, None]


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
