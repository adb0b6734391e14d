"""What all grouped models do with checkpoints: built slim where one is slim, and loaded with an explanation."""

import logging

from fairseq_ghat.checkpoints.files import CheckpointError
from fairseq_ghat.checkpoints.model_options import KEPT_HEADS
from fairseq_ghat.checkpoints.resuming import check_tied_weights, explain_mismatch, kept_heads_to_restore
from fairseq_ghat.modules.grouped_attention import remove_heads
from fairseq_ghat.modules.grouping import Grouping, check_grouping_args

logger = logging.getLogger(__name__)


class CheckpointedModel:
    """Mixin of grouped models, before fairseq's model class.

    Attributes:
        grouping: how the heads of the model are grouped.
    """

    grouping: Grouping

    @classmethod
    def hub_models(cls):
        return {}

    @classmethod
    def build_model(cls, args, task):
        """Builds the model; slim if the checkpoint it will be loaded from is slim.

        Raises:
            ValueError: for a group count, feature or distance that is not allowed; names the flag.
            CheckpointError: if the checkpoint to restore from cannot be used; names the file.
        """
        check_grouping_args(args)
        # fairseq-train builds from the command line, which knows nothing of a slim file's shapes; a model
        # that comes from a checkpoint brings its own record.
        if not hasattr(args, KEPT_HEADS):
            setattr(args, KEPT_HEADS, kept_heads_to_restore(args))
        model = super().build_model(args, task)
        model.grouping = Grouping.from_options(args)
        if args.kept_heads:
            remove_heads(model, args.kept_heads)
        return model

    def load_state_dict(self, state_dict, strict=True, model_cfg=None, args=None):
        """As fairseq's, but says first which attention layers do not fit: the trainer hides the reason."""
        try:
            check_tied_weights(self, state_dict)
            return super().load_state_dict(state_dict, strict, model_cfg, args)
        except (RuntimeError, KeyError, CheckpointError) as error:
            for line in explain_mismatch(self, state_dict) or [str(error)]:
                logger.error(line)
            raise
