"""Takes what attention layers hand out of their heads during a forward pass."""

from typing import Dict, Iterable, List, Mapping, Optional, Tuple

from torch import Tensor, nn

from fairseq_ghat.modules.grouped_attention import GroupedAttention, grouped_attentions


class FeatureSink:
    """Context in which the grouped attention layers of a model call `receive`.

    Args:
        model: holds GroupedAttention layers, possibly inside a data-parallel wrapper.
        target_padding: (B, T), true at padding of the decoder input; cross attention has no other way to
            know which of its queries are padding. May be set anew before each forward pass.

    Attributes:
        names: of the attention layers, in a fixed order; attentions: the layers.

    Raises:
        RuntimeError: if the model has no grouped attention.
    """

    def __init__(self, model: nn.Module, target_padding: Optional[Tensor] = None):
        self.names: Dict[GroupedAttention, str] = {layer: name for name, layer in grouped_attentions(model).items()}
        if not self.names:
            raise RuntimeError(
                f"{type(model).__name__} has no grouped attention: use an --arch that starts with ghat_transformer"
            )
        self.attentions = list(self.names)
        self.target_padding = target_padding

    def __enter__(self):
        for attention in self.attentions:
            attention.feature_sinks.append(self)
        return self

    def __exit__(self, *exc) -> None:
        for attention in self.attentions:
            attention.feature_sinks.remove(self)

    def receive(self, layer: GroupedAttention, value, attention, output, key_padding) -> None:
        """Called by a layer during its forward pass.

        value: (B, H, S, D); attention: (B, H, T, S), or None if not needed; output: (B, H, T, D);
        key_padding: (B, S), true at padding, or None.
        """
        raise NotImplementedError

    def query_padding(self, layer: GroupedAttention, key_padding: Optional[Tensor]) -> Optional[Tensor]:
        """Padding of the queries of a layer, (B, T) or None."""
        return key_padding if layer.self_attention else self.target_padding

    def feature_in_use(
        self, layer: GroupedAttention, value, attention, output, key_padding
    ) -> Tuple[Tensor, Optional[Tensor]]:
        """The feature map the layer is grouped by, (B, H, X, Y), and the padding of its positions, (B, X) or None."""
        feature = layer.grouping.feature
        if feature == "value":
            return value, key_padding
        return (attention if feature == "attention" else output), self.query_padding(layer, key_padding)


def target_padding(net_input: Mapping[str, Tensor], padding_idx: int) -> Optional[Tensor]:
    """(B, T), true at padding of the decoder input of a fairseq sample; None for language models, whose only
    attention knows its padding itself."""
    previous = net_input.get("prev_output_tokens")
    return None if previous is None else previous.eq(padding_idx)


def stacks_by_heads(layers: Iterable[GroupedAttention]) -> List[List[GroupedAttention]]:
    """The layers, one list per number of heads they compute, whose k x k matrices can be stacked."""
    stacks: Dict[int, List[GroupedAttention]] = {}
    for layer in layers:
        stacks.setdefault(layer.heads_computed, []).append(layer)
    return list(stacks.values())
