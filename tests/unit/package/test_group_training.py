"""Training lines after the vote: without the constraint, with everything else as it was."""

import pytest
from fairseq.logging import metrics

from fairseq_ghat.training.group_training import CONSTRAINT_METRICS, forget_constraint_metrics


@pytest.fixture(autouse=True)
def own_metrics():
    metrics.reset()
    yield
    metrics.reset()


def log(value, *names):
    with metrics.aggregate("train"), metrics.aggregate("train_inner"):
        metrics.log_scalar("loss", value, priority=10)
        metrics.log_derived("twice", lambda meters: 2 * meters["loss"].avg, priority=20)
        for priority, name in enumerate(names):
            metrics.log_scalar(name, value, priority=priority)


def test_only_the_constraint_is_forgotten():
    log(1.0, *CONSTRAINT_METRICS)
    forget_constraint_metrics()
    log(3.0)
    for aggregator in ("train", "train_inner"):
        assert list(metrics.get_smoothed_values(aggregator).items()) == [("loss", 2.0), ("twice", 4.0)]
        restored = metrics.MetersDict()
        restored.load_state_dict(metrics.get_meters(aggregator).state_dict())  # as a checkpoint holds them
        assert list(restored) == ["loss"]


def test_a_constraint_that_comes_back_begins_anew_in_its_place():
    log(1.0, "constraint")
    forget_constraint_metrics()
    log(5.0, "constraint")
    assert list(metrics.get_smoothed_values("train").items()) == [("constraint", 5.0), ("loss", 3.0), ("twice", 6.0)]


def test_nothing_logged_is_nothing_to_forget():
    forget_constraint_metrics()
    assert metrics.get_meters("train") is None
