"""Checkpoints of which a vote removed heads (GHA-PS of the paper) or neurons, made as small as they go.

A vote removes heads from the model at once. Earlier versions masked them; of their checkpoints they are removed here.
"""

import copy
from argparse import Namespace
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping

import torch
from torch import Tensor

from fairseq_ghat.checkpoints.kept_units import KEPT_NEURONS
from fairseq_ghat.checkpoints.model_options import KEPT_HEADS, KeptHeads, for_inference, model_options, options_by_name
from fairseq_ghat.checkpoints.stock_conversion import as_stock_checkpoint
from fairseq_ghat.modules.grouped_attention import HEAD_MASK, NO_VOTE_YET, VOTED_TO_STAY
from fairseq_ghat.modules.unit_slices import kept_features, slice_parameter


class NotSlimmable(ValueError):
    """The checkpoint has nothing that could be removed; the message says why."""


@dataclass
class Slimmed:
    """A slim checkpoint.

    Attributes:
        state: its content.
        heads_before: heads that each attention layer held weights for before, by layer name.
        heads_after: heads that are left.
        is_stock: whether the content is that of fairseq's own model.
    """

    state: Dict[str, Any]
    heads_before: Dict[str, int]
    heads_after: Dict[str, int]
    is_stock: bool


def slim_checkpoint(state: Mapping[str, Any]) -> Slimmed:
    """The checkpoint without heads that were voted out, without optimizer state and shadow (EMA) weights.

    What was kept of each layer goes into the model options, so that any fairseq command rebuilds the model. If only
    neurons were removed, as many in every layer of a side, the result is a checkpoint of fairseq's own model.

    Args:
        state: a checkpoint saved after the vote.

    Raises:
        NotSlimmable: if the checkpoint is not of a grouped model, was never voted on, or its vote removed nothing.
    """
    masks = _head_masks(state["model"])
    options = model_options(state)
    if not masks or not isinstance(options, Namespace) or not hasattr(options, KEPT_HEADS):
        raise NotSlimmable("it holds no model of fairseq_ghat (an --arch that starts with ghat_transformer)")
    kept = kept_heads_in_checkpoint(state)
    every_head = all(
        len(heads) == getattr(options, f"{name.split('.')[0]}_attention_heads") for name, heads in kept.items()
    )
    if every_head and not getattr(options, KEPT_NEURONS, None):
        if any(bool((mask != NO_VOTE_YET).any()) for mask in masks.values()):
            raise NotSlimmable("its vote kept all heads (--keep-heads all): there is nothing to remove")
        raise NotSlimmable("it was never voted on: all its heads stay (train with --vote-epoch, or ghat-vote, first)")

    slim = for_inference(state)
    slim["criterion"] = None  # the group classifiers of the criterion have done their work
    slim["model"] = slim_state_dict(state["model"])
    slim["args"], slim["cfg"] = copy.deepcopy(state.get("args")), copy.deepcopy(state.get("cfg"))
    model_options(slim).kept_heads = kept
    before, after = ({name: mask.numel() for name, mask in _head_masks(s["model"]).items()} for s in (state, slim))
    stock = as_stock_checkpoint(slim)
    return Slimmed(stock or slim, before, after, is_stock=stock is not None)


def slim_state_dict(state_dict: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """Model weights without the rows and columns of the heads voted out; other tensors are not copied.

    Raises:
        ValueError: if the features of an attention layer do not divide into its heads; names the layer.
    """
    slim = dict(state_dict)
    for layer, mask in _head_masks(state_dict).items():
        if bool(mask.all()):  # nothing to remove, or removed already, perhaps all of it
            continue
        prefix = f"{layer}."
        head_dim, rest = divmod(state_dict[f"{prefix}q_proj.weight"].size(0), mask.numel())
        if rest:
            raise ValueError(f"{layer}: its features do not divide into {mask.numel()} heads")
        features = kept_features(mask, head_dim)
        for key in [key for key in state_dict if key.startswith(prefix)]:
            slim[key] = slice_parameter(key[len(prefix) :], state_dict[key], features)
        slim[prefix + HEAD_MASK] = torch.full((int((mask != 0).sum()),), VOTED_TO_STAY)
    return slim


def _head_masks(state_dict: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """Head mask of each attention layer of a model state dict, by layer name."""
    suffix = "." + HEAD_MASK
    return {key[: -len(suffix)]: mask for key, mask in state_dict.items() if key.endswith(suffix)}


def kept_heads_in_state(state_dict: Mapping[str, Tensor]) -> Dict[str, List[int]]:
    """Indexes of the heads that are computed among those held, of each attention layer of a model state dict."""
    return {name: mask.nonzero().flatten().tolist() for name, mask in _head_masks(state_dict).items()}


def kept_heads_in_checkpoint(state: Mapping[str, Any]) -> KeptHeads:
    """Indexes of the heads that stay among those the model was made with, by name of the attention layer."""
    kept, record = kept_heads_in_state(state["model"]), options_by_name(model_options(state)).get(KEPT_HEADS)
    return {name: [record[name][head] for head in heads] if record else heads for name, heads in kept.items()}
