"""The group constraint (paper, Eq. 4), in its metric form (4 B) and its classification form (4 A).

Metric form: with phi = negative cosine similarity,

    L_z = alpha * mean over layers and heads of phi(e_i, z_group(i))            (homogenisation)
          - beta * mean over layers and group pairs of phi(z_c, z_d)            (diversification)

so a lower L_z means heads closer to the hidden unit of their own group and hidden units farther apart.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from fairseq_ghat.core.gram_matrix import ABSOLUTE_FLOOR, RELATIVE_FLOOR, group_membership
from fairseq_ghat.core.hidden_units import all_partitions, discover

# How far apart the hidden units of a layer are. "cosine", the paper's: mean phi, highest (1) where centres are
# opposite; or "squared": mean of minus the squared cosine, highest (0) where they are orthogonal. A head that is the
# negative of another carries nothing new, so opposite centres need not mean different heads.
DIVERSITIES = ("cosine", "squared")


@dataclass
class GroupConstraint:
    """L_z and what it is made of, averaged over layers; scalars."""

    loss: Tensor  # L_z, differentiable once
    homogeneity: Tensor  # mean cosine of a head with the hidden unit of its group
    diversity: Tensor  # mean negative (squared) cosine between the hidden units of a layer; 0 for one group
    labels: List[Tensor]  # groups (L_s, H_s) of each stack
    layers: int  # attention layers averaged over


def group_constraint(
    grams: Sequence[Tensor],
    groups: int,
    alpha: float,
    beta: float,
    distance: str = "euclidean",
    diversity_form: str = "cosine",
) -> GroupConstraint:
    """Group constraint over all attention layers, hidden units found afresh (Eq. 4 B).

    Args:
        grams: feature Gram matrices, symmetric, one stack (L_s, H_s, H_s) per number of heads.
        groups: C.
        alpha: weight of homogenisation.
        beta: weight of diversification.
        distance: see hidden_unit_labels.
        diversity_form: one of DIVERSITIES.

    Raises:
        ValueError: without any Gram matrix, for a group count outside 1..H, or an unknown form or distance.
    """
    if not grams:
        raise ValueError("the group constraint needs the feature Gram matrix of at least one layer")
    if diversity_form not in DIVERSITIES:
        raise ValueError(f"diversity must be one of {', '.join(DIVERSITIES)}, got {diversity_form!r}")
    layers = sum(gram.size(0) for gram in grams)
    weights = (alpha, beta, diversity_form, layers)
    homogeneity, diversity, loss, *labels = _Constraint.apply(groups, distance, weights, *grams)
    return GroupConstraint(loss, homogeneity, diversity, labels, layers)


class _Constraint(torch.autograd.Function):
    """L_z and its gradient at once: both are small, and an operation costs a GPU more than its arithmetic."""

    @staticmethod
    def forward(ctx: Any, groups: int, distance: str, weights: Tuple, *grams: Tensor) -> Tuple[Tensor, ...]:
        labels, values, gradients = [], [], []
        for gram in grams:
            exact = gram.to(torch.float64)
            groups_of_heads, rows = discover(exact, groups, distance)
            vectors = _vectors(groups_of_heads, rows, groups)
            terms = _terms(gram.size(-1), groups, *weights, gram.device)
            value, gradient = _value_and_gradient(exact, vectors, terms, any(ctx.needs_input_grad))
            labels.append(groups_of_heads)
            values.append(value)
            gradients.append(gradient if gradient is None else gradient.to(gram.dtype))
        ctx.save_for_backward(*gradients)
        ctx.set_materialize_grads(False)  # the loss alone has a gradient
        homogeneity, diversity, loss = torch.cat(values).mean(0).to(grams[0].dtype).unbind()
        ctx.mark_non_differentiable(homogeneity, diversity, *labels)
        return homogeneity, diversity, loss, *labels

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Optional[Tensor]) -> Tuple[Optional[Tensor], ...]:
        of_loss = grads[2]
        return None, None, None, *(None if of_loss is None else of_loss * each for each in ctx.saved_tensors)


def _value_and_gradient(
    gram: Tensor, vectors: Tensor, terms: "_Terms", with_gradient: bool
) -> Tuple[Tensor, Optional[Tensor]]:
    """Homogeneity, diversity and L_z of each layer, (L, 3), and the gradient of their mean L_z, (L, H, H) or None.

    With V (H, N) the vectors at unit length, as weights of the heads, and P (N, N) the weights of the pairs, the sum
    of P_mn <v_m, v_n> has the gradient V (P - diag(s)) V^T, where s_n, the sum of P_mn <v_m, v_n> over m, is the part
    of v_n. Where squared cosines count, P itself is made of cosines, and their gradient is twice that.
    """
    products = torch.bmm(gram, vectors)  # <e_i, v_n>
    norms = (products * vectors).sum(1)
    floors = torch.addmm(terms.least, norms, terms.floors)
    scale = torch.maximum(norms, floors).rsqrt().unsqueeze(1)
    units, products = vectors * scale, products * scale
    pairs = terms.pairs.expand(len(gram), -1, -1)
    if terms.squared is not None:
        pairs = torch.addcmul(pairs, terms.squared, torch.bmm(units.transpose(1, 2), products))
    partners = torch.bmm(units, pairs)
    parts = (partners * products).sum(1)
    values = parts @ terms.readings
    if not with_gradient:
        return values, None
    parts = parts * (norms > floors)  # a floor does not change with the features
    change = torch.addcmul(partners, units, parts.unsqueeze(1), value=-1)
    return values, torch.bmm(change, (units * terms.slopes).transpose(1, 2))


def _vectors(labels: Tensor, rows: Optional[Tensor], groups: int) -> Tensor:
    """The N = 2H + C vectors whose cosines L_z is made of: every head, the hidden unit of each head, and every hidden
    unit, as weighted sums of heads. Labels (L, H) and rows (L,) of all_partitions -> weights (L, H, N)."""
    if rows is None:
        return _make_vectors(labels, groups)
    return _vectors_of_all_partitions(labels.size(-1), groups, labels.device).index_select(0, rows)


@lru_cache(maxsize=32)
def _vectors_of_all_partitions(heads: int, groups: int, device: torch.device) -> Tensor:
    partitions = all_partitions(heads, groups, device)
    assert partitions is not None  # rows were chosen of it
    return _make_vectors(partitions.labels, groups)


def _make_vectors(labels: Tensor, groups: int) -> Tensor:
    membership = group_membership(labels, groups, torch.float64)
    units = membership / membership.sum(1, keepdim=True)
    heads = torch.eye(labels.size(1), dtype=torch.float64, device=labels.device).expand(len(labels), -1, -1)
    return torch.cat([heads, units @ membership.transpose(1, 2), units], dim=2)


class _Terms(NamedTuple):
    """What makes L_z of the cosines of N vectors, float64."""

    pairs: Tensor  # (N, N) weight of the cosine of each pair
    squared: Optional[Tensor]  # (N, N) weight of the squared cosine of each pair, if any counts
    readings: Tensor  # (N, 3) from the parts of the vectors to homogeneity, diversity and L_z
    slopes: Tensor  # (N,) from the gradient of a part to that of L_z, the mean of all layers
    floors: Tensor  # (N, N) from squared norms to their floors, as squared_norms has them
    least: Tensor  # (N,) least floors


@lru_cache(maxsize=128)  # LayerDrop leaves another number of layers at each step
def _terms(heads: int, groups: int, alpha: float, beta: float, form: str, layers: int, device: torch.device) -> _Terms:
    size = 2 * heads + groups
    head, own, unit = slice(heads), slice(heads, 2 * heads), slice(2 * heads, size)
    homogeneity, diversity, floors = torch.zeros(3, size, size, dtype=torch.float64, device="cpu").unbind()
    homogeneity[head, own].fill_diagonal_(1 / (2 * heads))  # each pair stands twice
    homogeneity[own, head].fill_diagonal_(1 / (2 * heads))
    diversity[unit, unit] = -1 / max(groups * (groups - 1), 1)
    diversity.fill_diagonal_(0)
    floors[head, head] = RELATIVE_FLOOR / heads
    floors[unit, heads:] = RELATIVE_FLOOR / groups
    readings = torch.zeros(size, 3, dtype=torch.float64, device="cpu")
    readings[: 2 * heads, 0], readings[unit, 1] = 1, 1
    readings[:, 2] = -alpha * readings[:, 0] - beta * readings[:, 1]
    slopes = readings[:, 2] / layers
    if form == "squared":
        slopes[unit] *= 2
        pairs, squared = homogeneity, diversity.to(device)
    else:
        pairs, squared = homogeneity + diversity, None
    least = torch.full((size,), ABSOLUTE_FLOOR, dtype=torch.float64, device="cpu")
    return _Terms(pairs.to(device), squared, *(each.to(device) for each in (readings, slopes, floors, least)))


def classification_constraint(logits: Tensor, labels: Tensor, alpha: float, beta: float) -> Tensor:
    """L_z of each layer in the classification form (Eq. 4 A).

    A classifier p(z | e) tells the group of a head from its feature map:

        L_z = - alpha          * mean over layers and heads of log p(own group)                  (homogenisation)
              + beta / (C - 1) * mean over layers and heads of the sum of log p(other groups)    (diversification)

    The groups are those of the same unsupervised discovery as in the metric form, numbered by their first head, so
    that a number keeps its meaning from batch to batch while the groups stay the same.

    Args:
        logits: of the classifier, (L, H, C).
        labels: group of each head, (L, H).
        alpha: weight of homogenisation.
        beta: weight of diversification; the term is 0 for one group.

    Returns:
        (L,).
    """
    groups = logits.size(-1)
    log_probability = F.log_softmax(logits, dim=-1)
    own = log_probability.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    loss = -alpha * own.mean(-1)
    if groups > 1:
        loss = loss + beta / (groups - 1) * (log_probability.sum(-1) - own).mean(-1)
    return loss


def own_group_probability(logits: Tensor, labels: Tensor) -> Tensor:
    """p(z_i | e_i), the pattern score of Eq. 4 A, (L, H). logits: of the classifier, (L, H, C); labels: (L, H)."""
    return torch.softmax(logits, dim=-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1)
