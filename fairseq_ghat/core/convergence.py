"""When the hidden units have converged (rho of the paper, Algorithm 1)."""

import torch
from torch import Tensor

from fairseq_ghat.core.feature_gram import cosine_gram


def relative_change(before: Tensor, after: Tensor) -> Tensor:
    """How far the feature maps of each layer moved relative to one another between two epochs.

    All cosines of heads with centres and of centres with centres are functions of the Gram matrix of
    unit-length feature maps, so a small change of it means that the hidden units stand still.

    Args:
        before, after: (L, H, H) Gram matrices, each summed over an epoch; their scale does not matter.

    Returns:
        (L,) Frobenius norm of the difference over the norm of `before`, both of unit-length feature maps.
    """
    before, after = cosine_gram(before), cosine_gram(after)
    return torch.linalg.matrix_norm(after - before) / torch.linalg.matrix_norm(before)
