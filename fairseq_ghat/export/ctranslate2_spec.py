"""Converts a translation model of ours to a specification of CTranslate2 (tested with 4.8).

CTranslate2's own fairseq converter derives the width of a head from the number of heads, which pruning changes. Here
every attention layer states its width and its scale; the weights are copied by the functions of that converter.
"""

import copy
from typing import Any, Dict, List

from ctranslate2.converters.fairseq import set_transformer_decoder, set_transformer_encoder
from ctranslate2.specs import common_spec, transformer_spec
from fairseq.data import Dictionary
from torch import nn

from fairseq_ghat.export.padded_heads import padded_projections
from fairseq_ghat.models.ghat_transformer import GHATTransformerModel
from fairseq_ghat.modules.attention_layers import grouped_attentions

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


class NotExportable(ValueError):
    """A model that CTranslate2 cannot compute; the message says why."""


def as_transformer_spec(
    model: GHATTransformerModel, source: Dictionary, target: Dictionary
) -> transformer_spec.TransformerSpec:
    """Copies weights of a translation model and its vocabularies into CTranslate2's layout.

    All attentions of the encoder have the same number of heads, and all of the decoder, cross attention included:
    layers with fewer heads get heads of zeros.

    Returns:
        The specification, in float32, without the heads that were voted out.

    Raises:
        NotExportable: for options that CTranslate2 has no counterpart of; names them.
    """
    _check(model.args)
    model = copy.deepcopy(model).cpu().float().requires_grad_(False)  # CTranslate2 quantizes arrays in place
    encoder, decoder = model.encoder, model.decoder
    spec = transformer_spec.TransformerSpec(
        transformer_spec.TransformerEncoderSpec(**_layout(encoder, model.args.encoder_normalize_before, model.args)),
        transformer_spec.TransformerDecoderSpec(**_layout(decoder, model.args.decoder_normalize_before, model.args)),
    )
    for side_spec, side in ((spec.encoder, encoder), (spec.decoder, decoder)):
        for layer in grouped_attentions(side).values():
            for name, (weight, bias) in padded_projections(layer, int(side_spec.num_heads)).items():
                linear = getattr(layer, name)
                linear.weight, linear.bias = (nn.Parameter(tensor, False) for tensor in (weight, bias))
    set_transformer_encoder(spec.encoder, encoder)
    set_transformer_decoder(spec.decoder, decoder)
    for layer_spec, layer in zip((*spec.encoder.layer, *spec.decoder.layer), (*encoder.layers, *decoder.layers)):
        layer_spec.self_attention.queries_scale = layer.self_attn.head_dim**-0.5
        if hasattr(layer_spec, "attention"):
            layer_spec.attention.queries_scale = layer.encoder_attn.head_dim**-0.5
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


def _layout(side: nn.Module, pre_norm: bool, args) -> Dict[str, Any]:
    """Options of CTranslate2's specification of the encoder or of the decoder."""
    attentions = grouped_attentions(side).values()
    return {
        "num_layers": len(side.layers),
        "num_heads": max(1, *(layer.heads_computed for layer in attentions)),  # one of zeros where none stays at all
        "pre_norm": pre_norm,
        "no_final_norm": side.layer_norm is None,
        "activation": _ACTIVATIONS[getattr(args, "activation_fn", "relu")],
        "layernorm_embedding": side.layernorm_embedding is not None,
        "head_dim": side.layers[0].self_attn.head_dim,
    }


def _vocabulary(dictionary: Dictionary) -> List[str]:
    if _BLANK in dictionary.symbols:
        raise NotExportable(f"the dictionary has a symbol {_BLANK}, which is CTranslate2's padding")
    return [_BLANK if symbol == _PAD else symbol for symbol in dictionary.symbols]
