"""The group constraint (paper, Eq. 4), in its metric form (4 B) and its classification form (4 A).

Metric form: with phi = negative cosine similarity,

    L_z = alpha * mean over layers and heads of phi(e_i, z_group(i))            (homogenisation)
          - beta * mean over layers and group pairs of phi(z_c, z_d)            (diversification)

so a lower L_z means heads closer to the hidden unit of their own group and hidden units farther apart.
"""

from dataclasses import dataclass
from typing import List, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from fairseq_ghat.core.gram_matrix import centre_cosines, head_centre_cosines, no_autocast
from fairseq_ghat.core.hidden_units import hidden_unit_labels

DIVERSITIES = ("cosine", "squared")


@dataclass
class GroupConstraint:
    """L_z and what it is made of, averaged over layers; scalars."""

    loss: Tensor  # L_z, differentiable
    homogeneity: Tensor  # mean cosine of a head with the hidden unit of its group
    diversity: Tensor  # mean negative (squared) cosine between the hidden units of a layer; 0 for one group
    labels: List[Tensor]  # groups (L_s, H_s) of each stack
    layers: int  # attention layers averaged over


def homogeneity(gram: Tensor, labels: Tensor, groups: int) -> Tensor:
    """Mean cosine of the heads with their own hidden unit, (L,). gram: (L, H, H); labels: (L, H)."""
    return head_centre_cosines(gram, labels, groups).mean(-1)


def diversity(gram: Tensor, labels: Tensor, groups: int, form: str = "cosine") -> Tensor:
    """How far apart the hidden units of a layer are, per layer.

    Args:
        gram: feature Gram matrices, (L, H, H).
        labels: group of each head, (L, H).
        groups: C.
        form: "cosine", the paper's: mean phi, highest (1) where centres are opposite; or "squared": mean of
            minus the squared cosine, highest (0) where they are orthogonal. A head that is the negative of
            another carries nothing new, so opposite centres need not mean different heads.

    Returns:
        (L,).

    Raises:
        ValueError: for another form.
    """
    if form not in DIVERSITIES:
        raise ValueError(f"diversity must be one of {', '.join(DIVERSITIES)}, got {form!r}")
    if groups == 1:
        return gram.new_zeros(gram.size(0))
    cosines = centre_cosines(gram, labels, groups)
    rows, columns = torch.triu_indices(groups, groups, offset=1, device=gram.device)
    between = cosines[:, rows, columns]
    return -(between if form == "cosine" else between.square()).mean(-1)


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
        grams: feature Gram matrices, one stack (L_s, H_s, H_s) per number of heads.
        groups: C.
        alpha: weight of homogenisation.
        beta: weight of diversification.
        distance: see hidden_unit_labels.
        diversity_form: see diversity.

    Raises:
        ValueError: without any Gram matrix, for a group count outside 1..H, or an unknown form or distance.
    """
    if not grams:
        raise ValueError("the group constraint needs the feature Gram matrix of at least one layer")
    labels, homogeneities, diversities = [], [], []
    with no_autocast(grams[0].device):
        for gram in grams:
            labels.append(hidden_unit_labels(gram.detach(), groups, distance))
            homogeneities.append(homogeneity(gram, labels[-1], groups))
            diversities.append(diversity(gram, labels[-1], groups, diversity_form))
    mean_homogeneity = torch.cat(homogeneities).mean()
    mean_diversity = torch.cat(diversities).mean()
    return GroupConstraint(
        loss=-alpha * mean_homogeneity - beta * mean_diversity,
        homogeneity=mean_homogeneity,
        diversity=mean_diversity,
        labels=labels,
        layers=sum(gram.size(0) for gram in grams),
    )


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
