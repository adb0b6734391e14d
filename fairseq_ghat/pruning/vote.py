"""The vote: chooses what stays, refits the projections behind it, removes the other heads and neurons (Algorithm 1)."""

import logging
from typing import Any, Dict, Mapping, Optional, Tuple

import torch
from torch import Tensor

from fairseq_ghat.core.projection_refit import SingularRefit, mean_into_bias, refit_projection, ridge_for
from fairseq_ghat.modules.feed_forward import FeedForward
from fairseq_ghat.modules.group_classifiers import GroupClassifiers
from fairseq_ghat.modules.removable_layers import Kept, KeptUnits
from fairseq_ghat.modules.removable_units import RemovableUnits
from fairseq_ghat.modules.unit_slices import per_feature
from fairseq_ghat.pruning.calibration import Calibration
from fairseq_ghat.pruning.importance.base import AllHeads, Importance, Masks, way_of_heads
from fairseq_ghat.pruning.importance.registry import KEEP_HEADS
from fairseq_ghat.pruning.model_budget import choose_within_budget, layers_of_budget, over_model
from fairseq_ghat.pruning.neurons import choose_neurons

logger = logging.getLogger(__name__)


def vote(calibration: Calibration, options: Any, classifiers: Optional[GroupClassifiers] = None) -> Kept:
    """Chooses the heads and neurons that stay by the data, then removes the others from the model.

    Args:
        calibration: a model that was not voted on yet, and the data.
        options: VoteOptions, or options that hold the same.
        classifiers: that tell the group of a head, for pillars by the classification form.

    Raises:
        ValueError: if there is no batch, or if a refit is not possible; nothing is removed then.
    """
    importance = KEEP_HEADS[way_of_heads(options)](options, classifiers)
    heads, neurons = _choose(calibration, options, importance)
    for layer, mask in heads.items():
        layer.check_head_mask(mask, may_be_empty=options.remove_sublayers)
    masks: Dict[RemovableUnits, Tensor] = dict([*heads.items(), *neurons.items()])
    if options.refit != "none":
        refit_projections({layer: mask for layer, mask in masks.items() if not mask.all()}, calibration, options.refit)

    kept = Kept({}, {})
    for layer, mask in heads.items():
        name, units, of = calibration.names[layer], mask.nonzero().flatten().tolist(), layer.heads_held
        kept.heads[name] = KeptUnits(units, of)
        layer.remove_units(units)
        logger.info("vote: %s keeps heads %s of %d%s", name, units, of, importance.remark(layer))
    for feed_forward, mask in neurons.items():
        name, units, of = calibration.names[feed_forward], mask.nonzero().flatten().tolist(), feed_forward.units
        kept.neurons[name] = KeptUnits(units, of)
        feed_forward.remove_units(units)
        logger.info("vote: %s keeps %d of %d neurons", name, len(units), of)
    return kept


def _choose(calibration: Calibration, options: Any, importance: Importance) -> Tuple[Masks, Dict[FeedForward, Tensor]]:
    """The heads that stay in every attention, and the neurons that stay in each layer that loses some."""
    if over_model(options):
        calibration.expect_moments(layers_of_budget(calibration.model, options))
        masks = choose_within_budget(calibration, options)
        every = {layer: torch.ones(layer.units, dtype=torch.bool) for layer in calibration.layers}
        heads = {layer: masks.get(layer, mask) for layer, mask in every.items()}
        return heads, {layer: masks[layer] for layer in calibration.feed_forwards if layer in masks}
    layers = [] if options.ffn_neurons is None else calibration.feed_forwards
    refits_heads = options.refit != "none" and not isinstance(importance, AllHeads)
    calibration.expect_moments([*(calibration.layers if refits_heads else ()), *layers])
    return importance.select(calibration), choose_neurons(calibration, layers, options) if layers else {}


@torch.no_grad()
def refit_projections(masks: Mapping[RemovableUnits, Tensor], calibration: Calibration, refit: str = "output") -> None:
    """Replaces weights (of the units that stay) and bias of projections; of all layers, or of none if one fails.

    Args:
        masks: units that stay, (U,) bool, by layer.
        calibration: that gives the moments of the projections' inputs.
        refit: "output", by least squares, or "bias", which takes the mean of what is removed.

    Raises:
        ValueError: if a layer has no bias, or its least squares are singular; names the layer.
    """
    refitted: Dict[RemovableUnits, Tuple[Tensor, Tensor, Tensor]] = {}
    for part in calibration.moments(masks):
        for layer, moments in part.items():
            weight, name = layer.projection.weight, calibration.names[layer]
            features = per_feature(masks[layer].to(weight.device).bool(), layer.unit_features)
            if layer.projection.bias is None:
                raise ValueError(f"--refit {refit}: {name} has a projection without bias; use --refit none")
            try:
                if refit == "output":
                    solution = refit_projection(weight, moments, features, ridge_for(layer.unit_features))
                else:
                    solution = mean_into_bias(weight, moments, features)
            except SingularRefit as error:
                raise ValueError(f"--refit {refit}: {name}: {error}; use --refit none") from None
            refitted[layer] = (features, *solution)
    for layer, (features, weight, bias_change) in refitted.items():
        layer.projection.weight[:, features] = weight.to(layer.projection.weight)
        layer.projection.bias.add_(bias_change.to(layer.projection.bias))
