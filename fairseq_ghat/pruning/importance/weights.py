"""Ways of choosing heads that look at no data: at random, or by the size of the weights."""

from typing import Dict, List, Sequence

import torch
from torch import Tensor

from fairseq_ghat.modules.grouped_attention import GroupedAttention
from fairseq_ghat.modules.head_features import stacks_by_heads
from fairseq_ghat.modules.removable_units import RemovableUnits
from fairseq_ghat.modules.unit_slices import unit_axis
from fairseq_ghat.pruning.calibration import Calibration
from fairseq_ghat.pruning.importance.base import Importance, Ranking


class RandomUnits(Importance):
    """Random units, whatever their group (ablation of Table 3); drawn on the CPU, the same on every worker."""

    paper = "Ni et al. 2023, Table 3"
    summary = "chance"
    ranks_units = True
    errors_per_cost = True

    def scores(self, calibration: Calibration) -> List[Tensor]:
        generator = torch.Generator().manual_seed(self.options.seed)
        drawn: Dict[GroupedAttention, Tensor] = {}
        for layers in stacks_by_heads(calibration.layers):
            draws = torch.rand(len(layers), layers[0].heads_held, generator=generator, dtype=torch.float64)
            drawn.update(zip(layers, -draws))
        return [drawn[layer] for layer in calibration.layers]

    def ranks(self, calibration: Calibration, layers: Sequence[RemovableUnits]) -> Dict[RemovableUnits, Ranking]:
        generator = torch.Generator().manual_seed(self.options.seed)
        rankings = {}
        for layer in layers:
            draws, order = torch.rand(layer.units, generator=generator, dtype=torch.float64).sort(stable=True)
            rankings[layer] = Ranking(order, draws.cumsum(0))
        return rankings


class ProjectionNorm(Importance):
    """Units with the largest L1 norm of their weights; over the whole model, relative to the layer's mean."""

    paper = "Li et al. 2017, section 3.1"
    summary = "L1 norm of the weights"
    ranks_units = True
    errors_per_cost = True

    def scores(self, calibration: Calibration) -> List[Tensor]:
        return [_l1_norms(layer) for layer in calibration.layers]

    def ranks(self, calibration: Calibration, layers: Sequence[RemovableUnits]) -> Dict[RemovableUnits, Ranking]:
        rankings = {}
        for layer in layers:
            norms, order = _l1_norms(layer).sort(stable=True)
            rankings[layer] = Ranking(order, norms.cumsum(0) / layer.units)
        return rankings


def _l1_norms(layer: RemovableUnits) -> Tensor:
    """Sum of the absolute weights of each unit in all projections, over their mean, (U,) float64 on the CPU."""
    norms = torch.zeros(layer.units, dtype=torch.float64)
    for name, parameter in layer.holder.named_parameters():
        axis = unit_axis(name)
        if axis is not None and parameter.dim() == 2:
            norms += parameter.detach().double().abs().sum(1 - axis).view(layer.units, -1).sum(1).cpu()
    return norms / norms.mean()
