"""Hard-concrete gates: their distribution against its closed form."""

import math

import pytest
import torch

from fairseq_ghat.core.stochastic_gates import hard_concrete, open_probability


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
