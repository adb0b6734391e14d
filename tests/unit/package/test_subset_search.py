"""Search for the cheapest subset of heads, against brute force."""

from itertools import combinations

import pytest
import torch

from fairseq_ghat.core import subset_search
from fairseq_ghat.core.subset_search import best_subset, eliminate


def quadratic(seed, heads):
    """A cost with interactions, so that the cheapest subset is not the cheapest heads."""
    matrix = torch.randn(heads, heads, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    matrix = matrix @ matrix.transpose(0, 1)
    return lambda kept: float(matrix[kept][:, kept].sum())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [1, 2, 4, 7])
def test_every_subset_is_tried_where_they_are_few(seed, size):
    cost = quadratic(seed, 8)
    masks = [torch.tensor([head in chosen for head in range(8)]) for chosen in combinations(range(8), size)]
    best = best_subset(8, size, cost)
    assert int(best.sum()) == size
    assert cost(best) == min(map(cost, masks))


def test_greedy_way_where_subsets_are_many(monkeypatch):
    """The same search, step by step by hand; and it may cost more than the best subset."""
    cost = quadratic(3, 8)
    exhaustive = best_subset(8, 3, cost)
    monkeypatch.setattr(subset_search, "MOST_SUBSETS", 10)
    kept = set(range(8))
    while len(kept) > 3:
        kept.remove(min(kept, key=lambda head: cost(torch.tensor([h in kept - {head} for h in range(8)]))))
    greedy = best_subset(8, 3, cost)
    assert greedy.nonzero().flatten().tolist() == sorted(kept)
    assert cost(greedy) >= cost(exhaustive)


def test_order_and_costs_of_elimination():
    """Costs that add up: the cheapest to keep stay longest."""
    price = torch.tensor([3.0, 1.0, 4.0, 2.0])
    order, costs = eliminate(4, lambda kept: float(price[kept].sum()), down_to=0)
    assert order == [2, 0, 3, 1]
    assert costs == [6.0, 3.0, 1.0, 0.0]


def test_of_equal_costs_the_first_subset_and_the_lower_index():
    assert best_subset(4, 2, lambda kept: 0.0).tolist() == [True, True, False, False]
    assert eliminate(3, lambda kept: 0.0)[0] == [0, 1]
