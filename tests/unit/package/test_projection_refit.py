"""The refit: exact where it can be, least squares elsewhere, else refused; the errors left, by position."""

import pytest
import torch

from fairseq_ghat.core.projection_refit import (
    EXACT_FEATURES,
    HEAD_RIDGE,
    NEURON_RIDGE,
    InputMoments,
    SingularRefit,
    dropped_error,
    refit_projection,
    refitted_error,
)

KEPT = torch.tensor([1, 1, 0, 0, 0, 0, 1, 1]).bool()  # heads 0 and 3 of four, two features each


def random_outputs(count=500, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(8, 8, generator=generator, dtype=torch.float64)
    return torch.randn(count, 8, generator=generator, dtype=torch.float64) @ mixing + 0.5


def moments_of(outputs, batches=5):
    moments = InputMoments(8)
    for part in outputs.chunk(batches):
        moments.add(part)
    return moments


def weight_and_bias(seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(6, 8, generator=generator, dtype=torch.float64), torch.randn(6, generator=generator).double()


def test_removed_heads_that_kept_ones_can_express_come_back_exactly():
    outputs = random_outputs()
    combination = torch.randn(4, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    outputs[:, ~KEPT] = outputs[:, KEPT] @ combination + torch.tensor([1.0, -2.0, 0.3, 4.0], dtype=torch.float64)
    weight, bias = weight_and_bias()
    new_weight, bias_change = refit_projection(weight, moments_of(outputs), KEPT, ridge=0)
    refitted = outputs[:, KEPT] @ new_weight.T + bias + bias_change
    torch.testing.assert_close(refitted, outputs @ weight.T + bias, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("ridge", [0, NEURON_RIDGE, HEAD_RIDGE, 0.3])
def test_equals_explicit_least_squares(ridge):
    """Rows that ask each weight to stay as it was are the penalty: sqrt(N r) of them against N positions."""
    outputs = random_outputs()
    weight, bias = weight_and_bias()
    target = outputs @ weight.T + bias
    design = torch.cat([outputs[:, KEPT], torch.ones(len(outputs), 1, dtype=torch.float64)], dim=1)
    strength = (len(outputs) * ridge * outputs[:, KEPT].var(0, correction=0).mean()).sqrt()
    stay = strength * torch.eye(4, 5, dtype=torch.float64)
    expected = torch.linalg.lstsq(torch.cat([design, stay]), torch.cat([target, strength * weight[:, KEPT].T])).solution
    new_weight, bias_change = refit_projection(weight, moments_of(outputs), KEPT, ridge)
    torch.testing.assert_close(new_weight, expected[:-1].T, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(bias + bias_change, expected[-1], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("ridge", [HEAD_RIDGE, NEURON_RIDGE])
def test_directions_without_variance_get_no_large_weights(ridge):
    """Kept features that nearly repeat each other could say a little about the removed ones with huge weights."""
    outputs = random_outputs()
    outputs[:, 1] = outputs[:, 0] + 1e-4 * outputs[:, 1]
    weight, _ = weight_and_bias()
    free, _ = refit_projection(weight, moments_of(outputs), KEPT, ridge=1e-12)
    held, _ = refit_projection(weight, moments_of(outputs), KEPT, ridge)
    assert free.norm() > 100 * weight.norm() and held.norm() < 3 * weight.norm()


@pytest.mark.parametrize("seed", range(5))
def test_never_farther_from_the_full_output_than_dropping(seed):
    outputs = random_outputs(seed=seed)
    weight, bias = weight_and_bias(seed)
    new_weight, bias_change = refit_projection(weight, moments_of(outputs), KEPT, HEAD_RIDGE)
    full = outputs @ weight.T + bias
    refitted = outputs[:, KEPT] @ new_weight.T + bias + bias_change
    dropped = outputs[:, KEPT] @ weight[:, KEPT].T + bias
    assert (refitted - full).square().sum() < 0.9 * (dropped - full).square().sum()


def test_moments_of_batches_add_up():
    outputs = random_outputs()
    parts, whole = moments_of(outputs, batches=7), moments_of(outputs, batches=1)
    for added, expected in zip(parts.sums(), whole.sums()):
        torch.testing.assert_close(added, expected, rtol=1e-12, atol=1e-9)
    torch.testing.assert_close(parts.mean(), outputs.mean(0))
    torch.testing.assert_close(parts.covariance(), torch.cov(outputs.T, correction=0))


def test_float32_outputs_are_multiplied_and_summed_in_float64():
    outputs = random_outputs().float()
    moments, exact = moments_of(outputs), outputs.double()
    torch.testing.assert_close(moments.second, exact.T @ exact, rtol=1e-13, atol=1e-10)
    torch.testing.assert_close(moments.total, exact.sum(0), rtol=1e-13, atol=1e-10)


def test_rounding_makes_no_variance_negative():
    constants = torch.rand(1000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    moments = InputMoments(1000)
    moments.add(constants.expand(7, 1000))
    assert (moments.covariance().diagonal() < 0).any() and (moments.variance() >= 0).all()


def test_too_few_positions_are_refused():
    with pytest.raises(SingularRefit, match="4 positions are too few for 4 kept features"):
        refit_projection(weight_and_bias()[0], moments_of(random_outputs(4), batches=1), KEPT, HEAD_RIDGE)


@pytest.mark.parametrize("where,value", [((slice(None), KEPT), 0), ((3, 0), float("inf"))], ids=["silent", "infinite"])
def test_kept_heads_that_are_silent_or_not_finite_are_refused(where, value):
    outputs = random_outputs()
    outputs[where] = value
    with pytest.raises(SingularRefit, match="linearly dependent or not finite"):
        refit_projection(weight_and_bias()[0], moments_of(outputs), KEPT, HEAD_RIDGE)


@pytest.fixture
def layer():
    outputs = random_outputs()
    return outputs, weight_and_bias()[0], moments_of(outputs)


def mean_square(rows):
    return float(rows.square().sum(1).mean())


def test_power_of_the_output(layer):
    outputs, weight, moments = layer
    power = pytest.approx(mean_square(outputs @ weight.T))
    assert dropped_error(weight, moments.second / moments.count, torch.zeros(8, dtype=torch.bool)) == power


def test_error_of_plain_removal(layer):
    outputs, weight, moments = layer
    lost = outputs[:, ~KEPT] @ weight[:, ~KEPT].T
    assert dropped_error(weight, moments.second / moments.count, KEPT) == pytest.approx(mean_square(lost))


def test_error_after_the_refit(layer):
    outputs, weight, moments = layer
    refitted, bias = refit_projection(weight, moments, KEPT, HEAD_RIDGE)
    lost = outputs @ weight.T - outputs[:, KEPT] @ refitted.T - bias
    assert refitted_error(weight, moments, KEPT, HEAD_RIDGE) == pytest.approx(mean_square(lost), rel=1e-6)
    predictors, target = torch.cat([outputs[:, KEPT], torch.ones(500, 1)], 1), outputs @ weight.T
    least = target - predictors @ torch.linalg.lstsq(predictors, target).solution
    for ridge, rel in ((0, 1e-9), (NEURON_RIDGE, 1e-5), (HEAD_RIDGE, 5e-3)):
        assert refitted_error(weight, moments, KEPT, ridge) == pytest.approx(mean_square(least), rel=rel)


def test_refit_never_loses_more_and_all_features_lose_nothing(layer):
    _, weight, moments = layer
    assert refitted_error(weight, moments, KEPT, HEAD_RIDGE) < dropped_error(
        weight, moments.second / moments.count, KEPT
    )
    everything = torch.ones(8, dtype=torch.bool)
    assert dropped_error(weight, moments.second / moments.count, everything) == 0
    assert refitted_error(weight, moments, everything, HEAD_RIDGE) == pytest.approx(0, abs=1e-9)


def test_sums_of_a_wide_projection_are_float64_though_a_batch_is_multiplied_in_float32():
    generator = torch.Generator().manual_seed(5)
    inputs = torch.randn(64, EXACT_FEATURES + 8, generator=generator).relu()
    moments = InputMoments(EXACT_FEATURES + 8)
    for part in inputs.chunk(4):
        moments.add(part)
    exact = inputs.double().T @ inputs.double()
    assert moments.second.dtype == torch.float64
    assert 0 < (moments.second - exact).abs().max() < 1e-5 * exact.diagonal().max()
    torch.testing.assert_close(moments.total, inputs.double().sum(0), rtol=1e-14, atol=1e-12)


def test_second_moments_are_symmetric_and_whole_whenever_they_are_read():
    """Only the upper half is added up; 600 features take several blocks."""
    torch.manual_seed(0)
    moments, inputs = InputMoments(600), torch.randn(3, 50, 600, dtype=torch.float64)
    for count, batch in enumerate(inputs, start=1):
        moments.add(batch)
        seen = inputs[:count].flatten(0, 1)
        torch.testing.assert_close(moments.second, seen.T @ seen, rtol=1e-12, atol=1e-12)
