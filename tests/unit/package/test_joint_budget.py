"""One budget over several layers, against all ways to spend it."""

from itertools import product

import pytest
import torch

from fairseq_ghat.core.joint_budget import RemovalPath, lower_hull, remove_within_budget


def path(errors, saved_by_each=1.0):
    errors = torch.tensor([0.0, *errors], dtype=torch.float64)
    return RemovalPath(errors, saved_by_each * torch.arange(len(errors), dtype=torch.float64))


def total(paths, gone):
    return [sum(float(values[count]) for values, count in zip(kind, gone)) for kind in zip(*paths)]


def cheapest(paths, wanted):
    """The least error of all ways that save enough."""
    ways = [total(paths, gone) for gone in product(*(range(len(path.errors)) for path in paths))]
    return min(error for error, saved in ways if saved >= wanted)


def test_units_go_in_the_order_of_error_for_what_they_save():
    heads, neurons = path([0.1, 0.3, 0.7], saved_by_each=4), path([0.01, 0.03, 0.06, 0.10, 0.15])
    # For each saving: heads 0.025, 0.05, 0.1; neurons 0.01, 0.02, 0.03, 0.04, 0.05.
    assert [remove_within_budget([heads, neurons], wanted) for wanted in (0, 1, 2, 3, 6, 7, 8)] == [
        [0, 0],
        [0, 1],
        [0, 2],
        [1, 2],
        [1, 2],
        [1, 3],
        [1, 4],
    ]


@pytest.mark.parametrize("seed", range(20))
def test_convex_paths_of_equal_units_are_spent_at_the_least_error(seed):
    generator = torch.Generator().manual_seed(seed)
    paths = [path(torch.rand(4, generator=generator).sort().values.cumsum(0).tolist()) for _ in range(3)]
    for wanted in range(13):
        gone = remove_within_budget(paths, wanted)
        error, saved = total(paths, gone)
        assert saved == wanted and error == pytest.approx(cheapest(paths, wanted))


def test_a_dear_unit_before_cheap_ones_goes_together_with_them():
    """The first unit alone costs 0.5, all three 0.6: 0.2 each, cheaper than the other path's 0.3."""
    assert remove_within_budget([path([0.5, 0.55, 0.6]), path([0.3, 0.6, 0.9])], 3) == [3, 0]
    # Where the budget ends on the way, no more go than it needs.
    assert remove_within_budget([path([0.5, 0.55, 0.6]), path([0.3, 0.6, 0.9])], 2) == [2, 0]


def test_units_that_save_nothing_alone_stay_or_go_with_others():
    """Seven of eight heads can take as long as eight."""
    table = RemovalPath(torch.tensor([0, 0.01, 0.02, 0.5]), torch.tensor([0.0, -0.1, 2.0, 2.0]))
    assert lower_hull(table.savings, table.errors) == [0, 2]
    assert remove_within_budget([table], 1.5) == [2]


def test_hull_is_convex_and_below_every_point():
    generator = torch.Generator().manual_seed(3)
    errors = torch.cat([torch.zeros(1), torch.rand(200, generator=generator).cumsum(0)])
    savings = torch.arange(201.0)
    corners = lower_hull(savings, errors)
    slopes = [float(errors[b] - errors[a]) / (b - a) for a, b in zip(corners, corners[1:])]
    assert corners[0] == 0 and corners[-1] == 200 and slopes == sorted(slopes)
    for begin, end in zip(corners, corners[1:]):
        line = errors[begin] + (savings[begin:end] - begin) * (errors[end] - errors[begin]) / (end - begin)
        assert bool((errors[begin:end] >= line - 1e-4).all())


def test_more_than_there_is_cannot_be_saved():
    with pytest.raises(ValueError, match="at most 5 can be saved, wanted are 6"):
        remove_within_budget([path([1, 2, 3]), path([1, 2])], 6)
