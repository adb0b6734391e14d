"""How many heads each attention layer computes."""

from collections import Counter
from typing import Any, Dict, Iterable, Mapping

from fairseq_ghat.pruning.head_masks import masks_in_state
from fairseq_ghat.pruning.slimming import model_config


def heads_in_checkpoint(state: Mapping[str, Any]) -> Dict[str, int]:
    """Number of heads computed in each attention layer of a checkpoint, by the layer's name."""
    masks = masks_in_state(state["model"])
    if masks:
        return {name: len(kept) for name, kept in masks.items()}
    # fairseq's own model: the heads stand in its options only.
    names = [key[: -len(".q_proj.weight")] for key in state["model"] if key.endswith(".q_proj.weight")]
    config = model_config(state)
    return {name: getattr(config, f"{name.split('.')[0]}_attention_heads") for name in names}


def describe_heads(counts: Iterable[int]) -> str:
    """Attention layers x heads: '18 x 8', or '16 x 2, 2 x 3' where layers differ."""
    return ", ".join(f"{layers} x {count}" for count, layers in sorted(Counter(counts).items()))
