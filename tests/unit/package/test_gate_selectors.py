"""Learned gates: what their updates follow, and what they do not."""

import pytest
import torch
from tiny_models import TinyTask, build_grouped, padded_batch

from fairseq_ghat.core.stochastic_gates import gumbel, relaxed_subset
from fairseq_ghat.pruning.calibration import Passes
from fairseq_ghat.pruning.importance.base import VotingRules
from fairseq_ghat.pruning.importance.gates import DifferentiableSubset, StochasticGates
from fairseq_ghat.training.calibration_data import token_loss


def learned(kind, loss, heads=2, updates=10):
    """A selector that has learned its gates of an untrained model of 6 x 8 heads."""
    selector = kind(build_grouped().eval(), VotingRules(keep="gates", heads=heads))
    selector.explore(Passes(lambda shuffle: [padded_batch()], lambda: 1, padding_idx=1, limit=updates, loss=loss))
    return selector


def indifferent(model, sample):
    """A loss that wants nothing of the gates."""
    return model(**sample["net_input"])[0].sum() * 0, sample["ntokens"]


@pytest.mark.parametrize("kind", [StochasticGates, DifferentiableSubset])
def test_the_task_loss_counts_per_token(kind):
    """As often the tokens with as often the loss: the same gates, whatever the batch size."""
    of_task = token_loss(TinyTask())

    def eightfold(model, sample):
        loss, tokens = of_task(model, sample)
        return 8 * loss, 8 * tokens

    for once, often in zip(learned(kind, of_task).location, learned(kind, eightfold).location):
        assert once.any() and torch.equal(once, often)


def test_penalty_never_opens_gates():
    """6.6 of 8 are expected to be open in the beginning, fewer than the budget of 7: nothing to be done."""
    selector = learned(StochasticGates, indifferent, heads=7)
    assert not any(location.any() for location in selector.location)


def test_subsets_get_harder_as_the_temperature_falls_from_1_to_a_tenth():
    selector = learned(DifferentiableSubset, token_loss(TinyTask()), heads=3)
    generator = torch.Generator().manual_seed(5)
    noise = [torch.rand(8, generator=generator) for _ in selector.location]
    for progress, temperature in ((0.0, 1.0), (0.5, 0.1**0.5), (1.0, 0.1)):
        for gates, location, uniform in zip(selector.gates(noise, progress), selector.location, noise):
            torch.testing.assert_close(gates, relaxed_subset(location + gumbel(uniform), 3, temperature))
