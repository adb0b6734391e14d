"""fairseq's transformer stacks and layers with grouped attention, and without attention weights that nobody uses."""

import torch
from fairseq.distributed import fsdp_wrap
from fairseq.models.transformer import TransformerDecoderBase, TransformerEncoderBase
from fairseq.modules import MultiheadAttention, transformer_layer
from fairseq.modules.checkpoint_activations import checkpoint_wrapper
from fairseq.modules.fairseq_dropout import FairseqDropout
from torch import nn

from fairseq_ghat.modules.attention_masks import as_causal
from fairseq_ghat.modules.grouped_attention import GroupedAttention

# fairseq 0.12.2 registers these second copies of every encoder layer's weights for a fused inference kernel.
FUSED_COPIES = tuple(f"{part}_{kind}" for part in ("in_proj", "out_proj", "fc1", "fc2") for kind in ("weight", "bias"))


class GroupedEncoder(TransformerEncoderBase):
    """Encoder of grouped layers."""

    def build_encoder_layer(self, cfg):
        return _wrapped(GroupedEncoderLayer(cfg, return_fc=self.return_fc), cfg)


class GroupedDecoder(TransformerDecoderBase):
    """Decoder of grouped layers."""

    _causal_mask = torch.empty(0, 0)

    def build_decoder_layer(self, cfg, no_encoder_attn=False):
        return _wrapped(GroupedDecoderLayer(cfg, no_encoder_attn), cfg)

    def buffered_future_mask(self, tensor):
        """As fairseq's; one mask for all layers, known as causal."""
        future = self._causal_mask
        fits = future.shape[0] == tensor.size(0) and future.device == tensor.device and future.dtype == tensor.dtype
        if torch.jit.is_tracing() or not fits:  # a mask from before would be a constant of what is traced
            future = super().buffered_future_mask(tensor)
        # A forward pass that runs again gets a copy without the mark, and would take another kernel.
        self._causal_mask = future if self.cfg.checkpoint_activations else as_causal(future)
        return self._causal_mask

    def set_step_weights(self, wanted: bool) -> None:
        """Whether a decoding step hands out the attention over the source, as fairseq's always does.

        Only alignments and the replacement of unknown words use it; without it no attention weights are averaged,
        stored and reordered in each step.
        """
        for module in self.modules():
            if isinstance(module, GroupedAttention):
                module.step_weights = wanted


def name_dropouts_as_fairseq(model: nn.Module) -> None:
    """Gives dropouts the names that --retain-dropout-modules knows them by: those of the classes that ours replace."""
    for module in model.modules():
        if isinstance(module, FairseqDropout):
            module.module_name = _NAMES_IN_FAIRSEQ.get(module.module_name, module.module_name)


def _wrapped(layer: nn.Module, cfg) -> nn.Module:
    """Activation checkpointing and FSDP as fairseq's own stacks apply them."""
    if cfg.checkpoint_activations:
        layer = checkpoint_wrapper(layer, offload_to_cpu=cfg.offload_activations)
    return fsdp_wrap(layer, min_num_params=0 if cfg.checkpoint_activations else cfg.min_params_to_wrap)


def _attention(layer: nn.Module, embed_dim: int, cfg, side, **kind) -> GroupedAttention:
    """Grouped attention with the options all three kinds share; side: cfg.encoder or cfg.decoder."""
    return GroupedAttention(
        embed_dim,
        side.attention_heads,
        dropout=cfg.attention_dropout,
        q_noise=layer.quant_noise,
        qn_block_size=layer.quant_noise_block_size,
        # fairseq's cross attention takes the encoder's xFormers option, its self-attention its own side's.
        xformers_att_config=(cfg.encoder if "kdim" in kind else side).xformers_att_config,
        **kind,
    )


class GroupedEncoderLayer(transformer_layer.TransformerEncoderLayerBase):
    """Encoder layer whose self-attention is grouped. Never takes the fused inference path.

    That path of fairseq 0.12.2 reads copies of the raw projection weights, so it would ignore head masks, and
    fails on slim shapes and on left padding (facebookresearch/fairseq#4858).
    """

    def __init__(self, cfg, return_fc: bool = False):
        super().__init__(cfg, return_fc=return_fc)
        self.can_use_fastpath = False
        for name in FUSED_COPIES:
            if name in self._parameters:
                del self._parameters[name]

    def build_self_attention(self, embed_dim, cfg):
        return _attention(self, embed_dim, cfg, cfg.encoder, self_attention=True)

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs):
        for name in FUSED_COPIES:
            state_dict.pop(prefix + name, None)
        # Not the parent's: in fairseq 0.12.2 it fills the copies that this layer does not have.
        nn.Module._load_from_state_dict(self, state_dict, prefix, *args, **kwargs)


class GroupedDecoderLayer(transformer_layer.TransformerDecoderLayerBase):
    """Decoder layer whose self-attention and cross attention are grouped."""

    def __init__(self, cfg, no_encoder_attn=False):
        super().__init__(cfg, no_encoder_attn)
        # With it fairseq's computes attention weights in every layer outside training, though the decoder hands out
        # those of one layer, which it asks for by need_head_weights.
        self.need_attn = False

    def make_generation_fast_(self, need_attn=False, **kwargs):
        """Leaves need_attn off, also under --print-alignment."""

    def build_self_attention(self, embed_dim, cfg, add_bias_kv=False, add_zero_attn=False):
        return _attention(
            self,
            embed_dim,
            cfg,
            cfg.decoder,
            add_bias_kv=add_bias_kv,
            add_zero_attn=add_zero_attn,
            self_attention=not cfg.cross_self_attention,
        )

    def build_encoder_attention(self, embed_dim, cfg):
        width = cfg.encoder.embed_dim
        return _attention(self, embed_dim, cfg, cfg.decoder, kdim=width, vdim=width, encoder_decoder_attention=True)


_NAMES_IN_FAIRSEQ = {
    GroupedEncoder.__name__: "TransformerEncoder",
    GroupedDecoder.__name__: "TransformerDecoder",
    GroupedEncoderLayer.__name__: transformer_layer.TransformerEncoderLayerBase.__name__,
    GroupedDecoderLayer.__name__: transformer_layer.TransformerDecoderLayerBase.__name__,
    GroupedAttention.__name__: MultiheadAttention.__name__,
}
