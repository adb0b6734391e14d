"""Ways of choosing heads that weigh whole subsets of a layer: least reconstruction error, and most disagreement."""

from typing import Callable, List

import torch
from torch import Tensor

from fairseq_ghat.core.head_scores import agreement, redundancy_scores
from fairseq_ghat.core.projection_refit import InputMoments, SingularRefit, dropped_error, refitted_error
from fairseq_ghat.core.subset_search import Cost, best_subset, eliminate
from fairseq_ghat.modules.grouped_attention import GroupedAttention
from fairseq_ghat.modules.unit_slices import per_feature
from fairseq_ghat.pruning.calibration import Calibration
from fairseq_ghat.pruning.importance.base import Importance, Masks

LayerCosts = Callable[[GroupedAttention], Cost]


class Reconstruction(Importance):
    """Heads from which the attention output of all heads is reconstructed with the least squared error.

    By plain removal under --refit none, by the refitted projection under --refit output; over the whole model,
    relative to the power of the layer's output.
    """

    paper = "He et al. 2017, Eq. 1"
    summary = "error of the reconstructed attention output"

    def select(self, calibration: Calibration) -> Masks:
        if self.options.vote_budget == "model":
            return super().select(calibration)
        return _cheapest_subsets(calibration, self.budget(calibration).heads, self._costs(calibration))

    def scores(self, calibration: Calibration) -> List[Tensor]:
        scores, layer_costs = [], self._costs(calibration)
        for layer in calibration.layers:
            order, costs = eliminate(layer.heads_held, layer_costs(layer), down_to=0)
            share = torch.tensor(costs, dtype=torch.float64).cummax(0).values
            if costs[-1] > 0:  # without any head: the power of the layer's output
                share /= costs[-1]
            scores.append(torch.empty_like(share).index_copy_(0, torch.tensor(order), share))
        return scores

    def _costs(self, calibration: Calibration) -> LayerCosts:
        moments = {
            layer: layer_moments
            for part in calibration.moments(calibration.layers)
            for layer, layer_moments in part.items()
        }
        if not all(layer_moments.count for layer_moments in moments.values()):
            raise ValueError("cannot choose by reconstruction: the pass saw no data")

        def cost(layer: GroupedAttention, kept: Tensor) -> float:
            weight = layer.out_proj.weight.detach()
            features = per_feature(kept.to(weight.device), layer.head_dim)
            if self.options.refit != "output" or not kept.any():
                return dropped_error(weight, _second(moments[layer], self.options.refit), features)
            try:
                return refitted_error(weight, moments[layer], features)
            except SingularRefit as error:
                raise ValueError(f"--refit output: {calibration.names[layer]}: {error}; use --refit none") from None

        return lambda layer: lambda kept: cost(layer, kept)


class Disagreement(Importance):
    """Heads whose feature maps agree least with each other; over the whole model, taken away one by one."""

    paper = "Li et al. 2018, section 3.2"
    summary = "cosines between the heads that stay"

    def select(self, calibration: Calibration) -> Masks:
        if self.options.vote_budget == "model":
            return super().select(calibration)
        grams = dict(zip(calibration.layers, self._grams(calibration)))
        heads = self.budget(calibration).heads
        return _cheapest_subsets(calibration, heads, lambda layer: lambda kept: agreement(grams[layer], kept))

    def scores(self, calibration: Calibration) -> List[Tensor]:
        return [redundancy_scores(gram) for gram in self._grams(calibration)]

    def _grams(self, calibration: Calibration) -> List[Tensor]:
        """Gram matrix (H, H) of each layer over all data, in float64 on the CPU."""
        sums = {
            calibration.names[layer]: torch.zeros(
                layer.heads_held, layer.heads_held, dtype=torch.float64, device=layer.head_mask.device
            )
            for layer in calibration.layers
        }
        for features in calibration.features():
            for name, gram in features.grams().items():
                sums[name] += gram
        calibration.add_up(*sums.values())
        if not any(gram.any() for gram in sums.values()):
            raise ValueError("cannot choose by disagreement: the pass saw no data")
        return [gram.cpu() for gram in sums.values()]


def _second(moments: InputMoments, refit: str) -> Tensor:
    """What plain removal loses by: second moments, or the covariance where the bias takes the mean, (F, F)."""
    return moments.covariance() if refit == "bias" else moments.second / moments.count


def _cheapest_subsets(calibration: Calibration, heads: int, costs: LayerCosts) -> Masks:
    """The subset of each layer's heads that costs least."""
    return {layer: best_subset(layer.heads_held, heads, costs(layer)) for layer in calibration.layers}
