"""Small classifiers that tell the group of a head from its pooled features (paper, Eq. 4 A)."""

from typing import Dict, List, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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
    def for_layers(cls, attentions: Mapping[str, GroupedAttention]) -> "GroupClassifiers":
        """For the attention layers of a model, which all have the same number of groups."""
        dims = {name: layer.head_dim for name, layer in attentions.items()}
        return cls(dims, next(iter(attentions.values())).grouping.groups)

    def forward(self, layers: List[str], pooled: List[Tensor]) -> Tensor:
        """Logits (L, H, C) of the groups from the pooled features (H, D) of each named layer; float32 at least."""
        with torch.autocast(device_type=pooled[0].device.type, enabled=False):
            return torch.stack(
                [
                    F.linear(e, self.weights[_key(name)].to(e.dtype), self.biases[_key(name)].to(e.dtype))
                    for name, e in zip(layers, pooled)
                ]
            )


def _key(layer: str) -> str:
    """Parameter names may not hold dots."""
    return layer.replace(".", "_")
