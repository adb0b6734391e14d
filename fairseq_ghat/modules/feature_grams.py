"""Collects the feature Gram matrices of all attention layers during one forward pass."""

from typing import Dict, List, Optional

import torch
from torch import Tensor, nn

from fairseq_ghat.core.feature_gram import feature_gram
from fairseq_ghat.modules.feature_sink import FeatureSink, stacks_by_heads
from fairseq_ghat.modules.grouped_attention import GroupedAttention

FEATURES = ("value", "attention", "output")


class FeatureGrams(FeatureSink):
    """Context in which a forward pass leaves one H x H matrix per attention layer.

        with FeatureGrams(model, target_padding) as grams:
            model(**net_input)
        stacks = grams.stacks()

    Layers that LayerDrop skipped leave none; a layer that ran twice leaves the sum.
    """

    def __init__(self, model: nn.Module, target_padding: Optional[Tensor] = None):
        super().__init__(model, target_padding)
        self._grams: Dict[GroupedAttention, Tensor] = {}

    def receive(self, layer: GroupedAttention, value, attention, output, key_padding) -> None:
        features, padding = self.feature_in_use(layer, value, attention, output, key_padding)
        gram = feature_gram(features, padding)
        self._grams[layer] = self._grams[layer] + gram if layer in self._grams else gram

    def by_name(self) -> Dict[str, Tensor]:
        """Gram matrix (H, H) of each layer that ran, by layer name."""
        return {self.names[layer]: gram for layer, gram in self._grams.items()}

    def layer_stacks(self) -> List[List[GroupedAttention]]:
        """The layers that ran, one list per number of heads."""
        return stacks_by_heads(layer for layer in self.attentions if layer in self._grams)

    def stacks(self) -> List[Tensor]:
        """Gram matrices (L, H, H), one stack per number of heads, in the order of layer_stacks()."""
        return [torch.stack([self._grams[layer] for layer in layers]) for layers in self.layer_stacks()]
