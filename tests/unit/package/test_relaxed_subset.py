"""Relaxed subsets: their size, their limit, and how often each member is drawn."""

from itertools import permutations

import pytest
import torch

from fairseq_ghat.core.stochastic_gates import gumbel, relaxed_subset


@pytest.mark.parametrize("temperature", [10.0, 1.0, 0.1, 1e-3])
@pytest.mark.parametrize("size", [1, 3, 7])
def test_gates_add_up_to_the_size(size, temperature):
    logits = torch.randn(5, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gates = relaxed_subset(logits, size, temperature)
    torch.testing.assert_close(gates.sum(-1), torch.full((5,), float(size), dtype=torch.float64), rtol=1e-6, atol=0)
    assert gates.min() >= 0


def test_cold_gates_are_the_largest_logits():
    logits = torch.tensor([0.3, 2.0, -1.0, 0.9, 0.1])
    gates = relaxed_subset(logits, 2, 1e-3)
    torch.testing.assert_close(gates, torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0]), atol=1e-4, rtol=0)


def test_cold_draws_with_gumbel_noise_are_draws_without_replacement():
    """Of weights 1, 2, 5, two are drawn one after the other without replacement (Plackett-Luce)."""
    weights = [1.0, 2.0, 5.0]
    expected = torch.zeros(3)
    for first, second, third in permutations(range(3)):
        rest = weights[second] + weights[third]
        chance = weights[first] / sum(weights) * weights[second] / rest
        expected[[first, second]] += chance
    uniform = torch.rand(20_000, 3, generator=torch.Generator().manual_seed(3))
    drawn = relaxed_subset(torch.tensor(weights).log() + gumbel(uniform), 2, 1e-4)
    assert (drawn.mean(0) - expected).abs().max() < 0.01


def test_more_of_a_logit_opens_its_gate_and_closes_the_others():
    logits = torch.tensor([0.2, 0.1, 0.0, -0.1], requires_grad=True)
    gates = relaxed_subset(logits, 2, 0.5)
    (gradient,) = torch.autograd.grad(gates[1], logits)
    assert gradient[1] > 0 and gradient[[0, 2, 3]].max() < 0
    assert abs(float(gradient.sum())) < 1e-5  # gates depend on differences alone
