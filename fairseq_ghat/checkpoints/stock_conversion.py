"""Turns a checkpoint of fairseq's own transformer or language model into a grouped one with the same weights."""

import copy
from typing import Any, Dict, Mapping

from fairseq.dataclass.utils import omegaconf_no_object_check
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY
from fairseq.models.transformer_lm import TransformerLanguageModel

from fairseq_ghat.checkpoints.model_options import (
    GROUPED_ARCHS,
    KEPT_HEADS,
    SWITCHES,
    NotGroupable,
    arch_of,
    flat_options,
)
from fairseq_ghat.checkpoints.resuming import CheckpointedModel
from fairseq_ghat.modules.grouping import check_grouping_args


def as_grouped_checkpoint(state: Mapping[str, Any], **grouping: Any) -> Dict[str, Any]:
    """A copy of the checkpoint whose model options are those of a grouped model; weights are shared, not copied.

    Args:
        state: of a stock fairseq transformer or transformer_lm, or of a grouped model.
        **grouping: head_groups, group_feature, group_distance; those that are None stay as they are in the
            checkpoint, or get their default.

    Returns:
        The checkpoint of a grouped model.

    Raises:
        NotGroupable: if the checkpoint holds another model, or one with an option that fairseq's does not have.
        ValueError: for a group count, feature or distance that is not allowed; names the flag.
    """
    grouped, options = dict(state), flat_options(state)
    options.arch = arch_of(vars(options))
    model = ARCH_MODEL_REGISTRY.get(options.arch)
    if model in GROUPED_ARCHS:
        options.arch = options._name = GROUPED_ARCHS[model]
        setattr(options, KEPT_HEADS, None)
    elif model is None or not issubclass(model, CheckpointedModel):
        raise NotGroupable(
            f"its model is {options.arch}, allowed are transformer, transformer_lm, ghat_transformer and "
            "ghat_transformer_lm"
        )
    if getattr(options, "character_embeddings", False):
        raise NotGroupable("--character-embeddings, which it was trained with, are not for grouped models")
    options.encoder_embed_path = options.decoder_embed_path = None  # files that may be gone; they are in the weights
    for name, value in grouping.items():
        if value is not None:
            setattr(options, name, value)
    # Not the defaults of the arch itself: its own shape may have been changed by the command line.
    language_model = issubclass(model, TransformerLanguageModel)
    ARCH_CONFIG_REGISTRY["ghat_transformer_lm" if language_model else "ghat_transformer"](options)
    check_grouping_args(options)
    if state.get("args") is not None:
        for switch in SWITCHES:
            setattr(options, switch, getattr(options, switch, False))
        grouped["args"] = options
    if state.get("cfg") is not None:
        grouped["cfg"] = copy.deepcopy(state["cfg"])
        with omegaconf_no_object_check():
            grouped["cfg"]["model"] = options
    return grouped
