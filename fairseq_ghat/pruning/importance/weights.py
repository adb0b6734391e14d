"""Ways of choosing heads that look at no data: at random, or by the size of the weights."""

from typing import Dict, List

import torch
from torch import Tensor

from fairseq_ghat.core.head_scores import projection_l1
from fairseq_ghat.modules.grouped_attention import GroupedAttention
from fairseq_ghat.modules.head_features import stacks_by_heads
from fairseq_ghat.modules.unit_slices import INPUT_PROJECTIONS, OUTPUT_PROJECTION
from fairseq_ghat.pruning.calibration import Calibration
from fairseq_ghat.pruning.importance.base import Importance


class RandomHeads(Importance):
    """Random heads, whatever their group (ablation of Table 3); drawn on the CPU, the same on every worker."""

    paper = "Ni et al. 2023, Table 3"
    summary = "chance"

    def scores(self, calibration: Calibration) -> List[Tensor]:
        generator = torch.Generator().manual_seed(self.options.seed)
        drawn: Dict[GroupedAttention, Tensor] = {}
        for layers in stacks_by_heads(calibration.layers):
            draws = torch.rand(len(layers), layers[0].heads_held, generator=generator, dtype=torch.float64)
            drawn.update(zip(layers, -draws))
        return [drawn[layer] for layer in calibration.layers]


class ProjectionNorm(Importance):
    """Heads with the largest L1 norm of their projections; over the whole model, relative to the layer's mean."""

    paper = "Li et al. 2017, section 3.1"
    summary = "L1 norm of the head's projections"

    def scores(self, calibration: Calibration) -> List[Tensor]:
        scores = []
        for layer in calibration.layers:
            query, key, value, output = (
                getattr(layer, name).weight for name in (*INPUT_PROJECTIONS, OUTPUT_PROJECTION)
            )
            norms = projection_l1(query, key, value, output, layer.heads_held).detach()
            scores.append(norms / norms.mean())
        return scores
