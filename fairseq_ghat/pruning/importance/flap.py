"""Units whose features vary least over the data, times the weights behind them (An et al. 2024, FLAP)."""

from typing import Dict, List, Sequence

from torch import Tensor

from fairseq_ghat.core.projection_refit import InputMoments
from fairseq_ghat.modules.removable_units import RemovableUnits
from fairseq_ghat.pruning.calibration import Calibration, Layer
from fairseq_ghat.pruning.importance.base import Importance, Ranking


class Fluctuation(Importance):
    """A feature's metric is its variance times the squared norm of its column of the projection; a unit's is the sum.

    Metrics are standardised over the units of each layer, (metric - mean) / standard deviation. Under a budget units go
    in the order of these alone over the whole model, whatever they save; only the budget counts what they cost.
    What features have on average does not count, since the paper adds it to the bias: that is `--refit bias`.

    The authors' code differs for heads: it squares the metrics of their features, standardises these over the layer
    and takes their mean. Here heads are standardised as neurons are.
    """

    paper = "An et al. 2024, section 3"
    summary = "variance of the features times the weights behind them"
    ranks_units = True
    errors_per_cost = True

    def scores(self, calibration: Calibration) -> List[Tensor]:
        return list(_standardised(calibration, calibration.layers).values())

    def ranks(self, calibration: Calibration, layers: Sequence[RemovableUnits]) -> Dict[RemovableUnits, Ranking]:
        metrics = _standardised(calibration, layers)
        # Errors must not decrease; what is taken off every metric leaves the order as it is.
        least = min((float(metric.min()) for metric in metrics.values()), default=0.0)
        rankings = {}
        for layer, metric in metrics.items():
            ascending, order = metric.sort(stable=True)
            rankings[layer] = Ranking(order, (ascending - least).cumsum(0))
        return rankings


def _standardised(calibration: Calibration, layers: Sequence[Layer]) -> Dict[Layer, Tensor]:
    """Metrics of the units of each layer, of mean 0 and standard deviation 1, (U,) float64 on the CPU."""
    return {
        layer: _standardise(_metric(layer, moments))
        for part in calibration.moments(layers)
        for layer, moments in part.items()
    }


def _metric(layer: RemovableUnits, moments: InputMoments) -> Tensor:
    """Variance of the features times the squared norms of their columns, summed over each unit, (U,)."""
    if not moments.count:
        raise ValueError("cannot choose by flap: the pass saw no data")
    columns = layer.projection.weight.detach().double().square().sum(0)
    return (moments.variance() * columns).view(layer.units, layer.unit_features).sum(1).cpu()


def _standardise(metric: Tensor) -> Tensor:
    """(metric - mean) / standard deviation; zeros where all are alike. metric: (U,)."""
    centred = metric - metric.mean()
    deviation = (centred.square().sum() / max(len(metric) - 1, 1)).sqrt()
    return centred / deviation.clamp_min(1e-30)
