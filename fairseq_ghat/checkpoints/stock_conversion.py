"""Turns a checkpoint of fairseq's own transformer or language model into a grouped one with the same weights."""

import copy
from argparse import Namespace
from typing import Any, Dict, Mapping

from fairseq.dataclass.utils import omegaconf_no_object_check
from fairseq.models import ARCH_MODEL_REGISTRY
from fairseq.models.transformer import TransformerModel
from fairseq.models.transformer_lm import TransformerLanguageModel

from fairseq_ghat.models.ghat_transformer import GHATTransformerModel, ghat_base_architecture
from fairseq_ghat.models.ghat_transformer_lm import GHATTransformerLanguageModel, ghat_base_lm_architecture
from fairseq_ghat.modules.grouping import check_grouping_args
from fairseq_ghat.pruning.slimming import KEPT_HEADS, model_config

# Arch and defaults of the grouped model, by fairseq's model and by our own.
_GROUPED = {
    TransformerModel: ("ghat_transformer", ghat_base_architecture),
    GHATTransformerModel: (None, ghat_base_architecture),
    TransformerLanguageModel: ("ghat_transformer_lm", ghat_base_lm_architecture),
    GHATTransformerLanguageModel: (None, ghat_base_lm_architecture),
}


# Switches whose default in fairseq is another option's: it takes those that an old checkpoint lacks for true.
SWITCHES = ("use_plasma_view", "tpu", "add_bos_token")


class NotGroupable(ValueError):
    """The checkpoint is of a model that cannot have grouped attention; the message says why."""


def as_grouped_checkpoint(state: Mapping[str, Any], **grouping) -> Dict[str, Any]:
    """A copy of the checkpoint whose model options are those of a grouped model; weights are shared, not copied.

    Args:
        state: of a stock fairseq transformer or transformer_lm, or of a grouped model.
        grouping: head_groups, group_feature, group_distance; those that are None stay as they are in the
            checkpoint, or get their default.

    Raises:
        NotGroupable: if the checkpoint holds another model.
        ValueError: for a group count, feature or distance that is not allowed; names the flag.
    """
    grouped = dict(state)
    grouped["args"], grouped["cfg"] = copy.deepcopy(state.get("args")), copy.deepcopy(state.get("cfg"))
    if not grouped["cfg"]:
        for switch in SWITCHES:
            setattr(grouped["args"], switch, getattr(grouped["args"], switch, False))
    options = model_config(grouped)
    if not isinstance(options, Namespace):  # newer models have their options in a configuration of their own
        options = Namespace(**dict(options))
        with omegaconf_no_object_check():
            grouped["cfg"]["model"] = options
    arch = getattr(options, "arch", None) or getattr(options, "_name", None)
    model = ARCH_MODEL_REGISTRY.get(arch)
    if model not in _GROUPED:
        raise NotGroupable(
            f"its model is {arch}, allowed are transformer, transformer_lm, ghat_transformer and ghat_transformer_lm"
        )
    grouped_arch, set_defaults = _GROUPED[model]
    if grouped_arch is not None:
        options.arch = options._name = grouped_arch
        setattr(options, KEPT_HEADS, None)
    for name, value in grouping.items():
        if value is not None:
            setattr(options, name, value)
    set_defaults(options)
    check_grouping_args(options)
    return grouped
