"""The voting pass: one look at the training set with the model frozen (paper, Algorithm 1)."""

import logging
from contextlib import contextmanager
from typing import Callable, Dict, Iterable

import torch
from torch import nn

from fairseq_ghat.core.voting import VoteTally
from fairseq_ghat.modules.feature_grams import FeatureGrams
from fairseq_ghat.modules.grouped_attention import grouped_attentions
from fairseq_ghat.pruning.head_masks import set_head_masks

logger = logging.getLogger(__name__)


@contextmanager
def frozen(model: nn.Module):
    """Evaluation mode without gradients; training mode of every module comes back afterwards."""
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in training.items():
            module.training = mode


def vote(model: nn.Module, batches: Iterable[Dict], padding_idx: int, to_device: Callable) -> None:
    """Lets the heads vote over all batches, then masks those that do not stay.

    Args:
        model: with grouped attention, not yet voted on.
        batches: fairseq samples with a net_input.
        padding_idx: of the decoder input.
        to_device: moves a sample to the model's device.

    Raises:
        ValueError: if there is no batch.
    """
    tallies = []
    with frozen(model):
        for sample in batches:
            if not sample:
                continue
            net_input = to_device(sample)["net_input"]
            with FeatureGrams(model, net_input["prev_output_tokens"].eq(padding_idx)) as grams:
                model(**net_input)
            grouping = grams.attentions[0].grouping
            stacks = grams.stacks()
            tallies = tallies or [VoteTally(grouping.groups, grouping.distance) for _ in stacks]
            for tally, stack in zip(tallies, stacks):
                tally.add(stack)
    if not tallies:
        raise ValueError("the voting pass saw no batch of training data")
    _keep_winners(model, grams.layers(), tallies)


def _keep_winners(model, layers, tallies):
    names = {attention: name for name, attention in grouped_attentions(model).items()}
    start = 0
    for tally in tallies:
        masks = tally.elect()
        voted = layers[start : start + len(masks)]
        start += len(masks)
        set_head_masks(voted, masks)
        for layer, mask, votes in zip(voted, masks, tally.votes):
            kept = mask.nonzero().flatten().tolist()
            logger.info(
                "vote: %s keeps heads %s of %d; votes %s of %d batches",
                names[layer],
                kept,
                layer.heads_held,
                [int(count) for count in votes],
                tally.batches,
            )
