"""Which heads of a model stay: reading, setting and describing the head masks."""

from typing import Dict, List, Mapping

import torch
from torch import Tensor, nn

from fairseq_ghat.modules.grouped_attention import HEAD_MASK, GroupedAttention, grouped_attentions


def is_voted(model: nn.Module) -> bool:
    """Whether any head of the model was voted out or removed."""
    return any(attention.voted for attention in grouped_attentions(model).values())


def heads_per_layer(model: nn.Module) -> Dict[str, int]:
    """Heads computed in each attention layer, by layer name."""
    return {name: attention.heads_computed for name, attention in grouped_attentions(model).items()}


def set_head_masks(layers: List[GroupedAttention], masks: Tensor) -> None:
    """Sets the masks (L, H) of L layers; all of them, or none if one does not fit."""
    for layer, mask in zip(layers, masks):
        if mask.numel() != layer.heads_held:
            raise ValueError(f"head mask of {mask.numel()} heads for {layer.heads_held} heads")
    for layer, mask in zip(layers, masks):
        layer.set_head_mask(mask)


def masks_in_state(state_dict: Mapping[str, Tensor]) -> Dict[str, List[int]]:
    """Indexes of the heads that stay, by attention layer, of a model state dict."""
    suffix = "." + HEAD_MASK
    return {
        key[: -len(suffix)]: torch.nonzero(mask).flatten().tolist()
        for key, mask in state_dict.items()
        if key.endswith(suffix)
    }
