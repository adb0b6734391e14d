"""Errors of reconstruction, against the errors measured position by position."""

import pytest
import torch

from fairseq_ghat.core.output_refit import OutputMoments, dropped_error, refit_output_projection, refitted_error

KEPT = torch.tensor([1, 1, 0, 0, 1, 1]).bool()


@pytest.fixture
def layer():
    """Outputs of 500 positions whose features depend on each other and have a mean, and a projection."""
    generator = torch.Generator().manual_seed(4)
    mixing = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    outputs = torch.randn(500, 6, generator=generator, dtype=torch.float64) @ mixing + 0.5
    moments = OutputMoments(6)
    for part in outputs.split(128):
        moments.add(part)
    return outputs, torch.randn(4, 6, generator=generator), moments


def mean_square(rows):
    return float(rows.square().sum(1).mean())


def test_power_of_the_output(layer):
    outputs, weight, moments = layer
    assert dropped_error(weight, moments, torch.zeros(6, dtype=torch.bool)) == pytest.approx(
        mean_square(outputs @ weight.double().T)
    )


def test_error_of_plain_removal(layer):
    outputs, weight, moments = layer
    lost = outputs[:, ~KEPT] @ weight.double()[:, ~KEPT].T
    assert dropped_error(weight, moments, KEPT) == pytest.approx(mean_square(lost))


def test_error_after_the_refit(layer):
    outputs, weight, moments = layer
    refitted, bias = refit_output_projection(weight, moments, KEPT)
    lost = outputs @ weight.double().T - outputs[:, KEPT] @ refitted.T - bias
    assert refitted_error(weight, moments, KEPT) == pytest.approx(mean_square(lost), rel=1e-6)
    predictors, target = torch.cat([outputs[:, KEPT], torch.ones(500, 1)], 1), outputs @ weight.double().T
    least = target - predictors @ torch.linalg.lstsq(predictors, target).solution
    assert refitted_error(weight, moments, KEPT) == pytest.approx(mean_square(least), rel=1e-5)


def test_refit_never_loses_more_and_all_features_lose_nothing(layer):
    _, weight, moments = layer
    assert refitted_error(weight, moments, KEPT) < dropped_error(weight, moments, KEPT)
    everything = torch.ones(6, dtype=torch.bool)
    assert dropped_error(weight, moments, everything) == 0
    assert refitted_error(weight, moments, everything) == pytest.approx(0, abs=1e-9)
