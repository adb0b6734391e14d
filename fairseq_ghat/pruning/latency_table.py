"""What translation saves where layers hold fewer heads or neurons, as ghat-bench --latency-table measured it."""

import json
import math
from dataclasses import dataclass
from typing import Any, Dict, List

import torch
from torch import Tensor, nn

from fairseq_ghat.core.interpolation import interpolate
from fairseq_ghat.modules.feed_forward import FeedForward
from fairseq_ghat.modules.removable_layers import removable_layers
from fairseq_ghat.modules.removable_units import RemovableUnits


@dataclass(frozen=True)
class MeasuredKind:
    """The layers of one kind, such as encoder self-attention.

    Attributes:
        shape: what must be the same in a model that the figures are used for, as layers_shape tells it.
        units: that a layer keeps, decreasing from all of them.
        saved: seconds that each layer saves then; the first is 0.
    """

    shape: Dict[str, int]
    units: List[int]
    saved: List[float]

    def savings(self) -> Tensor:
        """Seconds that a layer saves without k of its U units, for k = 0 .. U, (U + 1,).

        Without more units than were measured it saves as much as without those.
        """
        gone = [self.units[0] - units for units in self.units]
        return interpolate(torch.arange(self.units[0] + 1), gone, self.saved)


@dataclass(frozen=True)
class LatencyTable:
    """Seconds of one pass over some sentences, on one machine, in batches of one size.

    Attributes:
        path: of the file.
        setting: machine and conditions, in words.
        seconds: of the whole model.
        kinds: by name.
    """

    path: str
    setting: str
    seconds: float
    kinds: Dict[str, MeasuredKind]

    def check(self, model: nn.Module) -> None:
        """Raises ValueError unless the model has the shape that was measured; names what differs."""
        shapes = {kind: layers_shape(layers) for kind, layers in layers_by_kind(model).items()}
        for kind in {**self.kinds, **shapes}:
            measured = self.kinds[kind].shape if kind in self.kinds else {}
            for name in {**measured, **shapes.get(kind, {})}:
                there, here = measured.get(name, 0), shapes.get(kind, {}).get(name, 0)
                if there != here:
                    raise ValueError(
                        f"--latency-table {self.path}: measured with {there} {name} in {kind}, this model has {here}; "
                        "make one of it with ghat-bench --latency-table"
                    )


def kind_of(name: str, layer: RemovableUnits) -> str:
    """The kind of a layer of a translation model. name: as in removable_layers."""
    if name.endswith(".encoder_attn"):
        return "cross attention"
    return f"{name.split('.')[0]} {'feed-forward' if isinstance(layer, FeedForward) else 'self-attention'}"


def layers_by_kind(model: nn.Module) -> Dict[str, List[RemovableUnits]]:
    """The layers of a model with units that can be removed, by their kind."""
    kinds: Dict[str, List[RemovableUnits]] = {}
    for name, layer in removable_layers(model).items():
        kinds.setdefault(kind_of(name, layer), []).append(layer)
    return kinds


def layers_shape(layers: List[RemovableUnits]) -> Dict[str, int]:
    """Sizes of the layers of one kind, which must be alike.

    Raises:
        ValueError: if layers hold other numbers of units.
    """
    units = {layer.units for layer in layers}
    if len(units) > 1:
        raise ValueError(f"its layers hold {min(units)} to {max(units)} heads or neurons; allowed is one number")
    first = layers[0]
    unit = "neurons" if isinstance(first, FeedForward) else "heads"
    sizes = {"layers": len(layers), unit: first.units, "features": first.unit_features * first.units}
    return {**sizes, "outputs": first.projection.weight.size(0)}


def read_latency_table(path: str) -> LatencyTable:
    """The table that ghat-bench --latency-table wrote.

    Raises:
        ValueError: if the file cannot be read, or is another one; names it and says what to do.
    """
    try:
        with open(path, encoding="utf-8") as file:
            table = json.load(file)
        kinds = {kind: _measured_kind(figures) for kind, figures in table["kinds"].items()}
        seconds = float(table["seconds"])
        if not kinds or not 0 < seconds < math.inf:
            raise ValueError("no time")
        return LatencyTable(path, f"{table['setting']}; {table['machine']}", seconds, kinds)
    except OSError as error:
        raise ValueError(f"--latency-table {path}: cannot be read ({error.strerror})") from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        told = f"--latency-table {path}: not a whole table of ghat-bench --latency-table ({error!r}); make it anew"
        raise ValueError(told) from None


def _measured_kind(figures: Dict[str, Any]) -> MeasuredKind:
    """Raises ValueError, KeyError or TypeError for figures that are none."""
    shape = {str(name): int(number) for name, number in figures["shape"].items()}
    units, saved = [int(number) for number in figures["units"]], [float(number) for number in figures["saved"]]
    falls = all(more > fewer >= 0 for more, fewer in zip(units, units[1:]))
    if len(units) != len(saved) or not falls or saved[0] != 0 or not all(map(math.isfinite, saved)):
        raise ValueError("figures are missing")
    return MeasuredKind(shape, units, saved)
