"""What the units of a model cost: parameters, or FLOPs, of its attention and feed-forward layers."""

from typing import Callable, Dict

from fairseq_ghat.modules.removable_units import RemovableUnits
from fairseq_ghat.modules.unit_slices import unit_axis

# From a layer, what one of its units costs.
Cost = Callable[[RemovableUnits], float]

# Tokens a side that FLOPs are counted for, as in the paper.
LENGTH = 30


def parameters_of_unit(layer: RemovableUnits) -> float:
    """Weights and biases that belong to one unit."""
    return _elements(layer, smallest_dim=1)


def flops_of_unit(layer: RemovableUnits) -> float:
    """Multiplications with additions of one unit for LENGTH tokens on each side."""
    products = _elements(layer, smallest_dim=2) * LENGTH
    if layer.unit_features > 1:  # scores and weighted sums of attention
        products += 2 * LENGTH**2 * layer.unit_features
    return products


def _elements(layer: RemovableUnits, smallest_dim: int) -> float:
    """Elements of a unit in the parameters of its layer that have some dimensions at least."""
    parameters = [
        parameter
        for name, parameter in layer.holder.named_parameters()
        if unit_axis(name) is not None and parameter.dim() >= smallest_dim
    ]
    return sum(parameter.numel() for parameter in parameters) / layer.units


COSTS: Dict[str, Cost] = {"parameters": parameters_of_unit, "flops": flops_of_unit}
