"""The grouped attention layers of a whole model: their groups, features and heads, and the removal of heads."""

from typing import Dict, List, Mapping, Optional, cast

from torch import Tensor, nn

from fairseq_ghat.modules.grouped_attention import GroupedAttention
from fairseq_ghat.modules.grouping import Grouping
from fairseq_ghat.modules.head_features import RecordedFeatures
from fairseq_ghat.modules.wrappers import name_inside, unwrapped


def grouping_of(model: nn.Module) -> Grouping:
    """How the heads of a model are grouped, also inside wrappers."""
    return cast(Grouping, unwrapped(model).grouping)


def grouped_attentions(model: nn.Module) -> Dict[str, GroupedAttention]:
    """The grouped attention layers of a model by name, in a fixed order; wrappers' prefixes removed."""
    return {name_inside(name): module for name, module in model.named_modules() if isinstance(module, GroupedAttention)}


def record_features(
    model: nn.Module, target_padding: Optional[Tensor] = None, pooled: bool = False
) -> RecordedFeatures:
    """Context in which the attention layers of a model hand over the feature maps of their heads.

    Args:
        model: with grouped attention, possibly inside a data-parallel wrapper.
        target_padding: true at padding of the decoder input, (B, T), or None.
        pooled: whether pooled features are wanted beside the Gram matrices.

    Raises:
        RuntimeError: if the model has no grouped attention.
    """
    attentions = grouped_attentions(model)
    if not attentions:
        raise RuntimeError(
            f"{type(model).__name__} has no grouped attention: use an --arch that starts with ghat_transformer"
        )
    return RecordedFeatures(attentions, grouping_of(model), target_padding, pooled)


def is_voted(model: nn.Module) -> bool:
    """Whether the heads of a model were voted on, or some were removed."""
    return any(attention.voted for attention in grouped_attentions(model).values())


def heads_per_layer(model: nn.Module) -> Dict[str, int]:
    """Heads computed in each attention layer, by layer name."""
    return {name: attention.heads_computed for name, attention in grouped_attentions(model).items()}


def remove_heads(model: nn.Module, kept_heads: Mapping[str, List[int]]) -> None:
    """Cuts attention layers down to some of their heads, all layers or none.

    Args:
        model: with all the heads it was made with.
        kept_heads: indexes of the heads that stay, increasing, by layer name.

    Raises:
        ValueError: if a layer does not exist or a head index does not fit; names the layer.
    """
    attentions = grouped_attentions(model)
    for name, kept in kept_heads.items():
        if name not in attentions:
            raise ValueError(f"heads to keep: the model has no attention layer {name}")
        heads = attentions[name].num_heads
        if sorted(set(kept)) != list(kept) or not all(0 <= head < heads for head in kept):
            allowed = f"increasing indexes in 0..{heads - 1}"
            raise ValueError(f"heads to keep: {name} keeps heads {kept}, allowed are {allowed}")
    for name, kept in kept_heads.items():
        attentions[name].remove_units(kept)
