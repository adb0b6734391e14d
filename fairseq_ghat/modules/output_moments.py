"""Accumulates the moments of the head outputs of every attention layer over a voting pass, for the refit."""

from typing import Dict

from torch import Tensor, nn

from fairseq_ghat.core.output_refit import OutputMoments
from fairseq_ghat.modules.feature_sink import FeatureSink
from fairseq_ghat.modules.grouped_attention import GroupedAttention


class HeadOutputMoments(FeatureSink):
    """Context in which forward passes add to the moments of each layer; set `target_padding` before each.

    Attributes:
        moments: by layer, for all layers of the model from the start.
    """

    def __init__(self, model: nn.Module):
        super().__init__(model)
        self.moments: Dict[GroupedAttention, OutputMoments] = {
            layer: OutputMoments(layer.heads_computed * layer.head_dim, layer.head_mask.device)
            for layer in self.attentions
        }

    def receive(self, layer: GroupedAttention, value, attention, output, key_padding) -> None:
        padding = self.query_padding(layer, key_padding)
        outputs: Tensor = output.permute(0, 2, 1, 3).flatten(2)  # (B, T, H*D)
        self.moments[layer].add(outputs.flatten(0, 1) if padding is None else outputs[~padding.bool()])
