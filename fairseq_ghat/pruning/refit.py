"""Refits the output projections of a model to the heads that stay, before the others are masked."""

from typing import Dict

import torch
from torch import Tensor

from fairseq_ghat.core.output_refit import OutputMoments, SingularRefit, refit_output_projection
from fairseq_ghat.modules.grouped_attention import GroupedAttention

REFITS = ("none", "output")


@torch.no_grad()
def refit_kept_heads(
    kept: Dict[GroupedAttention, Tensor],
    moments: Dict[GroupedAttention, OutputMoments],
    names: Dict[GroupedAttention, str],
) -> None:
    """Replaces weights (of the kept heads) and bias of the output projections; all layers, or none if one fails.

    Args:
        kept: (H,) bool, heads that stay, by layer.
        moments: of the head outputs over the data, by layer.
        names: layer names, for messages.

    Raises:
        ValueError: if a layer has no bias, or its least squares are singular; names the layer.
    """
    refitted = {}
    for layer, mask in kept.items():
        features = mask.to(layer.out_proj.weight.device).bool().repeat_interleave(layer.head_dim)
        if layer.out_proj.bias is None:
            raise ValueError(f"--refit output: {names[layer]} has an output projection without bias")
        try:
            refitted[layer] = (features, *refit_output_projection(layer.out_proj.weight, moments[layer], features))
        except SingularRefit as error:
            raise ValueError(f"--refit output: {names[layer]}: {error}; use --refit none") from None
    for layer, (features, weight, bias_change) in refitted.items():
        projection = layer.out_proj
        projection.weight[:, features] = weight.to(projection.weight)
        projection.bias += bias_change.to(projection.bias)
