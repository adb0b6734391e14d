"""The classification form of the constraint (Eq. 4 A) against loops over heads and groups."""

import math

import pytest
import torch

from fairseq_ghat.core.group_constraint import classification_constraint, own_group_probability


def slow_constraint(logits, labels, alpha, beta):
    """Eq. 4 A for one layer, head by head."""
    heads, groups = logits.shape
    total = 0.0
    for head in range(heads):
        log_z = math.log(sum(math.exp(value) for value in logits[head].tolist()))
        for group in range(groups):
            log_probability = logits[head, group].item() - log_z
            if group == labels[head]:
                total -= alpha * log_probability / heads
            else:
                total += beta * log_probability / ((groups - 1) * heads)
    return total


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_equals_the_slow_loop(groups):
    generator = torch.Generator().manual_seed(groups)
    logits = torch.randn(3, 8, groups, generator=generator, dtype=torch.float64)
    labels = torch.randint(groups, (3, 8), generator=generator)
    found = classification_constraint(logits, labels, 0.7, 0.3)
    for layer in range(3):
        assert found[layer].item() == pytest.approx(slow_constraint(logits[layer], labels[layer], 0.7, 0.3), rel=1e-9)


def test_undecided_classifier_by_hand():
    """All logits zero, C = 2: every log-probability is -log 2, so L_z = (alpha - beta) log 2."""
    logits, labels = torch.zeros(1, 4, 2), torch.tensor([[0, 1, 1, 0]])
    assert classification_constraint(logits, labels, 0.5, 0.2).item() == pytest.approx(0.3 * math.log(2))
    assert own_group_probability(logits, labels).tolist() == [[0.5] * 4]


def test_gradient_raises_the_own_group_and_lowers_the_others():
    logits = torch.zeros(1, 2, 3, requires_grad=True)
    labels = torch.tensor([[0, 2]])
    classification_constraint(logits, labels, 0.5, 0.5).sum().backward()
    downhill = -logits.grad[0]
    assert downhill[0, 0] > 0 > downhill[0, 1] and downhill[0, 2] < 0
    assert downhill[1, 2] > 0 > downhill[1, 0]


def test_own_group_probability_is_the_softmax_entry():
    logits = torch.tensor([[[1.0, 3.0], [0.0, 0.0]]])
    found = own_group_probability(logits, torch.tensor([[1, 0]]))
    assert found[0].tolist() == pytest.approx([1 / (1 + math.exp(-2)), 0.5])
