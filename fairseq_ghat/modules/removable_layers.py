"""The layers of a model with units that can be removed, and what a vote left of them."""

from typing import Dict, Iterable, List, Mapping, NamedTuple
from zlib import crc32

from torch import nn

from fairseq_ghat.modules.attention_layers import grouped_attentions
from fairseq_ghat.modules.feed_forward import feed_forwards
from fairseq_ghat.modules.removable_units import RemovableUnits


class KeptUnits(NamedTuple):
    """What a vote left of a layer.

    Attributes:
        units: increasing indexes of the units that stay.
        of: units that there were.
    """

    units: List[int]
    of: int

    def checksum(self) -> int:
        """A number that tells whether two layers of as many units keep the same ones."""
        return crc32(str(self.units).encode())


class Kept(NamedTuple):
    """What a vote left of a model.

    Attributes:
        heads: of each attention layer, by its name.
        neurons: of each feed-forward layer of which neurons were removed, by the name of its transformer layer.
    """

    heads: Dict[str, KeptUnits]
    neurons: Dict[str, KeptUnits]

    def head_indexes(self) -> Dict[str, List[int]]:
        """Indexes of the heads that stay, by layer name."""
        return {name: layer.units for name, layer in self.heads.items()}

    def layers(self) -> Dict[str, KeptUnits]:
        """Both, by layer name."""
        return {**self.heads, **self.neurons}


def removable_layers(model: nn.Module) -> Dict[str, RemovableUnits]:
    """The attention and the feed-forward layers of a model, by name, in a fixed order."""
    return {**grouped_attentions(model), **feed_forwards(model)}


def remove_units(model: nn.Module, kept: Mapping[str, KeptUnits]) -> None:
    """Removes from a model what a vote removed from another one of the same shape. kept: by layer name."""
    layers = removable_layers(model)
    for name, (units, _) in kept.items():
        layers[name].remove_units(units)


def take_projections(model: nn.Module, other: nn.Module, names: Iterable[str]) -> None:
    """Gives layers of a model the projections of another one of the same shape, as after a refit."""
    layers, others = removable_layers(model), removable_layers(other)
    for name in names:
        layers[name].projection.load_state_dict(others[name].projection.state_dict())
