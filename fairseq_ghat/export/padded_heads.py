"""Attention weights with silent heads added, for engines that want equally many heads in all layers."""

from typing import Dict, Tuple

import torch
from torch import Tensor

from fairseq_ghat.modules.grouped_attention import GroupedAttention
from fairseq_ghat.modules.head_slices import kept_features

# projection -> its weight and bias
Projections = Dict[str, Tuple[Tensor, Tensor]]


def padded_projections(layer: GroupedAttention, heads: int) -> Projections:
    """Copies of the projections of the heads a layer computes, with heads of zeros after them up to `heads`.

    A head of zeros attends to everything alike, to values of zero, and passes nothing on: the output is the same.

    Args:
        layer: K heads computed, of width D; model width E.
        heads: k', K or more.

    Returns:
        "q_proj", "k_proj", "v_proj" -> (k' D, .) and (k' D,); "out_proj" -> (E, k' D) and (E,). Without a bias in the
        layer, zeros.

    Raises:
        ValueError: if the layer computes more heads.
    """
    if layer.heads_computed > heads:
        raise ValueError(f"an attention layer of {layer.heads_computed} heads does not fit into {heads}")
    kept = kept_features(layer.head_mask, layer.head_dim)
    silent = (heads - layer.heads_computed) * layer.head_dim
    found: Projections = {}
    with torch.no_grad():
        for name in ("q_proj", "k_proj", "v_proj"):
            linear = getattr(layer, name)
            weight = linear.weight[kept]
            bias = weight.new_zeros(len(kept)) if linear.bias is None else linear.bias[kept]
            rows = weight.new_zeros(silent, weight.size(1))
            found[name] = torch.cat([weight, rows]), torch.cat([bias, bias.new_zeros(silent)])
        weight = layer.out_proj.weight[:, kept]
        bias = layer.out_proj.bias
        bias = weight.new_zeros(weight.size(0)) if bias is None else bias.clone()
        found["out_proj"] = torch.cat([weight, weight.new_zeros(weight.size(0), silent)], dim=1), bias
    return found
