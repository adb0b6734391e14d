"""Backward elimination: each step against every other removal, solved explicitly; the waiting changes of blocks."""

import pytest
import torch

from fairseq_ghat.core.backward_elimination import eliminate_features, eliminate_without_refit
from fairseq_ghat.core.projection_refit import SingularRefit


def random_projection(features, outputs=4, seed=0, positions=300):
    """Weight and centred input of a projection whose input features depend on each other."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(features, features, generator=generator, dtype=torch.float64)
    inputs = (torch.randn(positions, features, generator=generator, dtype=torch.float64) @ mixing).relu()
    weight = torch.randn(outputs, features, generator=generator, dtype=torch.float64)
    return weight, inputs - inputs.mean(0)


def penalised_error(weight, inputs, kept, penalty):
    """Least squares over the positions, with rows that ask each weight to stay as it was."""
    stay = (len(inputs) * penalty) ** 0.5 * torch.eye(weight.size(1), dtype=torch.float64)
    design, target = torch.cat([inputs, stay]), torch.cat([inputs, stay]) @ weight.T
    solution = torch.linalg.lstsq(design[:, kept], target).solution
    return float((target - design[:, kept] @ solution).square().sum()) / len(inputs)


def covariance(inputs):
    return inputs.T @ inputs / len(inputs)


@pytest.mark.parametrize("features", range(1, 11))
@pytest.mark.parametrize("penalty", [0.0, 0.2])
def test_each_step_is_the_cheapest_of_all(features, penalty):
    weight, inputs = random_projection(features, seed=features)
    order, costs = eliminate_features(weight, covariance(inputs), penalty)
    kept = list(range(features))
    for feature, cost in zip(order.tolist(), costs.tolist()):
        without = {
            gone: penalised_error(weight, inputs, [other for other in kept if other != gone], penalty) for gone in kept
        }
        assert feature == min(without, key=without.get)
        assert cost == pytest.approx(without[feature], rel=1e-8)
        kept.remove(feature)
    assert not kept


def test_changes_that_wait_are_the_changes_made_at_once():
    """Some blocks of steps, and a last one that is not full, against the update written out."""
    weight, inputs = random_projection(150, outputs=7, positions=2000)
    expected_order, expected_costs, left, cost = [], [], list(range(150)), 0.0
    inverse, projection = torch.linalg.inv(covariance(inputs) + 0.1 * torch.eye(150, dtype=torch.float64)), weight
    while left:
        place = int((projection.square().sum(0) / inverse.diagonal()).argmin())
        cost += float(projection[:, place].square().sum() / inverse[place, place])
        column, pivot = inverse[place], inverse[place, place]
        projection = projection - torch.outer(projection[:, place], column) / pivot
        inverse = inverse - torch.outer(column, column) / pivot
        others = [other for other in range(len(left)) if other != place]
        inverse, projection = inverse[others][:, others], projection[:, others]
        expected_order.append(left.pop(place))
        expected_costs.append(cost)
    order, costs = eliminate_features(weight, covariance(inputs), 0.1)
    assert order.tolist() == expected_order
    torch.testing.assert_close(costs, torch.tensor(expected_costs, dtype=torch.float64), rtol=1e-9, atol=0)


def test_a_copy_of_another_feature_goes_first_and_costs_nothing():
    weight, inputs = random_projection(6)
    inputs[:, 4] = inputs[:, 1]
    order, costs = eliminate_features(weight, covariance(inputs), 1e-9)
    assert order[0] in (1, 4) and costs[0] < 1e-6 * costs[-1]


def test_features_that_depend_on_each_other_need_a_penalty():
    weight, inputs = random_projection(6)
    inputs[:, 4] = 0
    with pytest.raises(SingularRefit, match="linearly dependent"):
        eliminate_features(weight, covariance(inputs), 0.0)


@pytest.mark.parametrize("features", range(1, 9))
def test_each_step_without_refit_is_the_cheapest_of_all(features):
    weight, inputs = random_projection(features, seed=features)
    second = inputs.T @ inputs / len(inputs)
    order, costs = eliminate_without_refit(weight, second)
    gone = []
    for feature, cost in zip(order.tolist(), costs.tolist()):
        lost = {
            one: float((inputs[:, [*gone, one]] @ weight[:, [*gone, one]].T).square().sum() / len(inputs))
            for one in range(features)
            if one not in gone
        }
        assert feature == min(lost, key=lost.get)
        assert cost == pytest.approx(lost[feature], rel=1e-9)
        gone.append(feature)
