"""Feature Gram matrices: all the method needs of the feature maps of a layer's heads.

The hidden units, both terms of the group constraint (Eq. 4 B) and the vote (Algorithm 1) use the feature
maps e_1..e_k of a layer only through inner products. With E the k x F matrix of flattened feature maps,
G = E E^T holds them all; the matrices of several batches add up to the matrix of the batches together.
"""

from contextlib import nullcontext
from typing import Any, ContextManager, Optional, Tuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Floors under squared norms: a head whose features are all zero, or a group of heads that cancel out, gets
# cosine 0 and a finite gradient. Both are far below any norm met in training.
RELATIVE_FLOOR = 1e-12
ABSOLUTE_FLOOR = 1e-20


def feature_gram(features: Tensor, padding: Optional[Tensor] = None) -> Tensor:
    """Inner products of the feature maps of the heads of one layer.

    Args:
        features: feature maps of H heads at X positions of B sentences, (B, H, X, Y), of any floating type.
        padding: true at positions that do not count, (B, X), or None.

    Returns:
        (H, H) in float32 at least, differentiable once. Runs outside autocast, so also under --fp16 and --amp.
        Autograd keeps the features as they are, which the layer keeps anyway, and no copy of them.
    """
    return _FeatureGram.apply(features, None if padding is None else padding.to(torch.bool))


class _FeatureGram(torch.autograd.Function):
    """G = E E^T, with dE = (dG + dG^T) E; E (H, B*X*Y) is a passing copy, made anew where it is needed."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, padding: Optional[Tensor]) -> Tensor:
        ctx.save_for_backward(features, padding)
        # Sums do not depend on the order of positions: the one the features lie in is the fastest to copy.
        outside = _positions_outside_sentences(features)
        flat = features.permute((1, 2, 0, 3) if outside else (1, 0, 2, 3))
        flat = flat.to(_at_least_float32(features), memory_format=torch.contiguous_format, copy=True)
        if padding is not None:
            flat.masked_fill_((padding.t() if outside else padding).unsqueeze(-1), 0.0)
        flat = flat.flatten(1)
        with no_autocast(features.device):
            return flat @ flat.t()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tuple[Tensor, None]:
        features, padding = ctx.saved_tensors
        heads, both = features.size(1), grad + grad.t()
        if features.stride(1) > features.stride(2):  # attention maps: heads outside positions
            order, flattened = (0, 1, 2, 3), (2, 3)
        else:  # heads inside: one product for each position, without a transposed copy
            order, flattened = ((2, 0, 1, 3) if _positions_outside_sentences(features) else (0, 2, 1, 3)), (0, 1)
        maps = features.permute(order) if order[1] != 1 else features
        exact = maps.to(_at_least_float32(features)).flatten(*flattened)  # (N, H, features of each head)
        with no_autocast(features.device):
            product = torch.bmm(both.expand(exact.size(0), heads, heads), exact).view(maps.shape)
        features_grad = product.permute([order.index(d) for d in range(4)]) if order[1] != 1 else product
        if padding is not None:
            features_grad.masked_fill_(padding[:, None, :, None], 0.0)
        return features_grad.to(features.dtype), None


def _positions_outside_sentences(features: Tensor) -> bool:
    """Whether the memory of (B, H, X, Y) goes through positions last, as in fairseq's (T, B, E)."""
    return features.stride(2) > features.stride(0)


def no_autocast(device: torch.device) -> ContextManager:
    """Context in which --amp casts nothing to half precision: sums over a whole batch overflow it."""
    # Autocast does not know the meta device, on which a model has shapes only.
    return nullcontext() if device.type == "meta" else torch.autocast(device_type=device.type, enabled=False)


def _at_least_float32(tensor: Tensor) -> torch.dtype:
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


def squared_norms(gram: Tensor) -> Tensor:
    """Squared norms of the feature maps, floored above zero, (..., H). gram: (..., H, H)."""
    norms = gram.diagonal(dim1=-2, dim2=-1)
    floor = norms.detach().mean(-1, keepdim=True) * RELATIVE_FLOOR
    return torch.maximum(norms, floor + ABSOLUTE_FLOOR)


def group_membership(labels: Tensor, groups: int, dtype: torch.dtype) -> Tensor:
    """One-hot group of every head, (..., H, C). labels: integers in 0..C-1, (..., H)."""
    return (labels.unsqueeze(-1) == torch.arange(groups, device=labels.device)).to(dtype)


def centre_products(gram: Tensor, membership: Tensor) -> Tuple[Tensor, Tensor]:
    """Inner products with the hidden units, the means of the members of each group (HUDS of the paper).

    Args:
        gram: feature Gram matrices, (..., H, H).
        membership: one-hot groups, every group non-empty, (..., H, C).

    Returns:
        Products of heads with centres <e_i, z_c>, (..., H, C), and of centres with centres <z_c, z_d>, (..., C, C).
    """
    mean_weights = membership / membership.sum(-2, keepdim=True).clamp_min(1)
    head_centre = gram @ mean_weights
    return head_centre, mean_weights.transpose(-2, -1) @ head_centre


def head_centre_cosines(gram: Tensor, labels: Tensor, groups: int) -> Tensor:
    """Cosine of every head with the hidden unit of its own group, (..., H). gram: (..., H, H); labels: (..., H)."""
    membership = group_membership(labels, groups, gram.dtype)
    head_centre, centre_centre = centre_products(gram, membership)
    own = (head_centre * membership).sum(-1)
    centre_norms = squared_norms(centre_centre)
    own_centre_norms = (membership * centre_norms.unsqueeze(-2)).sum(-1)
    return own / (squared_norms(gram).sqrt() * own_centre_norms.sqrt())


def cosine_gram(gram: Tensor) -> Tensor:
    """Gram matrix of the feature maps scaled to unit length, (..., H, H). gram: (..., H, H)."""
    norms = squared_norms(gram).sqrt()
    return gram / (norms.unsqueeze(-1) * norms.unsqueeze(-2))
