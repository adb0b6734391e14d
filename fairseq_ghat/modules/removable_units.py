"""What attention layers with their heads and feed-forward layers with their neurons have in common."""

from typing import Protocol, Sequence

from torch import nn


class RemovableUnits(Protocol):
    """A layer with units that can be removed: an attention with its heads, a feed-forward layer with its neurons.

    Attributes:
        units: U, that the layer holds.
        unit_features: D, features that each of them computes.
        holder: the module that holds its projections, under the names of modules/unit_slices.py.
        projection: that maps the features of all units, (..., U*D), to the output of the layer, (..., E).
    """

    @property
    def units(self) -> int: ...

    @property
    def unit_features(self) -> int: ...

    @property
    def holder(self) -> nn.Module: ...

    @property
    def projection(self) -> nn.Linear: ...

    def remove_units(self, kept: Sequence[int]) -> None:
        """Removes all units but those of some increasing indexes."""
