"""Feature Gram matrices: all the method needs of the feature maps of a layer's heads.

The hidden units, both terms of the group constraint (Eq. 4 B) and the vote (Algorithm 1) use the feature
maps e_1..e_k of a layer only through inner products. With E the k x F matrix of flattened feature maps,
G = E E^T holds them all; the matrices of several batches add up to the matrix of the batches together.
"""

import torch
from torch import Tensor

# Floors under squared norms: a head whose features are all zero, or a group of heads that cancel out, gets
# cosine 0 and a finite gradient. Both are far below any norm met in training.
_RELATIVE_FLOOR = 1e-12
_ABSOLUTE_FLOOR = 1e-20


def feature_gram(features: Tensor) -> Tensor:
    """Inner products of the feature maps of the heads of one layer.

    Args:
        features: (H, F), one flattened feature map per head, padding zeroed; any floating type.

    Returns:
        (H, H) in float32 at least, differentiable. Runs outside autocast, so also under --fp16 and --amp.
    """
    with torch.autocast(device_type=features.device.type, enabled=False):
        if features.dtype != torch.float64:
            features = features.float()
        return features @ features.transpose(0, 1)


def squared_norms(gram: Tensor) -> Tensor:
    """Squared norms of the feature maps, floored above zero. (..., H, H) -> (..., H)."""
    norms = gram.diagonal(dim1=-2, dim2=-1)
    floor = norms.detach().mean(-1, keepdim=True) * _RELATIVE_FLOOR
    return torch.maximum(norms, floor + _ABSOLUTE_FLOOR)


def group_membership(labels: Tensor, groups: int, dtype: torch.dtype) -> Tensor:
    """One-hot group of every head. labels (..., H) of integers in 0..C-1 -> (..., H, C)."""
    return (labels.unsqueeze(-1) == torch.arange(groups, device=labels.device)).to(dtype)


def centre_products(gram: Tensor, membership: Tensor):
    """Inner products with the hidden units, the means of the members of each group (HUDS of the paper).

    Args:
        gram: (..., H, H).
        membership: (..., H, C), one-hot, every group non-empty.

    Returns:
        head_centre (..., H, C), <e_i, z_c>, and centre_centre (..., C, C), <z_c, z_d>.
    """
    mean_weights = membership / membership.sum(-2, keepdim=True).clamp_min(1)
    head_centre = gram @ mean_weights
    return head_centre, mean_weights.transpose(-2, -1) @ head_centre


def head_centre_cosines(gram: Tensor, labels: Tensor, groups: int) -> Tensor:
    """Cosine of every head with the hidden unit of its own group. (..., H, H), (..., H) -> (..., H)."""
    membership = group_membership(labels, groups, gram.dtype)
    head_centre, centre_centre = centre_products(gram, membership)
    own = (head_centre * membership).sum(-1)
    centre_norms = squared_norms(centre_centre)
    own_centre_norms = (membership * centre_norms.unsqueeze(-2)).sum(-1)
    return own / (squared_norms(gram).sqrt() * own_centre_norms.sqrt())


def centre_cosines(gram: Tensor, labels: Tensor, groups: int) -> Tensor:
    """Cosines between the hidden units of a layer. (..., H, H), (..., H) -> (..., C, C)."""
    membership = group_membership(labels, groups, gram.dtype)
    _, centre_centre = centre_products(gram, membership)
    norms = squared_norms(centre_centre).sqrt()
    return centre_centre / (norms.unsqueeze(-1) * norms.unsqueeze(-2))


def cosine_gram(gram: Tensor) -> Tensor:
    """Gram matrix of the feature maps scaled to unit length. (..., H, H) -> (..., H, H)."""
    norms = squared_norms(gram).sqrt()
    return gram / (norms.unsqueeze(-1) * norms.unsqueeze(-2))
