"""The vote: looks at the data with the model frozen, chooses heads, refits and masks (paper, Algorithm 1)."""

import logging
from contextlib import nullcontext
from typing import Dict, List, Optional

from torch import nn

from fairseq_ghat.modules.feature_collectors import HeadOutputMoments
from fairseq_ghat.pruning.calibration import Passes, frozen
from fairseq_ghat.pruning.importance.base import Selector, VotingRules
from fairseq_ghat.pruning.importance.registry import selector_class
from fairseq_ghat.pruning.masks import set_head_masks
from fairseq_ghat.pruning.refit import refit_kept_heads

logger = logging.getLogger(__name__)


def vote(
    model: nn.Module,
    passes: Passes,
    rules: VotingRules,
    classifiers: Optional[nn.Module] = None,
) -> Dict[str, List[int]]:
    """Chooses the heads that stay by the data, then masks the others.

    Args:
        model: with grouped attention, not yet voted on.
        passes: this worker's share of the data.
        rules: how heads are chosen.
        classifiers: GroupClassifiers, for pillars by the classification form.

    Returns:
        indexes of the heads that stay, by layer name.

    Raises:
        ValueError: if there is no batch, or if a refit is not possible; nothing is masked then.
    """
    selector = selector_class(rules.keep)(model, rules, classifiers)
    refits = rules.refit == "output" and rules.keep != "all"
    moments = HeadOutputMoments(model) if refits or selector.uses_moments else None
    selector.moments = moments
    if selector.watches or moments is not None:
        _frozen_pass(model, passes, selector, moments)
    selector.explore(passes)
    kept = selector.choose()
    if refits:
        refit_kept_heads(kept, moments.moments, selector.names)
    set_head_masks(kept, may_be_empty=selector.budget.may_empty)
    elected = {}
    for layer, mask in kept.items():
        name, elected_here = selector.names[layer], mask.nonzero().flatten().tolist()
        elected[name] = elected_here
        logger.info("vote: %s keeps heads %s of %d%s", name, elected_here, layer.heads_held, selector.remark(layer))
    return elected


def _frozen_pass(model: nn.Module, passes: Passes, selector: Selector, moments: Optional[HeadOutputMoments]) -> None:
    """One pass in which the selector and the moments for a refit see every batch, summed over the workers."""
    with frozen(model):
        for sample in passes.samples():
            if not sample:
                continue
            padding = passes.padding(sample["net_input"])
            if moments is not None:
                moments.target_padding = padding
            with selector.watching(padding), moments or nullcontext():
                model(**sample["net_input"])
    summed = [] if moments is None else [tensor for part in moments.moments.values() for tensor in part.sums()]
    for tensor in (*selector.sums(), *summed):
        passes.add_up(tensor)
