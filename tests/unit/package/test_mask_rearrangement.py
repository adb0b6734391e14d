"""Swaps of kept and removed units, against all subsets of as many."""

from itertools import combinations

import pytest
import torch

from fairseq_ghat.core.mask_rearrangement import rearrange


def cost(fisher, kept):
    removed = (~kept).to(fisher)
    return float(removed @ fisher @ removed)


def least(fisher, removed):
    """Kept units of the least cost over all subsets."""
    units = len(fisher)
    masks = [torch.tensor([unit not in gone for unit in range(units)]) for gone in combinations(range(units), removed)]
    return min(masks, key=lambda kept: cost(fisher, kept))


def mask(units, removed):
    return torch.tensor([unit not in removed for unit in range(units)])


def test_units_whose_gradients_cancel_go_together():
    """Of two sentences. 0 and 1, the least alone, cost 4 together; 1 and 3 cost 2, 2 and 3 nothing.

    2 comes first and replaces none, since 3 is not removed yet; 3 then replaces one. It is one round, as in the paper.
    """
    gradients = torch.tensor([[1.0, 1.0, 2.0, -2.0], [0.0, 0.0, 1.0, -1.0]], dtype=torch.float64)
    fisher = gradients.T @ gradients
    assert [cost(fisher, mask(4, removed)) for removed in ([0, 1], [1, 3], [2, 3])] == [4, 2, 0]
    once = rearrange(fisher, mask(4, [0, 1]))
    assert once.equal(mask(4, [1, 3]))
    assert rearrange(fisher, once).equal(mask(4, [2, 3])) and least(fisher, 2).equal(mask(4, [2, 3]))


def test_alike_units_do_not_go_together():
    """Twins lose four times as much as one of them; the swap finds the best of all subsets."""
    gradients = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.2]], dtype=torch.float64)
    fisher = gradients.T @ gradients
    rearranged = rearrange(fisher, mask(3, [0, 1]))
    assert rearranged.sum() == 1 and cost(fisher, rearranged) == pytest.approx(2.44)
    assert cost(fisher, rearranged) == cost(fisher, least(fisher, 2)) < cost(fisher, mask(3, [0, 1])) == 4


@pytest.mark.parametrize("removed", [0, 1, 4, 8])
def test_never_worse_than_the_start_and_often_the_best(removed):
    generator, best = torch.Generator().manual_seed(2), 0
    for _ in range(30):
        gradients = torch.randn(5, 8, generator=generator, dtype=torch.float64)
        fisher = gradients.T @ gradients
        start = mask(8, fisher.diagonal().argsort()[:removed].tolist())
        rearranged = rearrange(fisher, start)
        assert rearranged.sum() == 8 - removed
        assert least_cost(fisher, removed) - 1e-9 <= cost(fisher, rearranged) <= cost(fisher, start) + 1e-9
        best += cost(fisher, rearranged) <= least_cost(fisher, removed) + 1e-9
    assert best >= 10


def least_cost(fisher, removed):
    return cost(fisher, least(fisher, removed))
