"""Collects what attention layers hand out of their heads during a forward pass."""

from typing import Dict, Iterable, List, Mapping, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fairseq_ghat.core.gram_matrix import feature_gram
from fairseq_ghat.core.output_refit import OutputMoments
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


FEATURES = ("value", "attention", "output")


class FeatureGrams(FeatureSink):
    """Context in which a forward pass leaves one H x H matrix per attention layer.

        with FeatureGrams(model, target_padding) as grams:
            model(**net_input)
        stacks = grams.stacks()

    Layers that LayerDrop skipped leave none; a layer that ran twice leaves the sum.
    """

    def __init__(self, model: nn.Module, target_padding: Optional[Tensor] = None):
        super().__init__(model, target_padding)
        self._grams: Dict[GroupedAttention, Tensor] = {}

    def receive(self, layer: GroupedAttention, value, attention, output, key_padding) -> None:
        features, padding = self.feature_in_use(layer, value, attention, output, key_padding)
        gram = feature_gram(features, padding)
        self._grams[layer] = self._grams[layer] + gram if layer in self._grams else gram

    def by_name(self) -> Dict[str, Tensor]:
        """Gram matrix (H, H) of each layer that ran, by layer name."""
        return {self.names[layer]: gram for layer, gram in self._grams.items()}

    def layer_stacks(self) -> List[List[GroupedAttention]]:
        """The layers that ran, one list per number of heads."""
        return stacks_by_heads(layer for layer in self.attentions if layer in self._grams)

    def stacks(self) -> List[Tensor]:
        """Gram matrices (L, H, H), one stack per number of heads, in the order of layer_stacks()."""
        return [torch.stack([self._grams[layer] for layer in layers]) for layers in self.layer_stacks()]


class PooledFeatures(FeatureSink):
    """Context in which a forward pass leaves one (H, D) matrix per attention layer: the mean of the feature map
    of each head over the positions of the batch, padding left out, scaled to zero mean and unit variance."""

    def __init__(self, model: nn.Module, target_padding: Optional[Tensor] = None):
        super().__init__(model, target_padding)
        self._pooled: Dict[GroupedAttention, Tensor] = {}

    def receive(self, layer: GroupedAttention, value, attention, output, key_padding) -> None:
        features, padding = self.feature_in_use(layer, value, attention, output, key_padding)
        self._pooled[layer] = pool_heads(features, padding)

    def pooled(self, layers: List[GroupedAttention]) -> List[Tensor]:
        """Pooled features (H, D) of each of the layers."""
        return [self._pooled[layer] for layer in layers]


def pool_heads(features: Tensor, padding: Optional[Tensor]) -> Tensor:
    """(B, H, X, D), padding (B, X) true at padding or None -> (H, D) in float32 at least."""
    with torch.autocast(device_type=features.device.type, enabled=False):
        features = features.float() if features.dtype != torch.float64 else features
        if padding is None:
            pooled = features.mean((0, 2))
        else:
            content = (~padding.to(torch.bool)).to(features)
            pooled = torch.einsum("bhxd,bx->hd", features, content) / content.sum().clamp_min(1)
        return F.layer_norm(pooled, pooled.shape[-1:])


class HeadOutputMoments(FeatureSink):
    """Context in which forward passes add to the moments of each layer; set `target_padding` before each.

    Attributes:
        moments: by layer, for all layers of the model from the start.
    """

    def __init__(self, model: nn.Module):
        super().__init__(model)
        self.moments: Dict[GroupedAttention, OutputMoments] = {
            layer: OutputMoments(layer.heads_computed * layer.head_dim, layer.head_mask.device)
            for layer in self.attentions
        }

    def receive(self, layer: GroupedAttention, value, attention, output, key_padding) -> None:
        padding = self.query_padding(layer, key_padding)
        outputs: Tensor = output.permute(0, 2, 1, 3).flatten(2)  # (B, T, H*D)
        self.moments[layer].add(outputs.flatten(0, 1) if padding is None else outputs[~padding.bool()])
