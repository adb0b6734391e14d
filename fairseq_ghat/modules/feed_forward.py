"""The feed-forward layers of a model, fc2(activation(fc1(x))), whose neurons can be removed."""

from dataclasses import dataclass
from typing import Dict, Mapping, Sequence, cast

import torch
from torch import nn

from fairseq_ghat.modules.unit_slices import FIRST_LINEAR, SECOND_LINEAR, cut_projections
from fairseq_ghat.modules.wrappers import name_inside


@dataclass(frozen=True)
class FeedForward:
    """The feed-forward part of a transformer layer.

    Attributes:
        holder: the transformer layer that holds its projections.
        unit_features: as RemovableUnits: each neuron is one feature.
    """

    holder: nn.Module
    unit_features: int = 1

    @property
    def first(self) -> nn.Linear:
        """The projection that makes the neurons, E to F."""
        return cast(nn.Linear, getattr(self.holder, FIRST_LINEAR))

    @property
    def projection(self) -> nn.Linear:
        """The projection behind the neurons, F to E."""
        return cast(nn.Linear, getattr(self.holder, SECOND_LINEAR))

    @property
    def units(self) -> int:
        """F, neurons that the layer holds."""
        return self.projection.weight.size(1)

    def remove_units(self, kept: Sequence[int]) -> None:
        """Cuts the projections down to the neurons that stay, see cut_projections. kept: increasing indexes."""
        features = torch.tensor(list(kept), dtype=torch.long, device="cpu")
        cut_projections(self.holder, (FIRST_LINEAR, SECOND_LINEAR), features)


def feed_forwards(model: nn.Module) -> Dict[str, FeedForward]:
    """The feed-forward layers of a model by the name of their transformer layer, in a fixed order."""
    return {
        name_inside(name): FeedForward(module)
        for name, module in model.named_modules()
        if isinstance(getattr(module, FIRST_LINEAR, None), nn.Linear)
        and isinstance(getattr(module, SECOND_LINEAR, None), nn.Linear)
    }


def neurons_per_layer(model: nn.Module) -> Dict[str, int]:
    """Neurons of each feed-forward layer, by layer name."""
    return {name: layer.units for name, layer in feed_forwards(model).items()}


def remove_neurons(model: nn.Module, neurons: Mapping[str, int]) -> None:
    """Cuts feed-forward layers down to a number of neurons, for a model whose weights are loaded afterwards.

    Args:
        model: with all the neurons it was made with.
        neurons: that stay in each layer, by its name.

    Raises:
        ValueError: if a layer does not exist or has fewer neurons; names it.
    """
    layers = feed_forwards(model)
    for name, count in neurons.items():
        if name not in layers:
            raise ValueError(f"neurons to keep: the model has no feed-forward layer {name}")
        if not 0 < count <= layers[name].units:
            raise ValueError(f"neurons to keep: {name} keeps {count}, allowed is 1 to {layers[name].units}")
    for name, count in neurons.items():
        layers[name].remove_units(range(count))
