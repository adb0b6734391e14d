"""Which rows and columns of a layer's projections belong to which head or neuron: the one place that says so.

Head h of width D owns the features h*D .. (h+1)*D - 1 of an attention layer; each neuron is one feature of a
feed-forward layer. Features are rows of the weights and the biases of the projections that make them (query, key and
value; fc1), and columns of the weight of the projection behind them (output; fc2), whose bias belongs to all.
"""

from typing import Iterable, Optional

from torch import Tensor, nn

INPUT_PROJECTIONS = ("q_proj", "k_proj", "v_proj")
OUTPUT_PROJECTION = "out_proj"
FIRST_LINEAR, SECOND_LINEAR = "fc1", "fc2"


def per_feature(per_unit: Tensor, unit_features: int) -> Tensor:
    """A value of each unit as a value of each of its features, (..., U*D).

    Args:
        per_unit: of each head or neuron, (..., U).
        unit_features: D, features of a unit.
    """
    return per_unit.repeat_interleave(unit_features, -1)


def kept_features(kept: Tensor, unit_features: int) -> Tensor:
    """Indexes of the features of the units that stay, (K*D,), increasing.

    Args:
        kept: not zero for units that stay, (U,).
        unit_features: D, features of a unit.
    """
    return per_feature(kept != 0, unit_features).nonzero().squeeze(-1)


def unit_axis(name: str) -> Optional[int]:
    """The dimension of a parameter along which the features of the units lie; None if it belongs to no unit.

    Args:
        name: as in the layer, such as "q_proj.weight".
    """
    projection, _, kind = name.rpartition(".")
    if projection in (*INPUT_PROJECTIONS, FIRST_LINEAR):
        return 0
    return 1 if projection in (OUTPUT_PROJECTION, SECOND_LINEAR) and kind == "weight" else None


def slice_parameter(name: str, parameter: Tensor, features: Tensor) -> Tensor:
    """The part of a parameter that belongs to some features.

    Args:
        name: as in the layer, such as "q_proj.weight".
        parameter: (F, E) or (F,) of a projection that makes the features, (E, F) or (E,) of the one behind them, or
            another parameter of the layer, which belongs to no unit.
        features: indexes of the features, (K,).

    Returns:
        (K, E), (K,), (E, K), or the parameter itself where it belongs to no unit.
    """
    axis = unit_axis(name)
    return parameter if axis is None else parameter.index_select(axis, features.to(parameter.device))


def cut_projections(layer: nn.Module, projections: Iterable[str], features: Tensor) -> None:
    """Cuts projections of a layer down to some features, for good.

    The parameters stay the same objects, so that an optimizer goes on with them; what has their shape elsewhere,
    such as its state, must be cut likewise. Gradients are dropped.

    Args:
        layer: that holds the projections.
        projections: their names.
        features: indexes of the features that stay, increasing, (K,).
    """
    for projection in projections:
        linear = getattr(layer, projection)
        for kind, parameter in linear.named_parameters():
            if unit_axis(f"{projection}.{kind}") is not None:
                parameter.grad = None
                parameter.data = slice_parameter(f"{projection}.{kind}", parameter.data, features)
        linear.out_features, linear.in_features = linear.weight.shape
