"""FLAP: the fluctuation of features against explicit ones and numbers by hand, and the order over the whole model."""

import pytest
import torch
from tiny_models import PAD, build_grouped, padded_batches

from fairseq_ghat.core.projection_refit import InputMoments
from fairseq_ghat.modules.removable_layers import removable_layers
from fairseq_ghat.pruning.calibration import Calibration
from fairseq_ghat.pruning.costs import COSTS
from fairseq_ghat.pruning.importance.flap import Fluctuation
from fairseq_ghat.pruning.options import VoteOptions
from fairseq_ghat.pruning.vote import vote

SAMPLES = padded_batches(6)


def calibration_of(model):
    return Calibration(model, lambda shuffle: SAMPLES, lambda: len(SAMPLES), PAD)


def explicit_metrics(model):
    """Of each layer, by name, (U,), from all rows that go into its projection, without padding."""
    layers, metrics = removable_layers(model), {}
    rows = {name: [] for name in layers}
    for name, layer in layers.items():
        kind = "src_tokens" if name.startswith("encoder") else "prev_output_tokens"

        def record(_, inputs, name=name, kind=kind):
            rows[name].append(inputs[0][sample["net_input"][kind].ne(PAD).T].double())

        layer.projection.register_forward_pre_hook(record)
    with torch.no_grad():
        for sample in SAMPLES:
            model.eval()(**sample["net_input"])
    for name, layer in layers.items():
        columns = layer.projection.weight.detach().double().norm(dim=0) ** 2
        features = torch.cat(rows[name]).var(0) * columns
        metric = torch.stack([of_unit.sum() for of_unit in features.split(layer.unit_features)])
        metrics[name] = (metric - metric.mean()) / metric.std()
    return metrics


class Layer:
    """Two heads of two features."""

    units, unit_features = 2, 2

    def __init__(self, weight):
        self.projection = torch.nn.Linear(4, 1, bias=False)
        self.projection.weight.data = torch.tensor([weight])


class Moments:
    """What a calibration gives, for rows."""

    def __init__(self, layer, rows):
        self.layers, self.of_rows = [layer], InputMoments(4)
        self.of_rows.add(torch.tensor(rows))

    def moments(self, layers):
        yield dict.fromkeys(layers, self.of_rows)


def test_by_hand():
    """Variances 1, 0, 4, 1; squared norms 4, 9, 1, 1: heads of 4 and 5, hence half a deviation of 1 / sqrt 2 each."""
    rows = [[1.0, 5.0, 2.0, 0.0], [-1.0, 5.0, -2.0, 2.0]]
    (scores,) = Fluctuation(VoteOptions()).scores(Moments(Layer([2.0, 3.0, 1.0, -1.0]), rows))
    assert scores.tolist() == pytest.approx([-(0.5**0.5), 0.5**0.5])


def test_units_alike_are_worth_the_same():
    (scores,) = Fluctuation(VoteOptions()).scores(Moments(Layer([1.0] * 4), [[1.0] * 4, [3.0] * 4]))
    assert scores.tolist() == [0, 0]


def test_metrics_are_those_of_explicit_features():
    expected = explicit_metrics(build_grouped())
    model = build_grouped()
    calibration = calibration_of(model)
    scores = Fluctuation(VoteOptions()).scores(calibration)
    for layer, metric in zip(calibration.layers, scores):
        torch.testing.assert_close(metric, expected[calibration.names[layer]], rtol=1e-6, atol=1e-8)
    rankings = Fluctuation(VoteOptions()).ranks(calibration, list(removable_layers(model).values()))
    least = min(float(metric.min()) for metric in expected.values())
    for layer, (order, errors) in rankings.items():
        metric = expected[calibration.names[layer]]
        assert order.tolist() == metric.argsort().tolist()
        torch.testing.assert_close(errors.diff(), metric[order][1:] - least, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("share", [0.8, 0.5])
def test_one_threshold_over_the_whole_model(cost, share):
    """Units go from the lowest metric up, whatever they save, until the budget is met."""
    metrics, model = explicit_metrics(build_grouped()), build_grouped()
    layers = removable_layers(model)
    costs = {name: COSTS[cost](layer) for name, layer in layers.items()}
    units = sorted((float(value), name, unit) for name, of in metrics.items() for unit, value in enumerate(of))
    gone, to_save = set(), (1 - share) * sum(costs[name] for _, name, _ in units)
    for _, name, unit in units:
        if to_save <= 0:
            break
        gone.add((name, unit))
        to_save -= costs[name]
    kept = vote(
        calibration_of(model),
        VoteOptions(budget=f"{cost}={share}", keep_heads="flap", keep_neurons="flap", ffn_per_layer=True, refit="bias"),
    )
    assert {(name, unit) for name, of in metrics.items() for unit in range(len(of))} - gone == {
        (name, unit) for name, (of_layer, _) in kept.layers().items() for unit in of_layer
    }
