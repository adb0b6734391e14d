"""Removes the heads that were voted out, in a model or in a checkpoint (GHA-PS of the paper)."""

import copy
from argparse import Namespace
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping

import torch
from torch import Tensor, nn

from fairseq_ghat.modules.grouped_attention import HEAD_MASK, NO_VOTE_YET, feature_rows, grouped_attentions
from fairseq_ghat.pruning.masks import masks_in_state

# Attribute of the model config that names, for every attention layer, the original indexes of its heads.
KEPT_HEADS = "kept_heads"

KeptHeads = Dict[str, List[int]]


class NotSlimmable(ValueError):
    """The checkpoint has nothing that could be removed; the message says why."""


def remove_heads(model: nn.Module, kept_heads: Mapping[str, List[int]]) -> None:
    """Cuts the attention layers of a freshly built model down to the heads a slim checkpoint holds.

    Raises:
        ValueError: if a layer does not exist or a head index does not fit; names the layer.
    """
    attentions = grouped_attentions(model)
    for name, kept in kept_heads.items():
        if name not in attentions:
            raise ValueError(f"slim checkpoint: the model has no attention layer {name}")
        heads = attentions[name].num_heads
        if sorted(set(kept)) != list(kept) or not all(0 <= head < heads for head in kept):
            allowed = f"increasing indexes in 0..{heads - 1}"
            raise ValueError(f"slim checkpoint: {name} keeps heads {kept}, allowed are {allowed}")
    for name, kept in kept_heads.items():
        if len(kept) < attentions[name].heads_held:
            attentions[name].remove_heads(kept)


def slim_state_dict(state_dict: Mapping[str, Tensor], kept: KeptHeads) -> Dict[str, Tensor]:
    """Model weights with the rows and columns of the removed heads cut out; the other tensors are not copied."""
    slim = {}
    for key, tensor in state_dict.items():
        layer, _, parameter = key.rpartition(".")
        attention, _, projection = layer.rpartition(".")
        if layer in kept and parameter == HEAD_MASK:
            tensor = torch.full((len(kept[layer]),), NO_VOTE_YET)
        elif attention in kept and projection in ("q_proj", "k_proj", "v_proj"):
            tensor = tensor[_feature_rows(kept[attention], tensor.size(0), state_dict, attention)]
        elif attention in kept and projection == "out_proj" and parameter == "weight":
            tensor = tensor[:, _feature_rows(kept[attention], tensor.size(1), state_dict, attention)]
        slim[key] = tensor
    return slim


def _feature_rows(kept: List[int], features: int, state_dict: Mapping[str, Tensor], attention: str) -> Tensor:
    heads = state_dict[f"{attention}.{HEAD_MASK}"].numel()
    head_dim, rest = divmod(features, heads)
    if rest:
        raise ValueError(f"{attention}: {features} features do not divide into {heads} heads")
    return feature_rows(kept, head_dim)


@dataclass
class Slimmed:
    """A slim checkpoint and the heads of each attention layer before and after."""

    state: Dict[str, Any]
    heads_before: Dict[str, int]
    heads_after: Dict[str, int]


def slim_checkpoint(state: Mapping[str, Any]) -> Slimmed:
    """The checkpoint with voted-out heads removed, without optimizer state and shadow (EMA) weights.

    The kept heads of each layer go into the model config, so that any fairseq command rebuilds the model.

    Raises:
        NotSlimmable: if the checkpoint is not of a grouped model, was never voted on, or is slim already.
    """
    masks = masks_in_state(state["model"])
    config = model_config(state)
    if not masks or not isinstance(config, Namespace) or not hasattr(config, KEPT_HEADS):
        raise NotSlimmable("it holds no model of fairseq_ghat (an --arch that starts with ghat_transformer)")
    before = {name: state["model"][f"{name}.{HEAD_MASK}"].numel() for name in masks}
    if all(len(kept) == before[name] for name, kept in masks.items()):
        if config.kept_heads:
            raise NotSlimmable("it is slim already")
        if any((state["model"][f"{name}.{HEAD_MASK}"] != NO_VOTE_YET).any() for name in masks):
            raise NotSlimmable("its vote kept all heads (--keep-heads all): there is nothing to remove")
        raise NotSlimmable("it was never voted on: all its heads stay (train with --vote-epoch, or ghat-vote, first)")

    slim = for_inference(state)
    slim["criterion"] = None  # the group classifiers of the criterion have done their work
    slim["model"] = slim_state_dict(state["model"], masks)
    # Indexes always refer to the heads the model was first made with, also after a second vote.
    origin = config.kept_heads or {name: list(range(count)) for name, count in before.items()}
    slim["args"], slim["cfg"] = copy.deepcopy(state.get("args")), copy.deepcopy(state.get("cfg"))
    model_config(slim).kept_heads = {name: [origin[name][head] for head in kept] for name, kept in masks.items()}
    return Slimmed(slim, before, {name: len(kept) for name, kept in masks.items()})


def for_inference(state: Mapping[str, Any]) -> Dict[str, Any]:
    """The checkpoint without optimizer state and shadow (EMA) weights, which no longer fit once heads are gone."""
    lean = {key: value for key, value in state.items() if key != "last_optimizer_state"}
    lean["extra_state"] = {k: v for k, v in state.get("extra_state", {}).items() if not k.startswith("ema")}
    return lean


def model_config(state: Mapping[str, Any]) -> Any:
    """The model's options in a checkpoint: of the new kind (cfg) or of the old (args)."""
    if state.get("cfg") is not None:
        return state["cfg"]["model"]
    return state.get("args")
