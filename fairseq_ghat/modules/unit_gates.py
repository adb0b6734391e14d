"""Gates on the heads or neurons of layers: factors of what they compute, to measure and to learn by gradients."""

from typing import Any, Callable, Dict, Iterable, List

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from fairseq_ghat.modules.removable_units import RemovableUnits
from fairseq_ghat.modules.unit_slices import per_feature


class UnitGates:
    """Context in which each unit's features are multiplied by its gate, before the projection behind them.

    Works by forward hooks, on models that have not been voted on yet.

    Attributes:
        layers: attention or feed-forward layers.
        gates: by layer, (U,) or, with a gate for each sentence, (B, U); layers without one are as ever.
    """

    def __init__(self, layers: Iterable[RemovableUnits]):
        self.layers = list(layers)
        self.gates: Dict[RemovableUnits, Tensor] = {}
        self._hooks: List[RemovableHandle] = []

    def __enter__(self) -> "UnitGates":
        for layer in self.layers:
            self._hooks.append(layer.projection.register_forward_pre_hook(self._gate(layer)))
        return self

    def __exit__(self, *exception: object) -> None:
        while self._hooks:
            self._hooks.pop().remove()

    def _gate(self, layer: RemovableUnits) -> Callable:
        def multiply(_: nn.Module, inputs: Any) -> Any:
            gate = self.gates.get(layer)
            if gate is None:
                return None
            (features,) = inputs  # (T, B, U*D)
            return (features * per_feature(gate.to(features.dtype), layer.unit_features),)

        return multiply
