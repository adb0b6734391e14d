"""Units from which the output of their layer is reconstructed with the least error (He et al. 2017)."""

from functools import partial
from typing import Callable, Dict, Iterator, List, Sequence, Tuple

import torch
from torch import Tensor

from fairseq_ghat.core.backward_elimination import eliminate_features, eliminate_without_refit
from fairseq_ghat.core.projection_refit import InputMoments, SingularRefit, dropped_error, refitted_error, ridge_for
from fairseq_ghat.core.subset_search import best_subset, eliminate
from fairseq_ghat.modules.removable_units import RemovableUnits
from fairseq_ghat.modules.unit_slices import per_feature
from fairseq_ghat.pruning.calibration import Calibration, Layer
from fairseq_ghat.pruning.importance.base import Importance, Masks, Ranking

# Most neurons of a layer that are eliminated one by one with the refit; the time grows with their third power.
MOST_ELIMINATED = 4096

# From the units that stay, (U,) bool, the mean squared error of the output.
Cost = Callable[[Tensor], float]


class Reconstruction(Importance):
    """Heads or neurons from which the output of all of them is reconstructed with the least squared error.

    The error is that of the removal that --refit asks for; between layers it is relative to the output of the layer.
    """

    paper = "He et al. 2017, Eq. 1"
    summary = "error of the reconstructed output"
    ranks_units = True

    def select(self, calibration: Calibration) -> Masks:
        if self.options.vote_budget == "model":
            return super().select(calibration)
        heads = self.budget(calibration).heads
        return {
            layer: best_subset(layer.heads_held, heads, partial(self._cost, layer, moments, calibration.names[layer]))
            for layer, moments in _moments(calibration, calibration.layers)
        }

    def scores(self, calibration: Calibration) -> List[Tensor]:
        return [
            torch.empty_like(ranking.errors).index_copy_(0, ranking.order, ranking.errors)
            for ranking in self.ranks(calibration, calibration.layers).values()
        ]

    def ranks(self, calibration: Calibration, layers: Sequence[RemovableUnits]) -> Dict[RemovableUnits, Ranking]:
        rankings = {}
        for layer, moments in _moments(calibration, layers):
            name = calibration.names[layer]
            if layer.unit_features == 1:
                order, errors = self._eliminate_neurons(layer, moments, name)
            else:
                gone, costs = eliminate(layer.units, partial(self._cost, layer, moments, name), down_to=0)
                order, errors = torch.tensor(gone), torch.tensor(costs, dtype=torch.float64)
            errors = errors.cummax(0).values
            if errors[-1] > 0:  # without any unit
                errors = errors / errors[-1]
            rankings[layer] = Ranking(order.cpu(), errors.cpu())
        return rankings

    def _cost(self, layer: RemovableUnits, moments: InputMoments, name: str, kept: Tensor) -> float:
        weight = layer.projection.weight.detach()
        features = per_feature(kept.to(weight.device), layer.unit_features)
        if self.options.refit == "output" and kept.any():
            try:
                return refitted_error(weight, moments, features, ridge_for(layer.unit_features))
            except SingularRefit as error:
                raise self._refused(name, error) from None
        return dropped_error(weight, self._second(moments), features)

    def _eliminate_neurons(self, layer: RemovableUnits, moments: InputMoments, name: str):
        weight, second = layer.projection.weight.detach(), self._second(moments)
        if self.options.refit != "output" or layer.units > MOST_ELIMINATED:
            return eliminate_without_refit(weight, second)
        try:
            return eliminate_features(weight, second, ridge_for(layer.unit_features) * float(second.diagonal().mean()))
        except SingularRefit as error:
            raise self._refused(name, error) from None

    def _second(self, moments: InputMoments) -> Tensor:
        """What removal loses by: second moments, or the covariance where the bias takes the mean, (F, F)."""
        return moments.second / moments.count if self.options.refit == "none" else moments.covariance()

    def _refused(self, name: str, error: SingularRefit) -> ValueError:
        return ValueError(f"--refit {self.options.refit}: {name}: {error}; use --refit none")


def _moments(calibration: Calibration, layers: Sequence[Layer]) -> Iterator[Tuple[Layer, InputMoments]]:
    """Each layer with its moments. Raises ValueError if the data are none."""
    for part in calibration.moments(layers):
        for layer, moments in part.items():
            if not moments.count:
                raise ValueError("cannot choose by reconstruction: the pass saw no data")
            yield layer, moments
