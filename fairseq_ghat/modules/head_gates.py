"""Gates on the heads of every attention layer: factors of the head outputs, to measure and to learn by gradients."""

from typing import Any, Callable, Dict, List

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from fairseq_ghat.modules.grouped_attention import GroupedAttention, grouped_attentions
from fairseq_ghat.modules.unit_slices import per_feature


class HeadGates:
    """Context in which each head's output is multiplied by its gate, before the output projection.

    Works by forward hooks, on models that have not been voted on yet.

    Attributes:
        gates: by layer, (H,) or, with a gate for each sentence, (B, H); layers without one are as ever.
    """

    def __init__(self, model: nn.Module):
        self.attentions = list(grouped_attentions(model).values())
        self.gates: Dict[GroupedAttention, Tensor] = {}
        self._hooks: List[RemovableHandle] = []

    def __enter__(self) -> "HeadGates":
        for layer in self.attentions:
            self._hooks.append(layer.out_proj.register_forward_pre_hook(self._gate(layer)))
        return self

    def __exit__(self, *exception: object) -> None:
        while self._hooks:
            self._hooks.pop().remove()

    def _gate(self, layer: GroupedAttention) -> Callable:
        def multiply(_: nn.Module, inputs: Any) -> Any:
            gate = self.gates.get(layer)
            if gate is None:
                return None
            (outputs,) = inputs  # (T, B, H*D)
            return (outputs * per_feature(gate.to(outputs.dtype), layer.head_dim),)

        return multiply
