"""The vote: chooses the heads that stay, refits the output projections to them, removes the others (Algorithm 1)."""

import logging
from typing import Any, Dict, List, Mapping, Optional

import torch

from fairseq_ghat.core.projection_refit import InputMoments, SingularRefit, refit_projection
from fairseq_ghat.modules.group_classifiers import GroupClassifiers
from fairseq_ghat.modules.grouped_attention import GroupedAttention
from fairseq_ghat.modules.head_slices import per_feature
from fairseq_ghat.pruning.calibration import Calibration
from fairseq_ghat.pruning.importance.base import AllHeads, Masks
from fairseq_ghat.pruning.importance.registry import IMPORTANCES

logger = logging.getLogger(__name__)


def vote(
    calibration: Calibration, options: Any, classifiers: Optional[GroupClassifiers] = None
) -> Dict[str, List[int]]:
    """Chooses the heads that stay by the data, then removes the others from the model.

    Args:
        calibration: a model that was not voted on yet, and the data.
        options: VoteOptions, or options that hold the same.
        classifiers: that tell the group of a head, for pillars by the classification form.

    Returns:
        Indexes of the heads that stay, by layer name.

    Raises:
        ValueError: if there is no batch, or if a refit is not possible; nothing is removed then.
    """
    every_head = options.keep_heads == "all"
    importance = (AllHeads if every_head else IMPORTANCES[str(options.keep_heads)])(options, classifiers)
    masks = importance.select(calibration)
    if options.refit == "output" and not every_head:
        refit_output_projections(masks, calibration.output_moments(), calibration.names)
    for layer, mask in masks.items():
        layer.check_head_mask(mask, may_be_empty=options.remove_sublayers)
    kept_heads = {}
    for layer, mask in masks.items():
        name, kept, before = calibration.names[layer], mask.nonzero().flatten().tolist(), layer.heads_held
        layer.remove_heads(kept)
        kept_heads[name] = kept
        logger.info("vote: %s keeps heads %s of %d%s", name, kept, before, importance.remark(layer))
    return kept_heads


@torch.no_grad()
def refit_output_projections(
    masks: Masks, moments: Mapping[GroupedAttention, InputMoments], names: Mapping[GroupedAttention, str]
) -> None:
    """Replaces weights (of the kept heads) and bias of the output projections; all layers, or none if one fails.

    Args:
        masks: heads that stay, (H,) bool, by layer.
        moments: of the head outputs over the data, by layer.
        names: of the layers, for messages.

    Raises:
        ValueError: if a layer has no bias, or its least squares are singular; names the layer.
    """
    refitted = {}
    for layer, mask in masks.items():
        weight = layer.out_proj.weight
        features = per_feature(mask.to(weight.device).bool(), layer.head_dim)
        if layer.out_proj.bias is None:
            raise ValueError(f"--refit output: {names[layer]} has an output projection without bias")
        try:
            refitted[layer] = (features, *refit_projection(weight, moments[layer], features))
        except SingularRefit as error:
            raise ValueError(f"--refit output: {names[layer]}: {error}; use --refit none") from None
    for layer, (features, weight, bias_change) in refitted.items():
        projection = layer.out_proj
        projection.weight[:, features] = weight.to(projection.weight)
        projection.bias += bias_change.to(projection.bias)
