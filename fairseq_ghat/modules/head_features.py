"""What the method takes from the feature maps of the heads while a model computes: Gram matrices, means."""

from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

import torch
from torch import Tensor
from torch.nn import functional as F

from fairseq_ghat.core.gram_matrix import feature_gram, no_autocast
from fairseq_ghat.modules.grouping import Grouping

# A GroupedAttention, which knows this file and is not known here.
Layer = Any


class HeadMaps(NamedTuple):
    """Feature maps of the heads of one attention layer in one forward pass (paper, section 3.1).

    Attributes:
        value: v, before the attention, (B, H, S, D).
        attention: a, (B, H, T, S), or None where it was not needed.
        output: o = a v, before the output projection, (B, H, T, D).
        key_padding: true at padding of the keys, (B, S), or None.
    """

    value: Tensor
    attention: Optional[Tensor]
    output: Tensor
    key_padding: Optional[Tensor]


class RecordedFeatures:
    """Context in which attention layers hand over the feature maps of their heads during a forward pass.

        with record_features(model, target_padding) as features:
            model(**net_input)
        stacks = features.stacks()

    Whatever is wanted of the maps is made at once, so that none of them outlives its layer. Layers that LayerDrop
    skipped leave nothing.

    Args:
        attentions: attention layers of a model, by name.
        grouping: of the model.
        target_padding: true at padding of the decoder input, (B, T); cross attention has no other way to know which
            of its queries are padding. None where there is no padding, or no cross attention.
        pooled: whether pooled features are wanted beside the Gram matrices.

    Attributes:
        names: of the attention layers.
        layers: the attention layers.
        grouping: of the model.
        needs_weights: whether the layers must hand over their attention maps.
    """

    def __init__(
        self,
        attentions: Mapping[str, Layer],
        grouping: Grouping,
        target_padding: Optional[Tensor] = None,
        pooled: bool = False,
    ):
        self.names = {layer: name for name, layer in attentions.items()}
        self.layers = list(self.names)
        self.grouping, self._target_padding = grouping, target_padding
        self._pooled_wanted = pooled
        self._grams: Dict[Layer, Tensor] = {}
        self._pooled: Dict[Layer, Tensor] = {}
        self.needs_weights = grouping.feature == "attention"

    def __enter__(self) -> "RecordedFeatures":
        for layer in self.layers:
            layer.recorder = self
        return self

    def __exit__(self, *exception: object) -> None:
        for layer in self.layers:
            layer.recorder = None

    def receive(self, layer: Layer, maps: HeadMaps) -> None:
        """Called by a layer in its forward pass."""
        features, padding = self.in_use(layer, maps)
        gram = feature_gram(features, padding)
        self._grams[layer] = self._grams[layer] + gram if layer in self._grams else gram
        if self._pooled_wanted:
            self._pooled[layer] = pool_heads(features, padding)

    def in_use(self, layer: Layer, maps: HeadMaps) -> Tuple[Tensor, Optional[Tensor]]:
        """The feature map that heads are grouped by, see of_kind."""
        return self.of_kind(self.grouping.feature, layer, maps)

    def of_kind(self, feature: str, layer: Layer, maps: HeadMaps) -> Tuple[Tensor, Optional[Tensor]]:
        """One of FEATURES, (B, H, X, Y), and the padding of its positions, (B, X) or None."""
        if feature == "value":
            return maps.value, maps.key_padding
        features = maps.output if feature == "output" else maps.attention
        assert features is not None  # needs_weights says so
        return features, self._query_padding(layer, maps)

    def _query_padding(self, layer: Layer, maps: HeadMaps) -> Optional[Tensor]:
        return maps.key_padding if layer.self_attention else self._target_padding

    def grams(self) -> Dict[str, Tensor]:
        """Feature Gram matrix (H, H) of each layer that ran, by its name; of one that ran twice, the sum."""
        return {self.names[layer]: gram for layer, gram in self._grams.items()}

    def layer_stacks(self) -> List[List[Layer]]:
        """The layers that ran, one list per number of heads."""
        return stacks_by_heads(layer for layer in self.layers if layer in self._grams)

    def stacks(self) -> List[Tensor]:
        """Gram matrices (L, H, H), one stack per number of heads, in the order of layer_stacks()."""
        return [torch.stack([self._grams[layer] for layer in layers]) for layers in self.layer_stacks()]

    def pooled(self, layers: Iterable[Layer]) -> List[Tensor]:
        """Pooled features (H, D) of each of some layers, see pool_heads."""
        return [self._pooled[layer] for layer in layers]


def target_padding(net_input: Mapping[str, Tensor], padding_idx: int) -> Optional[Tensor]:
    """Padding of the decoder input of a fairseq sample, (B, T), true at padding; None for language models, whose only
    attention knows its padding itself."""
    previous = net_input.get("prev_output_tokens")
    return None if previous is None else previous.eq(padding_idx)


def stacks_by_heads(layers: Iterable[Layer]) -> List[List[Layer]]:
    """The layers, one list per number of heads they compute, whose H x H matrices can be stacked."""
    stacks: Dict[int, List[Layer]] = {}
    for layer in layers:
        stacks.setdefault(layer.heads_computed, []).append(layer)
    return list(stacks.values())


def pool_heads(features: Tensor, padding: Optional[Tensor]) -> Tensor:
    """Mean of the feature map of each head over the positions of a batch, scaled to zero mean and unit variance.

    The classification form of the constraint reads it (Eq. 4 A).

    Args:
        features: (B, H, X, D).
        padding: true at positions that do not count, (B, X), or None.

    Returns:
        (H, D), in float32 at least.
    """
    with no_autocast(features.device):
        features = features.float() if features.dtype != torch.float64 else features
        if padding is None:
            pooled = features.mean((0, 2))
        else:
            content = (~padding.to(torch.bool)).to(features)
            pooled = torch.einsum("bhxd,bx->hd", features, content) / content.sum().clamp_min(1)
        return F.layer_norm(pooled, pooled.shape[-1:])
