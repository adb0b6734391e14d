"""One pass over data that sums up what the heads of a model compute, so that nothing of a batch outlives it."""

from dataclasses import dataclass, field
from typing import Callable, Dict, Mapping

import torch
from fairseq.data import Dictionary
from torch import Tensor

from fairseq_ghat.core.attention_focus import total_confidence, total_entropy
from fairseq_ghat.core.gram_matrix import feature_gram
from fairseq_ghat.core.projection_refit import InputMoments
from fairseq_ghat.modules.attention_layers import grouped_attentions
from fairseq_ghat.modules.grouped_attention import GroupedAttention
from fairseq_ghat.modules.grouping import FEATURES
from fairseq_ghat.modules.head_features import HeadMaps, RecordedFeatures
from fairseq_ghat.modules.projection_inputs import adding_moments, paddings
from fairseq_ghat.pruning.calibration import Calibration, frozen

# Numbers of feature maps that are taken to float64 at a time: 8 MiB, which caches hold in part.
_MOST_NUMBERS = 2**20


@dataclass
class LayerSums:
    """Sums over data of what the H heads of an attention layer compute, in float64.

    Args:
        layer: the attention layer.

    Attributes:
        grams: Gram matrix (H, H) of each of FEATURES.
        moments: of the outputs of the heads, which go into the output projection.
        entropy: of the attention of each head, nats, summed over queries, (H,).
        queries: positions that ask, without padding, ().
        confidence: greatest weight of each head, summed over queries, end-of-sentence symbols left out, (H,).
        words: queries that are no end-of-sentence symbol, ().
    """

    layer: GroupedAttention
    grams: Dict[str, Tensor] = field(init=False)
    moments: InputMoments = field(init=False)

    def __post_init__(self):
        heads, device = self.layer.heads_held, self.layer.head_mask.device
        shapes = {"entropy": heads, "confidence": heads, "queries": (), "words": ()}
        zeros = {name: torch.zeros(shape, dtype=torch.float64, device=device) for name, shape in shapes.items()}
        self.entropy, self.confidence, self.queries, self.words = zeros.values()
        self.grams = {name: torch.zeros(heads, heads, dtype=torch.float64, device=device) for name in FEATURES}
        self.moments = InputMoments(heads * self.layer.head_dim, device)

    def is_finite(self) -> bool:
        """Whether all sums are numbers; those of a model whose training diverged are not."""
        return all(bool(sums.isfinite().all()) for sums in (*self.grams.values(), self.entropy, *self.moments.sums()))


@dataclass
class HeadSums:
    """Sums over data of what all heads of a model compute.

    Attributes:
        layers: by name of the attention layer.
        sentences: that were passed over; blocks of text, of a language model.
    """

    layers: Dict[str, LayerSums]
    sentences: int = 0


def sum_heads(
    calibration: Calibration, dictionary: Dictionary, progress: Callable[[int], None] = lambda batches: None
) -> HeadSums:
    """Sums up what the heads of a model compute, in one pass over data.

    Args:
        calibration: a model that computes all heads it holds, and the data.
        dictionary: that tells the symbols of padding and of the end of a sentence.
        progress: called with the number of batches that are done.
    """
    model = calibration.model
    sums = HeadSums({name: LayerSums(layer) for name, layer in grouped_attentions(model).items()})
    moments = {layer_sums.layer: layer_sums.moments for layer_sums in sums.layers.values()}
    with frozen(model):
        for done, sample in enumerate(calibration.samples(), start=1):
            if sample:
                net_input = sample["net_input"]
                padding = paddings(model, net_input, dictionary.pad())
                recorder = _Recorder(calibration, sums.layers, padding["decoder"], net_input, dictionary)
                with recorder, adding_moments(moments, calibration.names, padding):
                    model(**net_input, features_only=True)
                sums.sentences += net_input["src_tokens"].size(0)
            progress(done)
    return sums


class _Recorder(RecordedFeatures):
    """Context of a forward pass in which attention layers add what their heads compute to their sums."""

    def __init__(self, calibration: Calibration, sums: Dict[str, LayerSums], padding, net_input, dictionary):
        super().__init__({name: layer_sums.layer for name, layer_sums in sums.items()}, calibration.grouping, padding)
        self.needs_weights = True
        self._sums, self._tokens, self._dictionary = sums, _tokens(net_input), dictionary

    def receive(self, layer: GroupedAttention, maps: HeadMaps) -> None:
        name = self.names[layer]
        sums, queries = self._sums[name], self._tokens[name.split(".")[0]]
        for feature in FEATURES:
            sums.grams[feature] += _gram(*self.of_kind(feature, layer, maps))
        content, words = queries.ne(self._dictionary.pad()), self._words(queries)
        sums.queries += content.sum()
        sums.words += words.sum()
        sums.entropy += total_entropy(maps.attention, content)
        sums.confidence += total_confidence(maps.attention, words, self._words(self._keys(layer, queries)))

    def _words(self, tokens: Tensor) -> Tensor:
        return tokens.ne(self._dictionary.pad()) & tokens.ne(self._dictionary.eos())

    def _keys(self, layer: GroupedAttention, queries: Tensor) -> Tensor:
        """The tokens whose keys a layer attends to, (B, S)."""
        if layer.self_attention:
            return queries
        source = self._tokens["encoder"]
        return source if layer.encoder_decoder_attention else torch.cat([source, queries], dim=1)


def _tokens(net_input: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """Tokens that each side of a model reads, (B, T)."""
    source = net_input["src_tokens"]
    return {"encoder": source, "decoder": net_input.get("prev_output_tokens", source)}


def _gram(features: Tensor, padding) -> Tensor:
    """feature_gram in float64, a few sentences at a time."""
    sentences = max(1, _MOST_NUMBERS // max(1, features[0].numel()))
    parts = features.split(sentences)
    masks = [None] * len(parts) if padding is None else padding.split(sentences)
    return sum(feature_gram(part.double(), mask) for part, mask in zip(parts, masks))
