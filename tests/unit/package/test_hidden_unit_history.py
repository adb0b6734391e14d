"""Sums of Gram matrices over epochs, the change between them, and their way through a checkpoint."""

import pytest
import torch

from fairseq_ghat.core.hidden_units import relative_change
from fairseq_ghat.training.hidden_unit_history import HiddenUnitHistory

HEADS = {"first": 4, "second": 3}


def grams(seed):
    generator = torch.Generator().manual_seed(seed)
    features = {name: torch.randn(heads, 20, generator=generator) for name, heads in HEADS.items()}
    return {name: f @ f.T for name, f in features.items()}


def run_epoch(history, epoch, seeds):
    history.begin_epoch(epoch)
    for seed in seeds:
        history.add(grams(seed))


def test_change_is_that_of_the_sums_of_two_whole_epochs():
    history = HiddenUnitHistory(HEADS)
    run_epoch(history, 1, [1, 2])
    history.begin_epoch(2)
    assert history.change is None, "one epoch has nothing to compare with"
    run_epoch(history, 2, [3, 4, 5])
    history.begin_epoch(3)
    expected = {}
    for name in HEADS:
        before = grams(1)[name] + grams(2)[name]
        after = grams(3)[name] + grams(4)[name] + grams(5)[name]
        expected[name] = relative_change(before.double()[None], after.double()[None]).item()
    change, layer = history.change
    assert layer == max(expected, key=expected.get)
    assert change == pytest.approx(expected[layer], rel=1e-6)


def test_same_features_in_both_epochs_are_no_change():
    history = HiddenUnitHistory(HEADS)
    for epoch in (1, 2):
        run_epoch(history, epoch, [1, 2])
    history.begin_epoch(3)
    assert history.change[0] == pytest.approx(0, abs=1e-7)


def test_what_is_not_a_number_has_not_settled():
    history = HiddenUnitHistory(HEADS)
    for epoch, second in ((1, grams(1)["second"]), (2, torch.full((3, 3), torch.nan))):
        history.begin_epoch(epoch)
        history.add({"first": grams(1)["first"], "second": second})
    history.begin_epoch(3)
    assert history.change == (float("inf"), "second")


@pytest.mark.parametrize("after_restart", [[3], []], ids=["in the middle of an epoch", "between epochs"])
def test_resuming_is_as_if_never_stopped(after_restart):
    whole, resumed = HiddenUnitHistory(HEADS), HiddenUnitHistory(HEADS)
    run_epoch(whole, 1, [1])
    run_epoch(whole, 2, [2])
    resumed.load_state_dict(whole.state_dict())
    if after_restart:
        resumed.begin_epoch(2)
    for history in (whole, resumed):
        for seed in after_restart:
            history.add(grams(seed))
        history.begin_epoch(3)
    assert resumed.change is not None and resumed.change == whole.change


def test_skipped_layers_and_batches_that_do_not_count_add_nothing():
    history, expected = HiddenUnitHistory(HEADS), HiddenUnitHistory(HEADS)
    history.begin_epoch(1)
    history.add({"first": grams(1)["first"]})
    history.add({})
    assert torch.equal(history.state_dict()["sums"]["first"], grams(1)["first"].double())
    assert torch.equal(history.state_dict()["sums"]["second"], expected.state_dict()["sums"]["second"])


def test_unknown_layer_is_refused():
    with pytest.raises(KeyError, match="unknown layers: module.first"):
        HiddenUnitHistory(HEADS).add({"module.first": torch.eye(4)})
