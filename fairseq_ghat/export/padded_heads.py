"""Adds heads of zeros to attention weights, for engines that want the same number of heads in all layers."""

from typing import Dict, Tuple

import torch
from torch import Tensor
from torch.nn import functional

from fairseq_ghat.modules.grouped_attention import GroupedAttention
from fairseq_ghat.modules.unit_slices import INPUT_PROJECTIONS, kept_features

# Name of a projection -> its weight and bias.
Projections = Dict[str, Tuple[Tensor, Tensor]]


def padded_projections(layer: GroupedAttention, heads: int) -> Projections:
    """Copies the projections of the heads that a layer computes, and adds heads of zeros after them.

    A head of zeros attends to all positions alike, but its values are zero, so the output stays the same.

    Args:
        layer: attention layer of model width E that computes K heads of width D.
        heads: number of heads wanted, P >= K.

    Returns:
        "q_proj", "k_proj", "v_proj" -> weight (P D, .) and bias (P D,); "out_proj" -> weight (E, P D) and bias (E,).
        A bias that the layer lacks is zero.

    Raises:
        ValueError: if the layer computes more heads.
    """
    if layer.heads_computed > heads:
        raise ValueError(f"an attention layer of {layer.heads_computed} heads does not fit into {heads}")
    kept = kept_features(layer.head_mask, layer.head_dim)
    silent = (heads - layer.heads_computed) * layer.head_dim
    padded: Projections = {}
    with torch.no_grad():
        for name in INPUT_PROJECTIONS:
            linear = getattr(layer, name)
            weight = linear.weight[kept]
            bias = weight.new_zeros(len(kept)) if linear.bias is None else linear.bias[kept]
            padded[name] = functional.pad(weight, (0, 0, 0, silent)), functional.pad(bias, (0, silent))
        weight, bias = layer.out_proj.weight[:, kept], layer.out_proj.bias
        bias = weight.new_zeros(weight.size(0)) if bias is None else bias.clone()
        padded["out_proj"] = functional.pad(weight, (0, silent)), bias
    return padded
