"""Counts parameters, without embeddings as the paper does, and heads."""

import re
from collections import Counter
from typing import Any, Dict, Iterable, Mapping

from torch import Tensor

from fairseq_ghat.checkpoints.model_options import flat_options
from fairseq_ghat.modules.grouped_attention import HEAD_MASK
from fairseq_ghat.modules.transformer_layers import FUSED_COPIES
from fairseq_ghat.modules.unit_slices import unit_axis
from fairseq_ghat.pruning.slimming import kept_heads_in_state

# Modules of token and position embeddings, and of the output layer over the vocabulary.
_EMBEDDINGS = {"embed_tokens", "embed_positions", "output_projection", "adaptive_softmax"}
# State that is not learned, and the second copies of encoder weights that fairseq 0.12.2 stores.
_NOT_COUNTED = ("version", "_float_tensor", HEAD_MASK, *FUSED_COPIES)


def non_embedding_parameters(state_dict: Mapping[str, Tensor]) -> int:
    """Number of learned parameters of a model, without embeddings and output layer (paper, Table 1)."""
    parts = {name: name.split(".") for name in state_dict}
    counted = (name for name in parts if parts[name][-1] not in _NOT_COUNTED and _EMBEDDINGS.isdisjoint(parts[name]))
    return sum(state_dict[name].numel() for name in counted)


def attention_weights(state_dict: Mapping[str, Tensor]) -> int:
    """Number of weights in all projections of attention, without biases: it is proportional to the heads."""
    projection = re.compile(r"\b(self_attn|encoder_attn)\.\w+_proj\.weight$")
    return sum(tensor.numel() for name, tensor in state_dict.items() if projection.search(name))


def unit_parameters(state_dict: Mapping[str, Tensor]) -> int:
    """Number of parameters that belong to heads and neurons, of which --budget parameters=SHARE is a share."""
    of_units = (name for name in state_dict if unit_axis(".".join(name.split(".")[-2:])) is not None)
    return sum(state_dict[name].numel() for name in of_units)


def heads_in_checkpoint(state: Mapping[str, Any]) -> Dict[str, int]:
    """Number of heads that each attention layer of a checkpoint computes: name of the layer -> heads."""
    kept_heads = kept_heads_in_state(state["model"])
    if kept_heads:
        return {name: len(kept) for name, kept in kept_heads.items()}
    # Only the options of fairseq's own model tell its heads.
    names = [key[: -len(".q_proj.weight")] for key in state["model"] if key.endswith(".q_proj.weight")]
    options = flat_options(state)
    return {name: getattr(options, f"{name.split('.')[0]}_attention_heads") for name in names}


def describe_counts(counts: Iterable[int]) -> str:
    """The text 'layers x units' of the heads or neurons of layers: '18 x 8', or '16 x 2, 2 x 3' where they differ."""
    return ", ".join(f"{layers} x {count}" for count, layers in sorted(Counter(counts).items()))
