"""Hard-concrete gates against their closed form; relaxed subsets: size, limit, how often each member is drawn."""

import math
from itertools import permutations

import pytest
import torch

from fairseq_ghat.core.stochastic_gates import gumbel, hard_concrete, open_probability, relaxed_subset


@pytest.mark.parametrize("log_alpha", [-3.0, -0.5, 0.0, 2.0])
def test_share_of_open_gates_is_the_open_probability(log_alpha):
    uniform = (torch.arange(100_000) + 0.5) / 100_000
    gates = hard_concrete(torch.full_like(uniform, log_alpha), uniform)
    assert gates.min() >= 0 and gates.max() <= 1
    share = float((gates > 0).double().mean())
    assert share == pytest.approx(float(open_probability(torch.tensor(log_alpha))), abs=2e-4)


def test_value_worked_out_by_hand():
    """u = 0.5, log alpha = 0: s = sigmoid(0) = 0.5, stretched 0.5 * 1.2 - 0.1 = 0.5; P = sigmoid(2/3 log 11)."""
    assert float(hard_concrete(torch.zeros(()), torch.tensor(0.5))) == pytest.approx(0.5)
    expected = 1 / (1 + math.exp(-2 / 3 * math.log(11)))
    assert float(open_probability(torch.zeros(()))) == pytest.approx(expected)


def test_gradient_is_that_of_the_slope_and_none_where_the_gate_is_closed():
    location = torch.tensor([0.3, -9.0], dtype=torch.float64, requires_grad=True)
    noise = torch.tensor([0.4, 0.4], dtype=torch.float64)
    (gradient,) = torch.autograd.grad(hard_concrete(location, noise).sum(), location)
    nudged = [hard_concrete(torch.tensor([0.3 + step]), noise[:1].float()) for step in (-1e-3, 1e-3)]
    assert float(gradient[0]) == pytest.approx(float(nudged[1] - nudged[0]) / 2e-3, rel=1e-2)
    assert float(gradient[1]) == 0


def test_noise_at_its_ends_stays_finite():
    gates = hard_concrete(torch.zeros(2), torch.tensor([0.0, 1.0]))
    assert gates.tolist() == [0.0, 1.0]


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
