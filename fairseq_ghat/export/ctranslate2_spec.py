"""A translation model of ours as a specification of CTranslate2 (tested with 4.8).

CTranslate2's own fairseq converter takes the width of a head from the number of heads, which pruning changes: here
every attention layer says its width and its scale itself.
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
# What fairseq calls its padding, and what CTranslate2 does.
_PAD, _BLANK = "<pad>", "<blank>"


class NotExportable(ValueError):
    """A model that CTranslate2 cannot compute; the message says why."""


def as_transformer_spec(model: GHATTransformerModel, source: Dictionary, target: Dictionary):
    """The model's weights and vocabularies in CTranslate2's layout, as float32 copies; heads voted out are left out.

    One number of heads holds for the encoder and one for the decoder (self and cross attention together): layers with
    fewer get heads of zeros.

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
        for one, layer in zip(side.layer, layers):
            _set_self_attention(one.self_attention, layer.self_attn, heads)
            _set_norm(one.self_attention.layer_norm, layer.self_attn_layer_norm)
            if hasattr(one, "attention"):
                _set_cross_attention(one.attention, layer.encoder_attn, heads)
                _set_norm(one.attention.layer_norm, layer.encoder_attn_layer_norm)
            _set_norm(one.ffn.layer_norm, layer.final_layer_norm)
            _set_linear(one.ffn.linear_0, layer.fc1)
            _set_linear(one.ffn.linear_1, layer.fc2)
    spec.register_source_vocabulary(_vocabulary(source))
    spec.register_target_vocabulary(_vocabulary(target))
    # fairseq begins a translation with the end-of-sentence symbol, and ends each source with it.
    spec.config.decoder_start_token = spec.config.eos_token
    spec.config.add_source_eos = True
    return spec


def _check(args) -> None:
    refused = {
        "--no-token-positional-embeddings": getattr(args, "no_token_positional_embeddings", False),
        "--no-cross-attention": getattr(args, "no_cross_attention", False),
        "--cross-self-attention": getattr(args, "cross_self_attention", False),
        "--adaptive-softmax-cutoff": getattr(args, "adaptive_softmax_cutoff", None),
        "--adaptive-input": getattr(args, "adaptive_input", False),
        "--decoder-input-dim other than --decoder-embed-dim": args.decoder_input_dim != args.decoder_embed_dim,
        "--decoder-output-dim other than --decoder-embed-dim": args.decoder_output_dim != args.decoder_embed_dim,
    }
    found = [option for option, given in refused.items() if given]
    if getattr(args, "activation_fn", "relu") not in _ACTIVATIONS:
        found.append(f"--activation-fn {args.activation_fn} (allowed is {', '.join(_ACTIVATIONS)})")
    if found:
        raise NotExportable(f"CTranslate2 has no counterpart of {', '.join(found)}")


def _layout(side: nn.Module, pre_norm: bool, activation: common_spec.Activation) -> Dict[str, Any]:
    """What CTranslate2 wants to know of the encoder or of the decoder."""
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


def _set_self_attention(spec, layer: GroupedAttention, heads: int) -> None:
    found = padded_projections(layer, heads)
    _set_fused(spec.linear[0], [found[name] for name in ("q_proj", "k_proj", "v_proj")])
    _set_fused(spec.linear[1], [found["out_proj"]])
    spec.queries_scale = layer.head_dim**-0.5


def _set_cross_attention(spec, layer: GroupedAttention, heads: int) -> None:
    found = padded_projections(layer, heads)
    _set_fused(spec.linear[0], [found["q_proj"]])
    _set_fused(spec.linear[1], [found[name] for name in ("k_proj", "v_proj")])
    _set_fused(spec.linear[2], [found["out_proj"]])
    spec.queries_scale = layer.head_dim**-0.5


def _set_fused(spec, projections) -> None:
    """Projections one below the other."""
    spec.weight = _array(torch.cat([weight for weight, _ in projections]))
    spec.bias = _array(torch.cat([bias for _, bias in projections]))


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
