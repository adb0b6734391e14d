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


def set_head_masks(masks: Mapping[GroupedAttention, Tensor], may_be_empty: bool = False) -> None:
    """Sets the masks (H,) of layers; all of them, or none if one does not fit.

    Raises:
        ValueError: if a mask has another length, or keeps no head and may not be empty.
    """
    for layer, mask in masks.items():
        layer.check_head_mask(mask, may_be_empty)
    for layer, mask in masks.items():
        layer.set_head_mask(mask, may_be_empty)


def masks_in_state(state_dict: Mapping[str, Tensor]) -> Dict[str, List[int]]:
    """Indexes of the heads that stay, by attention layer, of a model state dict."""
    suffix = "." + HEAD_MASK
    return {
        key[: -len(suffix)]: torch.nonzero(mask).flatten().tolist()
        for key, mask in state_dict.items()
        if key.endswith(suffix)
    }
