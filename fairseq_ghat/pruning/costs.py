"""What the units of a model cost: parameters, FLOPs or measured time of its attention and feed-forward layers."""

from typing import Any, Callable, Dict, Iterable, Mapping, NamedTuple

import torch
from torch import Tensor, nn

from fairseq_ghat.modules.removable_layers import removable_layers
from fairseq_ghat.modules.removable_units import RemovableUnits
from fairseq_ghat.modules.unit_slices import unit_axis
from fairseq_ghat.pruning.latency_table import LatencyTable, kind_of, read_latency_table

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
LATENCY = "latency"


class Savings(NamedTuple):
    """What layers save where they lose units.

    Attributes:
        whole: what a share of the budget is of.
        saved: by layer, what it saves without k of its U units, for k = 0 .. U, (U + 1,).
    """

    whole: float
    saved: Mapping[RemovableUnits, Tensor]


def linear_savings(cost: Cost, layers: Iterable[RemovableUnits]) -> Savings:
    """Where every unit of a layer costs as much. The whole is what these layers cost."""
    saved = {layer: cost(layer) * torch.arange(layer.units + 1, dtype=torch.float64) for layer in layers}
    return Savings(sum(float(path[-1]) for path in saved.values()), saved)


def latency_savings(table: LatencyTable, model: nn.Module) -> Savings:
    """Seconds that were measured. The whole is what translation takes, with all that no cut changes."""
    layers = removable_layers(model)
    return Savings(
        table.seconds, {layer: table.kinds[kind_of(name, layer)].savings() for name, layer in layers.items()}
    )


def table_of_model(options: Any, model: nn.Module) -> LatencyTable:
    """The table of --latency-table, for a budget of latency.

    Args:
        options: VoteOptions, or options that hold the same.
        model: that was not voted on yet.

    Raises:
        ValueError: if it cannot be read or is of a model of another shape, or for a language model; names the flag.
    """
    if not any(name.startswith("encoder.") for name in removable_layers(model)):
        allowed = " or ".join(COSTS)
        told = f"not for language models, since ghat-bench measures translation; allowed is {allowed}"
        raise ValueError(f"--budget {options.budget}: {told}")
    table = read_latency_table(options.latency_table)
    table.check(model)
    return table
