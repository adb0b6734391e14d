"""Small classifiers that tell the group of a head from its pooled features (paper, Eq. 4 A)."""

from typing import Dict, List, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fairseq_ghat.core.gram_matrix import no_autocast
from fairseq_ghat.modules.grouped_attention import GroupedAttention


class GroupClassifiers(nn.Module):
    """One linear classifier per attention layer, p(z | e) = softmax(W e + b), shared by the heads of the layer.

    They start at zero, hence undecided, and take no random numbers.

    Args:
        head_dims: D of each attention layer, by layer name.
        groups: C.
    """

    def __init__(self, head_dims: Dict[str, int], groups: int):
        super().__init__()
        self.groups = groups
        self.weights = nn.ParameterDict({_key(name): torch.zeros(groups, dim) for name, dim in head_dims.items()})
        self.biases = nn.ParameterDict({_key(name): torch.zeros(groups) for name in head_dims})

    @classmethod
    def for_layers(cls, attentions: Mapping[str, GroupedAttention], groups: int) -> "GroupClassifiers":
        """For the attention layers of a model, by their names, and C groups."""
        return cls({name: layer.head_dim for name, layer in attentions.items()}, groups)

    def forward(self, layers: List[str], pooled: List[Tensor]) -> Tensor:
        """Logits of the groups.

        Args:
            layers: names of L attention layers.
            pooled: pooled features of the heads of each, (H, D).

        Returns:
            (L, H, C), in float32 at least.
        """
        with no_autocast(pooled[0].device):
            logits = []
            for name, features in zip(layers, pooled):
                weight, bias = self.weights[_key(name)], self.biases[_key(name)]
                logits.append(F.linear(features, weight.to(features.dtype), bias.to(features.dtype)))
            return torch.stack(logits)


def _key(layer: str) -> str:
    """Parameter names may not hold dots."""
    return layer.replace(".", "_")
