"""Gates on the heads of every attention layer: factors of the head outputs, to measure and to learn by gradients."""

from typing import Dict

from torch import Tensor, nn

from fairseq_ghat.modules.grouped_attention import GroupedAttention, grouped_attentions


class HeadGates:
    """Context in which each head's output is multiplied by its gate, before the output projection.

    Works by forward hooks, on models that have not been voted on yet.

    Attributes:
        gates: by layer, (H,) or, with a gate for each sentence, (B, H); layers without one are as ever.
    """

    def __init__(self, model: nn.Module):
        self.attentions = list(grouped_attentions(model).values())
        self.gates: Dict[GroupedAttention, Tensor] = {}
        self._hooks = []

    def __enter__(self) -> "HeadGates":
        for layer in self.attentions:
            self._hooks.append(layer.out_proj.register_forward_pre_hook(self._gate(layer)))
        return self

    def __exit__(self, *exc) -> None:
        while self._hooks:
            self._hooks.pop().remove()

    def _gate(self, layer: GroupedAttention):
        def multiply(_, inputs):
            gate = self.gates.get(layer)
            if gate is None:
                return None
            (outputs,) = inputs  # (T, B, H*D)
            return (outputs * gate.to(outputs.dtype).repeat_interleave(layer.head_dim, -1),)

        return multiply
