"""`ghat_transformer`: fairseq's transformer with grouped attention (GHT and GHT-PS of the paper)."""

from fairseq.models import register_model
from fairseq.models.transformer import (
    TransformerConfig,
    TransformerModel,
    base_architecture,
    transformer_wmt_en_de_big,
)

from fairseq_ghat.checkpoints.resuming import CheckpointedModel
from fairseq_ghat.models.translator import Translator
from fairseq_ghat.modules.grouping import add_grouping_args, set_defaults, set_grouping_defaults
from fairseq_ghat.modules.transformer_layers import GroupedDecoder, GroupedEncoder
from fairseq_ghat.training.bfloat16 import keep_off_tpu
from fairseq_ghat.training.hydra_options import as_command_line, register_architecture


@register_model("ghat_transformer")
class GHATTransformerModel(CheckpointedModel, TransformerModel):
    """Transformer with grouped encoder self, decoder self and cross attention.

    Computes what fairseq's `transformer` of the same shape computes, and loads its checkpoints as they are.
    """

    @classmethod
    def add_args(cls, parser):
        """Adds fairseq's transformer options and those of grouping."""
        super().add_args(parser)
        add_grouping_args(parser)

    @classmethod
    def build_model(cls, args, task):
        """See CheckpointedModel."""
        args = as_command_line(args)
        ghat_base_architecture(args)
        return super().build_model(args, task)

    @classmethod
    def build_encoder(cls, args, src_dict, embed_tokens):
        return GroupedEncoder(TransformerConfig.from_namespace(args), src_dict, embed_tokens)

    @classmethod
    def build_decoder(cls, args, tgt_dict, embed_tokens):
        cfg = TransformerConfig.from_namespace(args)
        return GroupedDecoder(cfg, tgt_dict, embed_tokens, no_encoder_attn=cfg.no_cross_attention)

    @classmethod
    def from_pretrained(cls, *args, **kwargs):
        """As fairseq's, with a Translator."""
        interface = super().from_pretrained(*args, **kwargs)
        return Translator(interface.cfg, interface.task, interface.models)

    def prepare_for_inference_(self, cfg):
        """As fairseq's; decoding steps then compute attention weights only if an option of generation uses them."""
        super().prepare_for_inference_(cfg)
        used_by = ("print_alignment", "replace_unk")
        self.decoder.set_step_weights(any(getattr(cfg.generation, name, None) for name in used_by))


@register_architecture("ghat_transformer", "ghat_transformer")
def ghat_base_architecture(args):
    """Vaswani base: 6+6 layers, width 512, feed-forward 2048, 8 heads, post-norm."""
    keep_off_tpu(args)
    set_grouping_defaults(args)
    base_architecture(args)


@register_architecture("ghat_transformer", "ghat_transformer_tiny")
def ghat_tiny_architecture(args):
    """For tests: 2+2 layers, width 64, feed-forward 128, 8 heads."""
    for name, value in (("layers", 2), ("embed_dim", 64), ("ffn_embed_dim", 128), ("attention_heads", 8)):
        set_defaults(args, **{f"encoder_{name}": value, f"decoder_{name}": value})
    ghat_base_architecture(args)


@register_architecture("ghat_transformer", "ghat_transformer_iwslt_de_en")
def ghat_iwslt_architecture(args):
    """The paper's IWSLT'14 model: base size (fairseq's own iwslt arch is smaller), dropout 0.3."""
    set_defaults(args, dropout=0.3)
    ghat_wmt_architecture(args)


@register_architecture("ghat_transformer", "ghat_transformer_wmt_en_de")
def ghat_wmt_architecture(args):
    """The paper's WMT'14 model: base size, decoder input and output embeddings shared."""
    set_defaults(args, share_decoder_input_output_embed=True)
    ghat_base_architecture(args)


@register_architecture("ghat_transformer", "ghat_transformer_wmt_en_de_big")
def ghat_wmt_big_architecture(args):
    """Vaswani big: width 1024, feed-forward 4096, 16 heads."""
    set_defaults(args, share_decoder_input_output_embed=True)
    transformer_wmt_en_de_big(args)
    ghat_base_architecture(args)


@register_architecture("ghat_transformer", "ghat_transformer_lite")
def ghat_lite_architecture(args):
    """GHT-PS-LITE of the paper: base size with feed-forward 1024."""
    set_defaults(args, encoder_ffn_embed_dim=1024, decoder_ffn_embed_dim=1024)
    ghat_wmt_architecture(args)
