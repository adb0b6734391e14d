"""Ways to choose heads that look at no data: at random, or by the size of the weights."""

from typing import List

import torch
from torch import Tensor

from fairseq_ghat.core.head_scores import projection_l1
from fairseq_ghat.modules.feature_collectors import stacks_by_heads
from fairseq_ghat.pruning.importance.base import Selector


class RandomHeads(Selector):
    """Random heads, whatever their group (ablation of Table 3); drawn on the CPU, the same on every worker."""

    def scores(self) -> List[Tensor]:
        generator = torch.Generator().manual_seed(self.rules.seed)
        drawn = {}
        for layers in stacks_by_heads(self.layers):
            draws = torch.rand(len(layers), layers[0].heads_held, generator=generator, dtype=torch.float64)
            drawn.update(zip(layers, -draws))
        return [drawn[layer] for layer in self.layers]


class ProjectionNorm(Selector):
    """Heads with the largest L1 norm of their projections; over the whole model, relative to the layer's mean."""

    def scores(self) -> List[Tensor]:
        found = []
        for layer in self.layers:
            weights = (projection.weight for projection in (layer.q_proj, layer.k_proj, layer.v_proj, layer.out_proj))
            norms = projection_l1(*weights, heads=layer.heads_held).detach()
            found.append(norms / norms.mean())
        return found
