"""Which rows and columns of an attention layer's projections belong to which head: the one place that says so.

Head h of width D owns the features h*D .. (h+1)*D - 1. They are rows of the weights and the biases of the query, key
and value projections, and columns of the weight of the output projection, whose bias belongs to all heads.
"""

from typing import Optional

from torch import Tensor

INPUT_PROJECTIONS = ("q_proj", "k_proj", "v_proj")
OUTPUT_PROJECTION = "out_proj"


def per_feature(per_head: Tensor, head_dim: int) -> Tensor:
    """A value of each head as a value of each of its features, (..., H*D).

    Args:
        per_head: (..., H).
        head_dim: D.
    """
    return per_head.repeat_interleave(head_dim, -1)


def kept_features(kept: Tensor, head_dim: int) -> Tensor:
    """Indexes of the features of the heads that stay, (K*D,), increasing.

    Args:
        kept: not zero for heads that stay, (H,).
        head_dim: D.
    """
    return per_feature(kept != 0, head_dim).nonzero().squeeze(-1)


def head_axis(name: str) -> Optional[int]:
    """The dimension of a parameter along which the features of the heads lie; None if it belongs to no head.

    Args:
        name: as in the layer, such as "q_proj.weight".
    """
    projection, _, kind = name.rpartition(".")
    if projection in INPUT_PROJECTIONS:
        return 0
    return 1 if projection == OUTPUT_PROJECTION and kind == "weight" else None


def slice_parameter(name: str, parameter: Tensor, features: Tensor) -> Tensor:
    """The part of a parameter that belongs to some features.

    Args:
        name: as in the layer, such as "q_proj.weight".
        parameter: (H*D, E) or (H*D,) of an input projection, (E, H*D) or (E,) of the output projection, or another
            parameter of the layer, which belongs to no head.
        features: indexes of the features, (K*D,).

    Returns:
        (K*D, E), (K*D,), (E, K*D), or the parameter itself where it belongs to no head.
    """
    axis = head_axis(name)
    return parameter if axis is None else parameter.index_select(axis, features.to(parameter.device))
