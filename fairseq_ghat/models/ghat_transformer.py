"""`ghat_transformer`: fairseq's transformer with grouped attention (GHT and GHT-PS of the paper)."""

import logging

from fairseq.models import register_model, register_model_architecture
from fairseq.models.transformer import (
    TransformerConfig,
    TransformerModel,
    base_architecture,
    transformer_wmt_en_de_big,
)

from fairseq_ghat.core.hidden_units import DISTANCES, check_groups
from fairseq_ghat.models.checkpoint_match import explain_mismatch, kept_heads_to_restore
from fairseq_ghat.modules.feature_grams import FEATURES
from fairseq_ghat.modules.transformer_layers import GroupedDecoder, GroupedEncoder
from fairseq_ghat.pruning.slimming import KEPT_HEADS, remove_heads

logger = logging.getLogger(__name__)


@register_model("ghat_transformer")
class GHATTransformerModel(TransformerModel):
    """Transformer with grouped encoder self, decoder self and cross attention.

    Computes what fairseq's `transformer` of the same shape computes, and loads its checkpoints as they are.
    """

    @classmethod
    def hub_models(cls):
        return {}

    @classmethod
    def add_args(cls, parser):
        """Adds fairseq's transformer options and those of grouping."""
        super().add_args(parser)
        add_grouping_args(parser)

    @classmethod
    def build_model(cls, args, task):
        """Builds the model; slim if the checkpoint it will be loaded from is slim.

        Raises:
            ValueError: for a group count, feature or distance that is not allowed; names the flag.
            CheckpointError: if the checkpoint to restore from cannot be used; names the file.
        """
        ghat_base_architecture(args)
        check_grouping_args(args)
        # fairseq-train builds from the command line, which knows nothing of a slim file's shapes; a model
        # that comes from a checkpoint brings its own record.
        if not hasattr(args, KEPT_HEADS):
            setattr(args, KEPT_HEADS, kept_heads_to_restore(args))
        model = super().build_model(args, task)
        if args.kept_heads:
            remove_heads(model, args.kept_heads)
        return model

    @classmethod
    def build_encoder(cls, args, src_dict, embed_tokens):
        return GroupedEncoder(TransformerConfig.from_namespace(args), src_dict, embed_tokens)

    @classmethod
    def build_decoder(cls, args, tgt_dict, embed_tokens):
        cfg = TransformerConfig.from_namespace(args)
        return GroupedDecoder(cfg, tgt_dict, embed_tokens, no_encoder_attn=cfg.no_cross_attention)

    def load_state_dict(self, state_dict, strict=True, model_cfg=None, args=None):
        """As fairseq's, but says first which attention layers do not fit: the trainer hides the reason."""
        try:
            return super().load_state_dict(state_dict, strict, model_cfg, args)
        except (RuntimeError, KeyError) as error:
            for line in explain_mismatch(self, state_dict) or [str(error)]:
                logger.error(line)
            raise


def add_grouping_args(parser):
    """Declares the options of grouping; argparse checks the choices and names the flag."""
    parser.add_argument(
        "--head-groups", type=int, metavar="C", help="groups of heads in each attention layer (default: 2)"
    )
    parser.add_argument(
        "--group-feature",
        choices=FEATURES,
        help="feature map that is grouped: value, attention or output (default: value)",
    )
    parser.add_argument(
        "--group-distance",
        choices=DISTANCES,
        help="distance of the K-means that finds the groups (default: euclidean)",
    )


def check_grouping_args(args):
    """Raises ValueError naming the flag, the value found and what is allowed."""
    for side in ("encoder", "decoder"):
        heads = getattr(args, f"{side}_attention_heads")
        try:
            check_groups(args.head_groups, heads)
        except ValueError:
            raise ValueError(
                f"--head-groups {args.head_groups}: allowed is 1 to {heads}, the --{side}-attention-heads"
            ) from None
    for flag, value, allowed in (
        ("--group-feature", args.group_feature, FEATURES),
        ("--group-distance", args.group_distance, DISTANCES),
    ):
        if value not in allowed:
            raise ValueError(f"{flag} {value}: allowed is one of {', '.join(allowed)}")


# ---------------------------------------------------------------------- architectures


@register_model_architecture("ghat_transformer", "ghat_transformer")
def ghat_base_architecture(args):
    """Vaswani base: 6+6 layers, width 512, feed-forward 2048, 8 heads, post-norm."""
    args.head_groups = getattr(args, "head_groups", 2)
    args.group_feature = getattr(args, "group_feature", "value")
    args.group_distance = getattr(args, "group_distance", "euclidean")
    base_architecture(args)


@register_model_architecture("ghat_transformer", "ghat_transformer_tiny")
def ghat_tiny_architecture(args):
    """For tests: 2+2 layers, width 64, feed-forward 128, 8 heads."""
    for side in ("encoder", "decoder"):
        _default(args, f"{side}_layers", 2)
        _default(args, f"{side}_embed_dim", 64)
        _default(args, f"{side}_ffn_embed_dim", 128)
        _default(args, f"{side}_attention_heads", 8)
    ghat_base_architecture(args)


@register_model_architecture("ghat_transformer", "ghat_transformer_iwslt_de_en")
def ghat_iwslt_architecture(args):
    """The paper's IWSLT'14 model: base size (fairseq's own iwslt arch is smaller), dropout 0.3."""
    _default(args, "dropout", 0.3)
    _default(args, "share_decoder_input_output_embed", True)
    ghat_base_architecture(args)


@register_model_architecture("ghat_transformer", "ghat_transformer_wmt_en_de")
def ghat_wmt_architecture(args):
    """The paper's WMT'14 model: base size, decoder input and output embeddings shared."""
    _default(args, "share_decoder_input_output_embed", True)
    ghat_base_architecture(args)


@register_model_architecture("ghat_transformer", "ghat_transformer_wmt_en_de_big")
def ghat_wmt_big_architecture(args):
    """Vaswani big: width 1024, feed-forward 4096, 16 heads."""
    _default(args, "share_decoder_input_output_embed", True)
    transformer_wmt_en_de_big(args)
    ghat_base_architecture(args)


@register_model_architecture("ghat_transformer", "ghat_transformer_lite")
def ghat_lite_architecture(args):
    """GHT-PS-LITE of the paper: base size with feed-forward 1024."""
    _default(args, "encoder_ffn_embed_dim", 1024)
    _default(args, "decoder_ffn_embed_dim", 1024)
    _default(args, "share_decoder_input_output_embed", True)
    ghat_base_architecture(args)


def _default(args, name, value):
    setattr(args, name, getattr(args, name, value))
