"""Turns checkpoints of fairseq's transformer or language model into grouped ones with the same weights, and back."""

import copy
from dataclasses import fields
from typing import Any, Dict, Mapping, Optional

from fairseq.criterions import CRITERION_DATACLASS_REGISTRY
from fairseq.dataclass.utils import omegaconf_no_object_check
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY
from fairseq.models.transformer_lm import TransformerLanguageModel
from fairseq.tasks import TASK_DATACLASS_REGISTRY

from fairseq_ghat.checkpoints.kept_units import RECORD
from fairseq_ghat.checkpoints.model_options import (
    GROUPED_ARCHS,
    SWITCHES,
    NotGroupable,
    arch_of,
    flat_options,
    options_by_name,
)
from fairseq_ghat.checkpoints.resuming import CheckpointedModel
from fairseq_ghat.modules.grouped_attention import HEAD_MASK
from fairseq_ghat.modules.grouping import check_grouping_args
from fairseq_ghat.modules.unit_slices import SECOND_LINEAR


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
        vars(options).update(dict.fromkeys(RECORD))
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


def as_stock_checkpoint(state: Mapping[str, Any]) -> Optional[Dict[str, Any]]:
    """A copy of the checkpoint as one of fairseq's own model, which loads without this package; weights are shared.

    Args:
        state: of a grouped model.

    Returns:
        The checkpoint; None if fairseq's own model cannot have these weights, since heads were removed, or since the
        feed-forward layers of a side differ in width.
    """
    options, weights = flat_options(state), dict(state["model"])
    for name in [name for name in weights if name.endswith(f".{HEAD_MASK}")]:
        mask = weights.pop(name)
        if mask.numel() < getattr(options, f"{name.split('.')[0]}_attention_heads") or not mask.all():
            return None
    for side in ("encoder", "decoder"):
        ending = f".{SECOND_LINEAR}.weight"
        widths = {w.size(1) for name, w in weights.items() if name.startswith(side) and name.endswith(ending)}
        if len(widths) > 1:
            return None
        for width in widths:
            setattr(options, f"{side}_ffn_embed_dim", width)
    for name in (*RECORD, *(name for name in vars(options) if name == "head_groups" or name.startswith("group_"))):
        delattr(options, name)
    language_model = issubclass(ARCH_MODEL_REGISTRY[arch_of(vars(options))], TransformerLanguageModel)
    options.arch = options._name = "transformer_lm" if language_model else "transformer"
    stock = {**state, "model": weights, "criterion": None}
    if state.get("args") is not None:
        stock["args"] = options
    if state.get("cfg") is not None:
        stock["cfg"] = copy.deepcopy(state["cfg"])
        with omegaconf_no_object_check():
            stock["cfg"]["model"] = options
    for part, ours, dataclasses in (
        ("task", "_v2s", TASK_DATACLASS_REGISTRY),
        ("criterion", "group_constrained_", CRITERION_DATACLASS_REGISTRY),
    ):
        if hasattr(options, part):  # fairseq-train writes its whole command line into the options of the model
            setattr(options, part, getattr(options, part).replace(ours, ""))
        if stock.get("cfg") is not None:
            given = options_by_name(stock["cfg"][part])
            name = given["_name"].replace(ours, "")
            if name not in dataclasses:  # of another plug-in, or without a configuration: not ours to change
                continue
            known = {"_name": name, **{field.name: None for field in fields(dataclasses[name])}}
            stock["cfg"][part] = {
                option: value for option, value in {**given, "_name": name}.items() if option in known
            }
    return stock
