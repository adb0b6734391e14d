"""Turns a checkpoint of fairseq's own transformer or language model into a grouped one with the same weights."""

import copy
from argparse import Namespace
from typing import Any, Dict, Mapping

from fairseq.dataclass.utils import omegaconf_no_object_check
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY
from fairseq.models.transformer import TransformerModel
from fairseq.models.transformer_lm import TransformerLanguageModel

from fairseq_ghat.checkpoints.model_options import KEPT_HEADS, model_options
from fairseq_ghat.checkpoints.resuming import CheckpointedModel
from fairseq_ghat.modules.grouping import check_grouping_args

# Our arch with the weights of each of fairseq's models.
_GROUPED_ARCHS = {TransformerModel: "ghat_transformer", TransformerLanguageModel: "ghat_transformer_lm"}
# Switches whose default in fairseq is another option's: it takes those that an old checkpoint lacks for true.
SWITCHES = ("use_plasma_view", "tpu", "add_bos_token")


class NotGroupable(ValueError):
    """The checkpoint is of a model that cannot have grouped attention; the message says why."""


def as_grouped_checkpoint(state: Mapping[str, Any], **grouping: Any) -> Dict[str, Any]:
    """A copy of the checkpoint whose model options are those of a grouped model; weights are shared, not copied.

    Args:
        state: of a stock fairseq transformer or transformer_lm, or of a grouped model.
        **grouping: head_groups, group_feature, group_distance; those that are None stay as they are in the
            checkpoint, or get their default.

    Returns:
        The checkpoint of a grouped model.

    Raises:
        NotGroupable: if the checkpoint holds another model.
        ValueError: for a group count, feature or distance that is not allowed; names the flag.
    """
    grouped = dict(state)
    grouped["args"], grouped["cfg"] = copy.deepcopy(state.get("args")), copy.deepcopy(state.get("cfg"))
    if not grouped["cfg"]:
        for switch in SWITCHES:
            setattr(grouped["args"], switch, getattr(grouped["args"], switch, False))
    options = model_options(grouped)
    if not isinstance(options, Namespace):  # newer models have their options in a configuration of their own
        options = Namespace(**dict(options))
        with omegaconf_no_object_check():
            grouped["cfg"]["model"] = options
    arch = getattr(options, "arch", None) or getattr(options, "_name", None)
    model = ARCH_MODEL_REGISTRY.get(arch)
    if model in _GROUPED_ARCHS:
        options.arch = options._name = _GROUPED_ARCHS[model]
        setattr(options, KEPT_HEADS, None)
    elif model is None or not issubclass(model, CheckpointedModel):
        raise NotGroupable(
            f"its model is {arch}, allowed are transformer, transformer_lm, ghat_transformer and ghat_transformer_lm"
        )
    for name, value in grouping.items():
        if value is not None:
            setattr(options, name, value)
    # Not the defaults of the arch itself: its own shape may have been changed by the command line.
    language_model = issubclass(model, TransformerLanguageModel)
    ARCH_CONFIG_REGISTRY["ghat_transformer_lm" if language_model else "ghat_transformer"](options)
    check_grouping_args(options)
    return grouped
