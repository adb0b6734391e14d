"""The group constraint, classification form (paper, Eq. 4 A).

A classifier p(z | e) tells the group of a head from its feature map:

    L_z = - alpha          * mean over layers and heads of log p(own group)                  (homogenisation)
          + beta / (C - 1) * mean over layers and heads of the sum of log p(other groups)    (diversification)

The groups are those of the same unsupervised discovery as in the metric form, numbered by their first head, so
that a number keeps its meaning from batch to batch while the groups stay the same.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def classification_constraint(logits: Tensor, labels: Tensor, alpha: float, beta: float) -> Tensor:
    """L_z of each layer. logits (L, H, C), labels (L, H) -> (L,); the second term is 0 for one group."""
    groups = logits.size(-1)
    log_probability = F.log_softmax(logits, dim=-1)
    own = log_probability.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    loss = -alpha * own.mean(-1)
    if groups > 1:
        loss = loss + beta / (groups - 1) * (log_probability.sum(-1) - own).mean(-1)
    return loss


def own_group_probability(logits: Tensor, labels: Tensor) -> Tensor:
    """p(z_i | e_i), the pattern score of the classification form. (L, H, C), (L, H) -> (L, H)."""
    return torch.softmax(logits, dim=-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1)
