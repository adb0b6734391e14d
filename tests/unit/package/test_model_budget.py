"""Heads and neurons under one budget: what a unit costs, that the budget is met, which options go together."""

import pytest
import torch
from tiny_models import PAD, TinyTask, build_grouped, padded_batches

from fairseq_ghat.core.joint_budget import RemovalPath, remove_within_budget
from fairseq_ghat.core.projection_refit import dropped_error, refitted_error, ridge_for
from fairseq_ghat.modules.attention_layers import heads_per_layer
from fairseq_ghat.modules.feed_forward import neurons_per_layer
from fairseq_ghat.modules.removable_layers import removable_layers
from fairseq_ghat.modules.unit_slices import per_feature
from fairseq_ghat.pruning.calibration import Calibration
from fairseq_ghat.pruning.calibration_data import token_loss
from fairseq_ghat.pruning.costs import COSTS, Savings
from fairseq_ghat.pruning.importance.registry import RANKS_UNITS
from fairseq_ghat.pruning.model_budget import _wanted, check_model_budget, check_reachable
from fairseq_ghat.pruning.options import VoteOptions
from fairseq_ghat.pruning.vote import vote

SAMPLES = padded_batches(30)


def calibration_of(model):
    return Calibration(model, lambda shuffle: SAMPLES, lambda: len(SAMPLES), PAD, loss=token_loss(TinyTask()))


def cut(model, **options):
    return vote(calibration_of(model), VoteOptions(**options))


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def cost_of(model, name):
    """Of the attention and feed-forward layers."""
    return sum(COSTS[name](layer) * layer.units for layer in removable_layers(model).values())


@pytest.mark.parametrize("name", list(removable_layers(build_grouped())))
def test_parameters_of_a_unit_are_those_that_go_with_it(name):
    model = build_grouped()
    layer, before = removable_layers(model)[name], parameters(model)
    cost = COSTS["parameters"](layer)
    layer.remove_units(range(layer.units - 1))
    assert before - parameters(model) == cost == COSTS["parameters"](layer)


@pytest.mark.parametrize("name", list(removable_layers(build_grouped())))
def test_flops_of_a_unit_are_those_that_fvcore_no_longer_counts(name):
    pytest.importorskip("fvcore", reason="fvcore is not installed")
    from fairseq_ghat.profiling.flops import count_flops

    model = build_grouped()
    layer, before = removable_layers(model)[name], count_flops(model, 30).total
    cost = COSTS["flops"](layer)
    layer.remove_units(range(layer.units - 1))
    assert before - count_flops(model, 30).total == cost


@pytest.mark.parametrize("share", [0.9, 0.5, 0.2])
@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("way", RANKS_UNITS)
def test_budget_is_met_and_not_by_more_than_the_last_unit(way, cost, share):
    model = build_grouped()
    whole, head = cost_of(model, cost), COSTS[cost](model.encoder.layers[0].self_attn)
    cut(model, budget=f"{cost}={share}", keep_heads=way, keep_neurons=way, ffn_per_layer=True)
    assert share * whole - head < cost_of(model, cost) <= share * whole
    assert min(heads_per_layer(model).values()) >= 1 and min(neurons_per_layer(model).values()) >= 1


@pytest.mark.parametrize("percent", range(1, 100))
def test_a_share_that_is_met_exactly_is_met(percent):
    """Of 100 units, 1 - 0.7 of them are 30, though a float says a little more."""
    path = torch.arange(101, dtype=torch.float64)
    wanted = _wanted(percent / 100, Savings(100.0, {}))
    assert remove_within_budget([RemovalPath(path, path)], wanted) == [100 - percent]


def test_chance_takes_the_same_share_of_every_layer():
    model = build_grouped()
    cut(model, budget="parameters=0.5", keep_heads="random", keep_neurons="random", ffn_per_layer=True)
    assert all(128 * 0.35 < neurons < 128 * 0.65 for neurons in neurons_per_layer(model).values())
    assert 6 * 8 * 0.3 < sum(heads_per_layer(model).values()) < 6 * 8 * 0.7


@pytest.mark.parametrize("per_layer", [False, True])
def test_sides_have_one_width_unless_layers_may_differ(per_layer):
    model = build_grouped()
    with torch.no_grad():  # half of one layer's neurons do nothing
        model.encoder.layers[0].fc2.weight[:, ::2] = 0
    cut(model, budget="parameters=0.8", ffn_per_layer=per_layer)
    neurons = neurons_per_layer(model)
    assert (neurons["encoder.layers.0"] < neurons["encoder.layers.1"]) == per_layer
    assert (neurons["decoder.layers.0"] == neurons["decoder.layers.1"]) or per_layer


def test_a_budget_over_one_kind_leaves_the_other_and_is_of_both():
    model = build_grouped()
    whole = cost_of(model, "parameters")
    kept = cut(model, budget="parameters=0.7", keep_heads="all")
    assert set(heads_per_layer(model).values()) == {8} and max(neurons_per_layer(model).values()) < 128
    assert len(kept.neurons) == 4 and 0.68 * whole < cost_of(model, "parameters") <= 0.7 * whole
    model = build_grouped()
    kept = cut(model, budget="parameters=0.7", keep_neurons="all")
    assert set(neurons_per_layer(model).values()) == {128} and kept.neurons == {}
    assert 0.68 * whole < cost_of(model, "parameters") <= 0.7 * whole


