"""Pools the feature maps of the heads over positions, for the classification form of the constraint."""

from typing import Dict, List, Optional

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fairseq_ghat.modules.feature_sink import FeatureSink
from fairseq_ghat.modules.grouped_attention import GroupedAttention


class PooledFeatures(FeatureSink):
    """Context in which a forward pass leaves one (H, D) matrix per attention layer: the mean of the feature map
    of each head over the positions of the batch, padding left out, scaled to zero mean and unit variance."""

    def __init__(self, model: nn.Module, target_padding: Optional[Tensor] = None):
        super().__init__(model, target_padding)
        self._pooled: Dict[GroupedAttention, Tensor] = {}

    def receive(self, layer: GroupedAttention, value, attention, output, key_padding) -> None:
        features, padding = self.feature_in_use(layer, value, attention, output, key_padding)
        self._pooled[layer] = pool_heads(features, padding)

    def pooled(self, layers: List[GroupedAttention]) -> List[Tensor]:
        """Pooled features (H, D) of each of the layers."""
        return [self._pooled[layer] for layer in layers]


def pool_heads(features: Tensor, padding: Optional[Tensor]) -> Tensor:
    """(B, H, X, D), padding (B, X) true at padding or None -> (H, D) in float32 at least."""
    with torch.autocast(device_type=features.device.type, enabled=False):
        features = features.float() if features.dtype != torch.float64 else features
        if padding is None:
            pooled = features.mean((0, 2))
        else:
            content = (~padding.to(torch.bool)).to(features)
            pooled = torch.einsum("bhxd,bx->hd", features, content) / content.sum().clamp_min(1)
        return F.layer_norm(pooled, pooled.shape[-1:])
