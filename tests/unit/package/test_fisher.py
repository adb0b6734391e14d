"""Fisher information of masks against a backward pass for each sentence, and the swaps that follow."""

import pytest
import torch
from tiny_models import PAD, TinyTask, build_grouped, padded_batches
from torch.nn import functional as F

from fairseq_ghat.modules.removable_layers import removable_layers
from fairseq_ghat.pruning import calibration as calibration_module
from fairseq_ghat.pruning.calibration import Calibration
from fairseq_ghat.pruning.calibration_data import token_loss
from fairseq_ghat.pruning.costs import COSTS
from fairseq_ghat.pruning.importance.fisher import FisherInformation
from fairseq_ghat.pruning.options import VoteOptions
from fairseq_ghat.pruning.vote import vote

SAMPLES = padded_batches(3)


class Passes:
    """Counts the passes over the samples."""

    def __init__(self):
        self.count = 0

    def __call__(self, shuffle):
        self.count += 1
        return SAMPLES


def calibration_of(model, batches=None):
    return Calibration(model, batches or Passes(), lambda: len(SAMPLES), PAD, loss=token_loss(TinyTask()))


def gradients_by_sentence(model):
    """(S, U) float64 of each layer by name: one sentence at a time, masks as leaves, the model in double."""
    model = model.eval().double()
    layers, gradients = removable_layers(model), {}
    masks = {name: torch.ones(layer.units, dtype=torch.float64, requires_grad=True) for name, layer in layers.items()}
    for name, layer in layers.items():

        def multiply(_, inputs, name=name, width=layer.unit_features):
            return inputs[0].unflatten(-1, (-1, width)).mul(masks[name][:, None]).flatten(-2)

        layer.projection.register_forward_pre_hook(multiply)
    for sample in SAMPLES:
        for sentence in range(3):
            inputs = {name: value[sentence : sentence + 1] for name, value in sample["net_input"].items()}
            target = sample["target"][sentence]
            log_probabilities = F.log_softmax(model(**inputs)[0][0], -1)
            loss = sum(-log_probabilities[place, word] for place, word in enumerate(target) if word != PAD)
            for name, gradient in zip(masks, torch.autograd.grad(loss, list(masks.values()))):
                gradients.setdefault(name, []).append(gradient)
    return {name: torch.stack(of_layer) for name, of_layer in gradients.items()}


GRADIENTS = gradients_by_sentence(build_grouped())


def test_importance_and_matrix_are_those_of_each_sentences_gradient():
    """In double but for the softmax, which fairseq takes in float32."""
    model = build_grouped().double()
    calibration, importance = calibration_of(model), FisherInformation(VoteOptions())
    rankings = importance.ranks(calibration, list(removable_layers(model).values()))
    assert len(rankings) == 10
    for layer, (order, errors) in rankings.items():
        gradients = GRADIENTS[calibration.names[layer]]
        squares = gradients.square().sum(0)
        tolerance = {"rtol": 1e-4, "atol": 1e-6 * float(squares.max())}
        torch.testing.assert_close(errors, squares.sort().values.cumsum(0), **tolerance)
        torch.testing.assert_close(errors, squares[order].cumsum(0), **tolerance)
        torch.testing.assert_close(importance.matrices[layer], gradients.T @ gradients, **tolerance)


def removed_cost(name, kept):
    gradients = GRADIENTS[name]
    return float(gradients[:, [unit for unit in range(gradients.size(1)) if unit not in kept]].sum(1).square().sum())


def test_swaps_leave_the_numbers_and_lower_what_is_lost():
    """Over heads of a layer, over heads of the model, over neurons."""
    lowered = 0
    for options in (
        {"vote_heads": 4},
        {"vote_heads": 4, "vote_budget": "model"},
        {"keep_heads": "all", "ffn_neurons": "100", "keep_neurons": "fisher"},
    ):
        kept = vote(
            calibration_of(build_grouped()), VoteOptions(**{"keep_heads": "fisher", "refit": "none", **options})
        )
        for name, (units, of) in kept.layers().items():
            if len(units) < of:
                highest = GRADIENTS[name].square().sum(0).topk(len(units)).indices.tolist()
                assert removed_cost(name, units) <= removed_cost(name, highest) * (1 + 1e-4)
                lowered += removed_cost(name, units) < removed_cost(name, highest) * 0.99
    assert lowered >= 10


@pytest.mark.parametrize("cost", COSTS)
def test_budget_takes_units_of_least_importance_for_what_they_save(cost):
    """The numbers of units in each layer, which the swaps leave."""
    model = build_grouped()
    layers = removable_layers(model)
    costs = {name: COSTS[cost](layer) for name, layer in layers.items()}
    units = sorted((float(value) / costs[name], name) for name, of in GRADIENTS.items() for value in of.square().sum(0))
    left, to_save = {name: of.size(1) for name, of in GRADIENTS.items()}, 0.4 * sum(costs[name] for _, name in units)
    for _, name in units:
        if to_save <= 0:
            break
        if left[name] > 1:
            left[name] -= 1
            to_save -= costs[name]
    options = VoteOptions(
        budget=f"{cost}=0.6", keep_heads="fisher", keep_neurons="fisher", ffn_per_layer=True, refit="none"
    )
    kept = vote(calibration_of(model), options)
    assert {name: len(units) for name, (units, _) in kept.layers().items()} == left


def test_little_memory_takes_passes_and_chooses_the_same(monkeypatch):
    options = VoteOptions(budget="flops=0.5", keep_heads="fisher", keep_neurons="fisher", refit="none")
    at_once, in_parts = Passes(), Passes()
    kept = vote(calibration_of(build_grouped(), at_once), options)
    monkeypatch.setattr(calibration_module, "MOST_BYTES", 8 * 128**2)
    assert vote(calibration_of(build_grouped(), in_parts), options) == kept
    assert (at_once.count, in_parts.count) == (1, 10)  # six attentions together, four feed-forward layers, twice