@pytest.mark.parametrize("per_layer", [True, False])
@pytest.mark.parametrize("refit", ["output", "none"])
@pytest.mark.parametrize("largest", [0.02, 0.3])
def test_fewest_units_hold_the_error(refit, largest, per_layer):
    """In every layer; of the feed-forward layers of a side, which stay equally wide, one could not lose more."""
    full = build_grouped()
    layers = removable_layers(full)
    (moments,) = calibration_of(full).moments(layers.values())

    def error(layer, units):
        stays = torch.zeros(layer.units, dtype=torch.bool)
        stays[units] = True
        features, weight = per_feature(stays, layer.unit_features), layer.projection.weight.detach()
        of_layer = moments[layer]
        if refit == "none":
            second = of_layer.second / of_layer.count
            return dropped_error(weight, second, features) / dropped_error(weight, second, features & False)
        lost = dropped_error(weight, of_layer.covariance(), features & False)
        return refitted_error(weight, of_layer, features, ridge_for(layer.unit_features)) / lost if units else 1.0

    kept = cut(build_grouped(), max_error=largest, refit=refit, ffn_per_layer=per_layer)
    assert set(kept.layers()) == set(layers)
    at_the_limit = {}
    for name, (units, _) in kept.layers().items():
        layer = layers[name]
        assert error(layer, units) <= largest * 1.01  # the elimination counts the penalty of the refit too
        if len(units) > 1:
            limit = all(error(layer, [u for u in units if u != gone]) > largest * 0.95 for gone in units)
            group = name if per_layer or name.endswith("_attn") else name.split(".")[0]
            at_the_limit.setdefault(group, []).append(limit)
    assert at_the_limit and all(map(any, at_the_limit.values()))


REFUSED = [
    ({"budget": "parameters"}, "--budget parameters: allowed is parameters=0.6 or flops=0.6 or latency=0.6"),
    ({"budget": "parameters=1"}, "with a share between 0 and 1"),
    ({"budget": "watts=0.5"}, "--budget watts=0.5: allowed is"),
    ({"max_error": 0.0}, "--max-error 0.0: allowed is a number between 0 and 1"),
    ({"max_error": 0.1, "budget": "flops=0.5"}, "--max-error 0.1: not with --budget"),
    ({"budget": "flops=0.5", "vote_heads": 2}, "--vote-heads 2: not with --budget flops=0.5"),
    ({"budget": "flops=0.5", "ffn_neurons": "0.5"}, "--ffn-neurons 0.5: not with --budget flops=0.5"),
    ({"budget": "flops=0.5", "vote_budget": "model"}, "--vote-budget model: not with --budget"),
    ({"budget": "flops=0.5", "keep_heads": "pillars"}, "--keep-heads pillars: not with --budget flops=0.5; allowed is"),
    ({"max_error": 0.1, "keep_heads": "l1"}, "--keep-heads l1: not with --max-error 0.1; allowed is reconstruction"),
    ({"budget": "flops=0.5", "keep_heads": "all", "keep_neurons": "all"}, "could remove nothing"),
    ({"budget": "flops=0.5", "keep_heads": "l1"}, "--keep-neurons reconstruction: allowed with --budget flops=0.5 is"),
    ({"ffn_per_layer": True}, "--ffn-per-layer: allowed only with --budget or --max-error"),
    ({"ffn_neurons": "0.5", "keep_neurons": "all"}, "--keep-neurons all: not with --ffn-neurons"),
]


@pytest.mark.parametrize("options,message", REFUSED)
def test_options_that_do_not_go_together_are_refused(options, message):
    with pytest.raises(ValueError) as refused:
        check_model_budget(VoteOptions(**options))
    assert message in str(refused.value)


@pytest.mark.parametrize("only", [{}, {"keep_heads": "all"}, {"keep_neurons": "all"}], ids=["both", "neurons", "heads"])
@pytest.mark.parametrize("cost", COSTS)
def test_the_least_share_that_is_named_is_the_least_that_can_be_reached(cost, only):
    model = build_grouped()
    with pytest.raises(ValueError, match=f"--budget {cost}=0.001: allowed is {cost}=0[.][0-9]+ or more, ") as refused:
        check_reachable(VoteOptions(budget=f"{cost}=0.001", **only), model)
    least = float(str(refused.value).split("=")[2].split()[0])
    with pytest.raises(ValueError, match=f"allowed is {cost}={least:.3f} or more"):
        check_reachable(VoteOptions(budget=f"{cost}={least - 0.001}", **only), model)
    options = VoteOptions(budget=f"{cost}={least}", **only)
    check_reachable(options, model)
    vote(calibration_of(model), options)
    assert cost_of(model, cost) <= least * cost_of(build_grouped(), cost)
