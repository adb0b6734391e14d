"""Budgets of heads: decisions worked out by hand, and properties that hold for any scores."""

import pytest
import torch

from fairseq_ghat.core.head_budget import HeadBudget, remove_lowest, top_heads

# Two layers of four heads and one of two. In order: 9 8 7 6 | 5 4 | 3 2 1 0.
SCORES = [torch.tensor([9.0, 2.0, 8.0, 1.0]), torch.tensor([7.0, 6.0, 3.0, 0.0]), torch.tensor([4.0, 5.0])]


def lists(masks):
    return [mask.nonzero().flatten().tolist() for mask in masks]


def test_budget_of_each_layer_keeps_its_highest():
    assert lists(top_heads(SCORES, HeadBudget(1))) == [[0], [0], [1]]
    assert lists(top_heads(SCORES[:2], HeadBudget(3))) == [[0, 1, 2], [0, 1, 2]]


def test_budget_of_the_model_keeps_the_highest_of_all_layers():
    """Six of ten: 9, 8, 7, 6, 5, 4."""
    assert lists(top_heads(SCORES, HeadBudget(2, "model"))) == [[0, 2], [0, 1], [0, 1]]


def test_budget_of_the_model_leaves_a_head_in_every_attention_unless_asked():
    """Three of ten: 9, 8, 7 would leave the last layer without a head, so 8 goes in its place."""
    assert lists(top_heads(SCORES, HeadBudget(1, "model"))) == [[0], [0], [1]]
    assert lists(top_heads(SCORES, HeadBudget(1, "model", may_empty=True))) == [[0, 2], [0], []]


def test_of_equal_scores_the_lower_index_stays():
    same = [torch.ones(3), torch.ones(3)]
    assert lists(top_heads(same, HeadBudget(1))) == [[0], [0]]
    assert lists(top_heads(same, HeadBudget(2, "model"))) == [[0, 1, 2], [0]]


def test_rounds_take_the_lowest_of_those_that_are_left():
    """Lowest first: 0, 1, 2, 3; then what is gone keeps no place among the next, whatever its score."""
    everything = [torch.ones_like(of_layer, dtype=torch.bool) for of_layer in SCORES]
    budget = HeadBudget(1)
    first = remove_lowest(SCORES, everything, budget, at_most=3)
    assert lists(first) == [[0, 2], [0, 1, 2], [0, 1]]
    upside_down = [-of_layer for of_layer in SCORES]
    second = remove_lowest(upside_down, first, budget, at_most=3)
    assert lists(second) == [[2], [2], [0, 1]]
    assert lists(remove_lowest(upside_down, second, budget, at_most=3)) == [[2], [2], [0]]


@pytest.mark.parametrize("over,may_empty", [("layer", False), ("model", False), ("model", True)])
def test_number_of_heads_is_the_budget_and_rounds_of_one_agree(over, may_empty):
    generator = torch.Generator().manual_seed(2)
    for heads in (1, 2, 3):
        scores = [torch.rand(count, generator=generator) for count in (8, 5, 4)]
        budget = HeadBudget(heads, over, may_empty)
        at_once = top_heads(scores, budget)
        assert sum(int(mask.sum()) for mask in at_once) == 3 * heads
        assert min(int(mask.sum()) for mask in at_once) >= budget.floor()
        one_by_one = [torch.ones_like(of_layer, dtype=torch.bool) for of_layer in scores]
        while sum(int(mask.sum()) for mask in one_by_one) > 3 * heads:
            one_by_one = remove_lowest(scores, one_by_one, budget, at_most=1)
        assert lists(one_by_one) == lists(at_once)


@pytest.mark.parametrize(
    "budget,sizes,message",
    [
        (HeadBudget(0), [8, 8], "0 heads of each attention: allowed is 1 to 7"),
        (HeadBudget(4), [8, 4], "4 heads of each attention: allowed is 1 to 3"),
        (HeadBudget(6, "model"), [8, 4], "6 heads on average: allowed is 1 to 5"),
        (HeadBudget(2, "everywhere"), [8, 8], "over one of layer, model, got 'everywhere'"),
        (HeadBudget(2, "layer", may_empty=True), [8, 8], "only a budget over the whole model"),
    ],
)
def test_budgets_that_cannot_be_met_are_refused(budget, sizes, message):
    with pytest.raises(ValueError, match=message):
        budget.check(sizes)


def test_largest_budgets_are_allowed():
    HeadBudget(7).check([8, 8])
    HeadBudget(5, "model").check([8, 4])


def test_score_that_is_not_a_number_is_refused():
    with pytest.raises(ValueError, match="not a number"):
        top_heads([torch.tensor([1.0, float("nan")])], HeadBudget(1))
