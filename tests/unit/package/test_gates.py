"""Learned gates: what their updates follow, and what they do not."""

import pytest
import torch
from tiny_models import TinyTask, build_grouped, padded_batch

from fairseq_ghat.core.head_budget import HeadBudget
from fairseq_ghat.core.stochastic_gates import gumbel, relaxed_subset
from fairseq_ghat.pruning.calibration import Calibration
from fairseq_ghat.pruning.calibration_data import token_loss
from fairseq_ghat.pruning.importance.gates import DifferentiableSubset, StochasticGates
from fairseq_ghat.pruning.options import VoteOptions


def learned(kind, loss, heads=2, updates=10):
    """Parameters of the gates of an untrained model's 6 x 8 heads, after some updates."""
    model = build_grouped().eval()
    calibration = Calibration(
        model, lambda shuffle: [padded_batch()], lambda: 1, padding_idx=1, limit=updates, loss=loss
    )
    return kind(VoteOptions(keep_heads="gates", vote_heads=heads)).scores(calibration)


def indifferent(model, sample):
    """A loss that wants nothing of the gates."""
    return model(**sample["net_input"])[0].sum() * 0, sample["ntokens"]


@pytest.mark.parametrize("kind", [StochasticGates, DifferentiableSubset])
def test_the_task_loss_counts_per_token(kind):
    """As often the tokens with as often the loss: the same gates, whatever the batch size."""
    task_loss = token_loss(TinyTask())

    def eightfold(model, sample):
        loss, tokens = task_loss(model, sample)
        return 8 * loss, 8 * tokens

    for once, often in zip(learned(kind, task_loss), learned(kind, eightfold)):
        assert once.any() and torch.equal(once, often)


def test_penalty_never_opens_gates():
    """6.6 of 8 are expected to be open in the beginning, fewer than the budget of 7: nothing to be done."""
    assert not any(location.any() for location in learned(StochasticGates, indifferent, heads=7))


def test_subsets_get_harder_as_the_temperature_falls_from_1_to_a_tenth():
    learned_location, subset = (
        learned(DifferentiableSubset, token_loss(TinyTask()), heads=3),
        DifferentiableSubset(VoteOptions()),
    )
    generator = torch.Generator().manual_seed(5)
    noise = [torch.rand(8, generator=generator) for _ in learned_location]
    for progress, temperature in ((0.0, 1.0), (0.5, 0.1**0.5), (1.0, 0.1)):
        drawn = subset.gates(learned_location, noise, HeadBudget(3), progress)
        for gates, location, uniform in zip(drawn, learned_location, noise):
            torch.testing.assert_close(gates, relaxed_subset(location + gumbel(uniform), 3, temperature))
