"""Removes the heads that were voted out, in a model or in a checkpoint (GHA-PS of the paper)."""

import copy
from argparse import Namespace
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping

import torch
from torch import Tensor

from fairseq_ghat.checkpoints.model_options import KEPT_HEADS, for_inference, model_options
from fairseq_ghat.modules.grouped_attention import HEAD_MASK, NO_VOTE_YET
from fairseq_ghat.modules.head_slices import kept_features, slice_parameter


class NotSlimmable(ValueError):
    """The checkpoint has nothing that could be removed; the message says why."""


@dataclass
class Slimmed:
    """A slim checkpoint.

    Attributes:
        state: its content.
        heads_before: heads of each attention layer before, by layer name.
        heads_after: heads that are left.
    """

    state: Dict[str, Any]
    heads_before: Dict[str, int]
    heads_after: Dict[str, int]


def slim_checkpoint(state: Mapping[str, Any]) -> Slimmed:
    """The checkpoint with voted-out heads removed, without optimizer state and shadow (EMA) weights.

    The kept heads of each layer go into the model options, so that any fairseq command rebuilds the model.

    Args:
        state: a checkpoint saved after the vote.

    Raises:
        NotSlimmable: if the checkpoint is not of a grouped model, was never voted on, or is slim already.
    """
    masks = _head_masks(state["model"])
    options = model_options(state)
    if not masks or not isinstance(options, Namespace) or not hasattr(options, KEPT_HEADS):
        raise NotSlimmable("it holds no model of fairseq_ghat (an --arch that starts with ghat_transformer)")
    kept = kept_heads_in_state(state["model"])
    before = {name: mask.numel() for name, mask in masks.items()}
    if all(len(heads) == before[name] for name, heads in kept.items()):
        if options.kept_heads:
            raise NotSlimmable("it is slim already")
        if any(bool((mask != NO_VOTE_YET).any()) for mask in masks.values()):
            raise NotSlimmable("its vote kept all heads (--keep-heads all): there is nothing to remove")
        raise NotSlimmable("it was never voted on: all its heads stay (train with --vote-epoch, or ghat-vote, first)")

    slim = for_inference(state)
    slim["criterion"] = None  # the group classifiers of the criterion have done their work
    slim["model"] = slim_state_dict(state["model"])
    # Indexes always refer to the heads the model was first made with, also after a second vote.
    origin = options.kept_heads or {name: list(range(count)) for name, count in before.items()}
    slim["args"], slim["cfg"] = copy.deepcopy(state.get("args")), copy.deepcopy(state.get("cfg"))
    model_options(slim).kept_heads = {name: [origin[name][head] for head in heads] for name, heads in kept.items()}
    return Slimmed(slim, before, {name: len(heads) for name, heads in kept.items()})


def slim_state_dict(state_dict: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """Model weights without the rows and columns of the heads voted out; other tensors are not copied.

    Raises:
        ValueError: if the features of an attention layer do not divide into its heads; names the layer.
    """
    slim = dict(state_dict)
    for layer, mask in _head_masks(state_dict).items():
        prefix = f"{layer}."
        head_dim, rest = divmod(state_dict[f"{prefix}q_proj.weight"].size(0), mask.numel())
        if rest:
            raise ValueError(f"{layer}: its features do not divide into {mask.numel()} heads")
        features = kept_features(mask, head_dim)
        for key in [key for key in state_dict if key.startswith(prefix)]:
            slim[key] = slice_parameter(key[len(prefix) :], state_dict[key], features)
        slim[prefix + HEAD_MASK] = torch.full((int((mask != 0).sum()),), NO_VOTE_YET)
    return slim


def _head_masks(state_dict: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """Head mask of each attention layer of a model state dict, by layer name."""
    suffix = "." + HEAD_MASK
    return {key[: -len(suffix)]: mask for key, mask in state_dict.items() if key.endswith(suffix)}


def kept_heads_in_state(state_dict: Mapping[str, Tensor]) -> Dict[str, List[int]]:
    """Indexes of the heads that stay in each attention layer of a model state dict, by layer name."""
    return {name: mask.nonzero().flatten().tolist() for name, mask in _head_masks(state_dict).items()}
