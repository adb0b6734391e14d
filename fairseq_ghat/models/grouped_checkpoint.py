"""Turns a checkpoint of fairseq's own transformer into one of `ghat_transformer` with the same weights."""

import copy
from argparse import Namespace
from typing import Any, Dict, Mapping

from fairseq.models import ARCH_MODEL_REGISTRY
from fairseq.models.transformer import TransformerModel

from fairseq_ghat.models.ghat_transformer import GHATTransformerModel, check_grouping_args, ghat_base_architecture
from fairseq_ghat.pruning.slimming import KEPT_HEADS, model_config


class NotGroupable(ValueError):
    """The checkpoint is of a model that cannot have grouped attention; the message says why."""


def as_grouped_checkpoint(state: Mapping[str, Any], **grouping) -> Dict[str, Any]:
    """A copy of the checkpoint whose model options are those of a grouped model; weights are shared, not copied.

    Args:
        state: of a stock fairseq transformer, or of a grouped model.
        grouping: head_groups, group_feature, group_distance; those that are None stay as they are in the
            checkpoint, or get their default.

    Raises:
        NotGroupable: if the checkpoint holds another model.
        ValueError: for a group count, feature or distance that is not allowed; names the flag.
    """
    options = model_config(state)
    arch = getattr(options, "arch", None) or getattr(options, "_name", None)
    model = ARCH_MODEL_REGISTRY.get(arch)
    if not isinstance(options, Namespace) or model not in (TransformerModel, GHATTransformerModel):
        raise NotGroupable(
            f"its model is {arch or type(options).__name__}, allowed are transformer and ghat_transformer"
        )
    grouped = dict(state)
    grouped["args"], grouped["cfg"] = copy.deepcopy(state.get("args")), copy.deepcopy(state.get("cfg"))
    options = model_config(grouped)
    if model is TransformerModel:
        options.arch = options._name = "ghat_transformer"
        setattr(options, KEPT_HEADS, None)
    for name, value in grouping.items():
        if value is not None:
            setattr(options, name, value)
    ghat_base_architecture(options)
    check_grouping_args(options)
    return grouped
