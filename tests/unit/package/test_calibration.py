"""Passes over the data: what is frozen, how much is looked at, in which order."""

import pytest
import torch
from tiny_models import build_grouped, padded_batch

from fairseq_ghat.pruning.calibration import Passes, frozen, frozen_weights

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


def passes(limit=None, data=None):
    return Passes(data or Recorder(), lambda: len(DATA), 1, limit=limit)


def numbers(samples):
    return [sample["number"] for sample in samples]


def test_one_pass_is_all_of_the_data_in_its_order():
    recorder = Recorder()
    assert numbers(passes(data=recorder).samples()) == [0, 1, 2, 3, 4]
    assert recorder.shuffled == [False]


def test_part_of_the_data_is_a_shuffled_part_and_the_rest_is_let_go():
    recorder = Recorder()
    assert numbers(passes(2, recorder).samples()) == [0, 1]
    assert recorder.shuffled == [True] and recorder.closed == 1


@pytest.mark.parametrize("limit,expected", [(None, [0, 1, 2, 3, 4]), (3, [0, 1, 2]), (7, [0, 1, 2, 3, 4, 0, 1])])
def test_updates_go_over_the_data_as_often_as_they_need(limit, expected):
    recorder = Recorder()
    found = passes(limit, recorder)
    assert found.updates_planned() == len(expected)
    assert numbers(found.updates()) == expected
    assert all(recorder.shuffled)


def test_updates_of_no_data_end():
    assert list(Passes(lambda shuffle: [], lambda: 0, 1, limit=3).updates()) == []


def test_samples_are_moved_and_empty_ones_stay_empty():
    found = Passes(
        lambda shuffle: [{}, {"number": 1}], lambda: 2, 1, to_device=lambda sample: {**sample, "moved": True}
    )
    assert list(found.samples()) == [{}, {"number": 1, "moved": True}]


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
