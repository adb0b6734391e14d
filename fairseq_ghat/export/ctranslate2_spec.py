"""Converts a translation model of ours to a specification of CTranslate2 (tested with 4.8).

CTranslate2's own fairseq converter derives the width of a head from the number of heads, which pruning changes. Here
every attention layer states its width and its scale.
"""

from typing import Any, Dict, List

import numpy as np
import torch
from ctranslate2.specs import common_spec, transformer_spec
from fairseq.data import Dictionary
from torch import Tensor, nn

from fairseq_ghat.export.padded_heads import padded_projections
from fairseq_ghat.models.ghat_transformer import GHATTransformerModel
from fairseq_ghat.modules.grouped_attention import GroupedAttention

_ACTIVATIONS = {
    "relu": common_spec.Activation.RELU,
    "gelu": common_spec.Activation.GELU,
    "gelu_accurate": common_spec.Activation.GELUTanh,
    "gelu_fast": common_spec.Activation.GELUTanh,
    "swish": common_spec.Activation.SWISH,
}
_REFUSED = (
    *("no_token_positional_embeddings", "no_cross_attention", "cross_self_attention"),
    *("adaptive_softmax_cutoff", "adaptive_input"),
)
# Padding in the vocabularies of fairseq and of CTranslate2.
_PAD, _BLANK = "<pad>", "<blank>"
# Projections in each linear layer of an attention: two linear layers in self attention, three in cross attention.
_STACKED = {
    2: (("q_proj", "k_proj", "v_proj"), ("out_proj",)),
    3: (("q_proj",), ("k_proj", "v_proj"), ("out_proj",)),
}


class NotExportable(ValueError):
    """A model that CTranslate2 cannot compute; the message says why."""


def as_transformer_spec(
    model: GHATTransformerModel, source: Dictionary, target: Dictionary
) -> transformer_spec.TransformerSpec:
    """Copies weights and vocabularies of a model into CTranslate2's layout.

    All attentions of the encoder have the same number of heads, and all of the decoder, cross attention included:
    layers with fewer heads get heads of zeros.

    Args:
        model: translation model.
        source: dictionary of the source language.
        target: dictionary of the target language.

    Returns:
        The specification, in float32, without the heads that were voted out.

    Raises:
        NotExportable: for options that CTranslate2 has no counterpart of; names them.
    """
    args = model.args
    _check(args)
    encoder, decoder = model.encoder, model.decoder
    activation = _ACTIVATIONS[getattr(args, "activation_fn", "relu")]
    spec = transformer_spec.TransformerSpec(
        transformer_spec.TransformerEncoderSpec(**_layout(encoder, args.encoder_normalize_before, activation)),
        transformer_spec.TransformerDecoderSpec(**_layout(decoder, args.decoder_normalize_before, activation)),
    )
    _set_side(spec.encoder, encoder, spec.encoder.embeddings[0])
    _set_side(spec.decoder, decoder, spec.decoder.embeddings)
    _set_linear(spec.decoder.projection, decoder.output_projection)
    for side, layers in ((spec.encoder, encoder.layers), (spec.decoder, decoder.layers)):
        heads = int(side.num_heads)
        for layer_spec, layer in zip(side.layer, layers):
            _set_attention(layer_spec.self_attention, layer.self_attn, layer.self_attn_layer_norm, heads)
            if hasattr(layer_spec, "attention"):
                _set_attention(layer_spec.attention, layer.encoder_attn, layer.encoder_attn_layer_norm, heads)
            _set_norm(layer_spec.ffn.layer_norm, layer.final_layer_norm)
            _set_linear(layer_spec.ffn.linear_0, layer.fc1)
            _set_linear(layer_spec.ffn.linear_1, layer.fc2)
    spec.register_source_vocabulary(_vocabulary(source))
    spec.register_target_vocabulary(_vocabulary(target))
    # fairseq begins a translation with the end-of-sentence symbol, and ends each source with it.
    spec.config.decoder_start_token = spec.config.eos_token
    spec.config.add_source_eos = True
    return spec


def _check(args) -> None:
    given = [f"--{name.replace('_', '-')}" for name in _REFUSED if getattr(args, name, None)]
    for side in ("input", "output"):
        if getattr(args, f"decoder_{side}_dim") != args.decoder_embed_dim:
            given.append(f"--decoder-{side}-dim other than --decoder-embed-dim")
    if getattr(args, "activation_fn", "relu") not in _ACTIVATIONS:
        given.append(f"--activation-fn {args.activation_fn} (allowed is {', '.join(_ACTIVATIONS)})")
    if given:
        raise NotExportable(f"CTranslate2 has no counterpart of {', '.join(given)}")


def _layout(side: nn.Module, pre_norm: bool, activation: common_spec.Activation) -> Dict[str, Any]:
    """Options of CTranslate2's specification of the encoder or of the decoder."""
    attentions = [module for module in side.modules() if isinstance(module, GroupedAttention)]
    return {
        "num_layers": len(side.layers),
        "num_heads": max(1, *(layer.heads_computed for layer in attentions)),  # one of zeros where none stays at all
        "pre_norm": pre_norm,
        "no_final_norm": side.layer_norm is None,
        "activation": activation,
        "layernorm_embedding": side.layernorm_embedding is not None,
        "head_dim": attentions[0].head_dim,
    }


def _set_side(spec, side: nn.Module, embeddings) -> None:
    embeddings.weight = _array(side.embed_tokens.weight)
    spec.scale_embeddings = side.embed_scale
    positions = side.embed_positions
    table = positions.weight if isinstance(positions, nn.Embedding) else positions.weights
    spec.position_encodings.encodings = _array(table[positions.padding_idx + 1 :])
    for name in ("layer_norm", "layernorm_embedding"):
        if getattr(side, name) is not None:
            _set_norm(getattr(spec, name), getattr(side, name))


def _set_attention(spec, layer: GroupedAttention, norm: nn.LayerNorm, heads: int) -> None:
    """Sets an attention of so many heads; linear layers of the specification stack several projections."""
    projections = padded_projections(layer, heads)
    for linear, names in zip(spec.linear, _STACKED[len(spec.linear)]):
        weights, biases = zip(*(projections[name] for name in names))
        linear.weight, linear.bias = _array(torch.cat(weights)), _array(torch.cat(biases))
    spec.queries_scale = layer.head_dim**-0.5
    _set_norm(spec.layer_norm, norm)


def _set_linear(spec, linear: nn.Linear) -> None:
    spec.weight = _array(linear.weight)
    if linear.bias is not None:
        spec.bias = _array(linear.bias)


def _set_norm(spec, norm: nn.LayerNorm) -> None:
    spec.gamma, spec.beta = _array(norm.weight), _array(norm.bias)


def _array(tensor: Tensor) -> np.ndarray:
    """A copy: CTranslate2 quantizes arrays in place, and the model's own weights must stay."""
    return tensor.detach().float().cpu().numpy().copy()


def _vocabulary(dictionary: Dictionary) -> List[str]:
    if _BLANK in dictionary.symbols:
        raise NotExportable(f"the dictionary has a symbol {_BLANK}, which is CTranslate2's padding")
    return [_BLANK if symbol == _PAD else symbol for symbol in dictionary.symbols]
