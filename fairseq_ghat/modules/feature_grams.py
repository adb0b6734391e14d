"""Collects the feature Gram matrices of all attention layers during one forward pass."""

from typing import Dict, List, Optional

import torch
from torch import Tensor, nn

from fairseq_ghat.core.feature_gram import feature_gram
from fairseq_ghat.modules.grouped_attention import GroupedAttention, grouped_attentions

FEATURES = ("value", "attention", "output")


class FeatureGrams:
    """Context in which a forward pass leaves one H x H matrix per attention layer.

        with FeatureGrams(model, target_padding) as grams:
            model(**net_input)
        stacks = grams.stacks()

    Layers that LayerDrop skipped leave none; a layer that ran twice leaves the sum.

    Args:
        model: holds GroupedAttention layers, possibly inside a data-parallel wrapper.
        target_padding: (B, T), true at padding of the decoder input; cross attention has no other way to
            know which of its queries are padding.

    Raises:
        RuntimeError: if the model has no grouped attention.
    """

    def __init__(self, model: nn.Module, target_padding: Optional[Tensor] = None):
        self.attentions = list(grouped_attentions(model).values())
        if not self.attentions:
            raise RuntimeError(
                f"{type(model).__name__} has no grouped attention: use an --arch that starts with ghat_transformer"
            )
        self.target_padding = target_padding
        self._grams: Dict[GroupedAttention, Tensor] = {}

    def __enter__(self) -> "FeatureGrams":
        for attention in self.attentions:
            attention.feature_sink = self
        return self

    def __exit__(self, *exc) -> None:
        for attention in self.attentions:
            attention.feature_sink = None

    def receive(self, layer: GroupedAttention, value, attention, output, key_padding) -> None:
        """Called by a layer during its forward pass.

        value: (B, H, S, D); attention: (B, H, T, S), or None if not needed; output: (B, H, T, D);
        key_padding: (B, S), true at padding, or None.
        """
        feature = layer.grouping.feature
        if feature == "value":
            features, padding = value, key_padding
        else:
            features = attention if feature == "attention" else output
            padding = key_padding if layer.self_attention else self.target_padding
        gram = feature_gram(flatten_heads(features, padding))
        self._grams[layer] = self._grams[layer] + gram if layer in self._grams else gram

    def layers(self) -> List[GroupedAttention]:
        """The layers that ran, in the order of stacks()."""
        ran = [layer for layer in self.attentions if layer in self._grams]
        return sorted(ran, key=lambda layer: self._grams[layer].size(-1))

    def stacks(self) -> List[Tensor]:
        """Gram matrices (L, H, H), one stack per number of heads."""
        by_heads: Dict[int, List[Tensor]] = {}
        for layer in self.layers():
            gram = self._grams[layer]
            by_heads.setdefault(gram.size(-1), []).append(gram)
        return [torch.stack(grams) for grams in by_heads.values()]


def flatten_heads(features: Tensor, padding: Optional[Tensor]) -> Tensor:
    """(B, H, X, D), padding (B, X) true at padding or None -> (H, B*X*D) with padding zeroed."""
    if padding is not None:
        features = features.masked_fill(padding.to(torch.bool)[:, None, :, None], 0.0)
    return features.transpose(0, 1).flatten(1)
