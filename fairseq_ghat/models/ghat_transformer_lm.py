"""`ghat_transformer_lm`: fairseq's transformer language model with grouped attention."""

from fairseq.dataclass.utils import gen_parser_from_dataclass
from fairseq.models import register_model
from fairseq.models.transformer import TransformerConfig
from fairseq.models.transformer_lm import (
    TransformerLanguageModel,
    TransformerLanguageModelConfig,
    transformer_lm_baevski_wiki103,
)

from fairseq_ghat.checkpoints.resuming import CheckpointedModel
from fairseq_ghat.modules.grouping import add_grouping_args, set_defaults, set_grouping_defaults
from fairseq_ghat.modules.transformer_layers import GroupedDecoder
from fairseq_ghat.training.bfloat16 import keep_off_tpu
from fairseq_ghat.training.hydra_options import as_command_line, register_architecture


class _BuiltByFairseq(TransformerLanguageModel):
    """fairseq's language model with its decoder made anew of grouped layers: same embeddings, same initial weights.

    TransformerLanguageModel builds its decoder in the middle of build_model, with no method to override.
    """

    @classmethod
    def build_model(cls, args, task):
        stock = super().build_model(args, task).decoder
        cfg = TransformerConfig.from_namespace(args)
        decoder = GroupedDecoder(cfg, task.target_dictionary, stock.embed_tokens, no_encoder_attn=True)
        decoder.load_state_dict(stock.state_dict())
        return cls(decoder)


@register_model("ghat_transformer_lm")
class GHATTransformerLanguageModel(CheckpointedModel, _BuiltByFairseq):
    """Decoder-only transformer with grouped self-attention.

    Computes what fairseq's `transformer_lm` of the same shape computes, and loads its checkpoints as they are.
    """

    @staticmethod
    def add_args(parser):
        """Adds fairseq's options of transformer_lm and those of grouping."""
        gen_parser_from_dataclass(parser, TransformerLanguageModelConfig(), delete_default=True)
        add_grouping_args(parser)

    @classmethod
    def build_model(cls, args, task):
        """See CheckpointedModel.

        Raises:
            ValueError: for --character-embeddings, which are left out.
        """
        args = as_command_line(args)
        ghat_base_lm_architecture(args)
        if args.character_embeddings:
            raise ValueError("--character-embeddings: not with ghat_transformer_lm; allowed is --adaptive-input")
        return super().build_model(args, task)


@register_architecture("ghat_transformer_lm", "ghat_transformer_lm")
def ghat_base_lm_architecture(args):
    """fairseq's transformer_lm: 6 layers, width 512, feed-forward 2048, 8 heads, post-norm."""
    keep_off_tpu(args)
    set_grouping_defaults(args)
    defaults = vars(TransformerLanguageModelConfig()).items()
    set_defaults(args, **{k: v for k, v in defaults if not str(v).startswith("${")})  # those are of other groups


@register_architecture("ghat_transformer_lm", "ghat_transformer_lm_tiny")
def ghat_tiny_lm_architecture(args):
    """For tests: 2 layers, width 64, feed-forward 128, 8 heads."""
    set_defaults(args, decoder_embed_dim=64, decoder_input_dim=64, decoder_output_dim=64)
    set_defaults(args, decoder_layers=2, decoder_ffn_embed_dim=128, decoder_attention_heads=8)
    ghat_base_lm_architecture(args)


@register_architecture("ghat_transformer_lm", "ghat_transformer_lm_wiki103")
def ghat_wiki103_lm_architecture(args):
    """The paper's WikiText-103 model: 16 layers, width 1024, feed-forward 4096, adaptive input and softmax, and 16
    heads, where fairseq's transformer_lm_wiki103 has 8 (facebookresearch/fairseq#2612)."""
    set_defaults(args, decoder_attention_heads=16)
    transformer_lm_baevski_wiki103(args)
    ghat_base_lm_architecture(args)
