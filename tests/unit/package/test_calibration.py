"""Passes over the data: what is frozen, how much is looked at, in which order."""

import pytest
import torch
from tiny_models import build_grouped, padded_batch

from fairseq_ghat.pruning.calibration import Calibration, frozen, frozen_weights

DATA = [{"number": number} for number in range(5)]


class Recorder:
    """Gives the same data on each pass and notes how they were asked for."""

    def __init__(self):
        self.shuffled, self.closed = [], 0

    def __call__(self, shuffle):
        self.shuffled.append(shuffle)
        try:
            yield from DATA
        finally:
            self.closed += 1


def calibration(limit=None, data=None, **options):
    return Calibration(build_grouped(), data or Recorder(), lambda: len(DATA), 1, limit=limit, **options)


def numbers(samples):
    return [sample["number"] for sample in samples]


def test_one_pass_is_all_of_the_data_in_its_order():
    recorder = Recorder()
    assert numbers(calibration(data=recorder).samples()) == [0, 1, 2, 3, 4]
    assert recorder.shuffled == [False]


def test_part_of_the_data_is_a_shuffled_part_and_the_rest_is_let_go():
    recorder = Recorder()
    assert numbers(calibration(2, recorder).samples()) == [0, 1]
    assert recorder.shuffled == [True] and recorder.closed == 1


@pytest.mark.parametrize("limit,expected", [(None, [0, 1, 2, 3, 4]), (3, [0, 1, 2]), (7, [0, 1, 2, 3, 4, 0, 1])])
def test_updates_go_over_the_data_as_often_as_they_need(limit, expected):
    recorder = Recorder()
    data = calibration(limit, recorder)
    assert data.updates_planned() == len(expected)
    assert numbers(data.updates()) == expected
    assert all(recorder.shuffled)


def test_updates_of_no_data_end():
    assert list(calibration(3, lambda shuffle: []).updates()) == []


def test_samples_are_moved_and_empty_ones_stay_empty():
    data = calibration(data=lambda shuffle: [{}, {"number": 1}], to_device=lambda sample: {**sample, "moved": True})
    assert list(data.samples()) == [{}, {"number": 1, "moved": True}]


def test_overflow_of_one_worker_is_an_error_of_all():
    """Of a worker whose numbers are finite too, which would else wait for the sums of the other."""
    overflown = calibration(data=lambda shuffle: [padded_batch()], reduce=lambda tensor: tensor.add_(1))
    with pytest.raises(ValueError, match="not finite"):
        next(overflown.features())


def sums_of_a_pass(samples):
    """Shapes of what a worker sums over all workers."""
    shapes = []
    data = calibration(data=lambda shuffle: samples, reduce=lambda tensor: shapes.append(tensor.shape))
    data.expect_moments(data.layers)
    assert len(list(data.features())) == len(list(filter(None, samples)))
    return shapes


def test_a_worker_that_is_short_of_a_batch_takes_part_in_every_sum():
    assert sums_of_a_pass([padded_batch(), {}]) == sums_of_a_pass([padded_batch(), padded_batch()])


@pytest.mark.parametrize("expected", [True, False])
def test_moments_cost_no_pass_of_their_own_where_they_are_expected(expected):
    recorder = Recorder()

    def batches(shuffle):
        return ({**padded_batch(), **item} for item in recorder(shuffle))

    data = calibration(data=batches)
    layers = [*data.layers, *data.feed_forwards]
    if expected:
        data.expect_moments(layers)
    assert len(list(data.features())) == 5
    (moments,) = data.moments(layers)
    counts = [int(moments[layer].count) for layer in layers]
    # Tokens of source and target that are no padding: attention of encoder and decoder, then their feed-forward layers.
    assert counts == [5 * 17] * 2 + [5 * 16] * 4 + [5 * 17] * 2 + [5 * 16] * 2
    assert len(recorder.shuffled) == (1 if expected else 2)
    (again,) = data.moments(layers)
    assert again == moments and len(recorder.shuffled) == (1 if expected else 2)


def test_moments_that_memory_does_not_allow_at_once_take_a_pass_for_each_part(monkeypatch):
    """The feed-forward layers have 128 neurons, the attention layers 64 features: 128 and 32 KiB of moments."""
    monkeypatch.setattr("fairseq_ghat.pruning.calibration.MOST_BYTES", 300_000)
    recorder = Recorder()
    data = calibration(data=lambda shuffle: ({**padded_batch(), **item} for item in recorder(shuffle)))
    layers = [*data.layers, *data.feed_forwards]
    data.expect_moments(layers)
    assert len(list(data.features())) == 5
    parts = list(data.moments(layers))
    assert [len(part) for part in parts] == [6, 2, 2] and len(recorder.shuffled) == 1 + 3
    assert [layer for part in parts for layer in part] == layers
    assert all(int(moments.count) in (5 * 16, 5 * 17) for part in parts for moments in part.values())


def test_frozen_restores_training_mode_after_an_error():
    model = build_grouped().train()
    with pytest.raises(KeyError), frozen(model):
        assert not model.training and not torch.is_grad_enabled()
        raise KeyError
    assert model.training and torch.is_grad_enabled()


def test_frozen_weights_let_gradients_through_and_have_none():
    model = build_grouped(dropout=0.5).train()
    model.encoder.embed_tokens.weight.requires_grad_(False)  # as by a user; stays so
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    with frozen_weights(model):
        assert not model.training
        embedded = torch.ones(3, 2, 64, requires_grad=True)
        out, _ = model.encoder.layers[0].self_attn(embedded, embedded, embedded)
        (gradient,) = torch.autograd.grad(out.sum(), embedded)
        assert gradient.abs().sum() > 0
        model(**padded_batch()["net_input"])
    assert {name for name, parameter in model.named_parameters() if parameter.requires_grad} == trained
    assert all(parameter.grad is None for parameter in model.parameters()) and model.training
