"""Gates: at one nothing changes, at zero a unit is as if it were gone, and gradients are those of differences."""

import pytest
import torch
from tiny_models import build_grouped, keep_heads, padded_batch

from fairseq_ghat.modules.attention_layers import grouped_attentions
from fairseq_ghat.modules.feed_forward import feed_forwards
from fairseq_ghat.modules.removable_layers import removable_layers
from fairseq_ghat.modules.unit_gates import UnitGates


def output(model):
    return model(**padded_batch()["net_input"])[0]


@torch.no_grad()
def test_open_gates_change_nothing_and_leave_with_the_context():
    model = build_grouped().eval()
    before = output(model)
    with UnitGates(removable_layers(model).values()) as gated:
        assert torch.equal(output(model), before)  # no gates at all
        gated.gates = {layer: torch.ones(layer.units) for layer in gated.layers}
        assert torch.equal(output(model), before)
        gated.gates = {layer: torch.zeros(layer.units) for layer in gated.layers}
        assert not torch.allclose(output(model), before)
    assert torch.equal(output(model), before)


@torch.no_grad()
def test_closed_gates_are_masked_heads():
    model, masked = build_grouped().eval(), keep_heads(build_grouped().eval(), [0, 3, 4, 7])
    kept = torch.tensor([1, 0, 0, 1, 1, 0, 0, 1.0])
    with UnitGates(grouped_attentions(model).values()) as gated:
        gated.gates = {layer: kept for layer in gated.layers}
        torch.testing.assert_close(output(model), output(masked), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_closed_gates_are_neurons_that_are_gone():
    model, cut = build_grouped().eval(), build_grouped().eval()
    layers = feed_forwards(model)
    for layer in feed_forwards(cut).values():
        layer.remove_units(range(0, 128, 3))
    with UnitGates(layers.values()) as gated:
        gated.gates = {layer: (torch.arange(128) % 3 == 0).float() for layer in gated.layers}
        torch.testing.assert_close(output(model), output(cut), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_gates_of_sentences_act_on_their_own_sentence():
    model = build_grouped().eval()
    layer = model.decoder.layers[1].encoder_attn
    gate = torch.ones(3, 8)
    gate[1, 5] = 0
    alike = torch.ones(8)
    alike[5] = 0
    before = output(model)
    with UnitGates([layer]) as gated:
        gated.gates = {layer: gate}
        by_sentence = output(model)
        gated.gates = {layer: alike}
        for_all = output(model)
    torch.testing.assert_close(by_sentence[[0, 2]], before[[0, 2]])
    torch.testing.assert_close(by_sentence[1], for_all[1])
    assert not torch.allclose(by_sentence[1], before[1])


@pytest.mark.parametrize(
    "name",
    ["encoder.layers.0.self_attn", "decoder.layers.1.self_attn", "decoder.layers.0.encoder_attn", "encoder.layers.1"],
)
def test_gradient_of_a_gate_is_the_slope_of_the_output(name):
    model = build_grouped().eval().double()
    layer = removable_layers(model)[name]
    gate = torch.ones(layer.units, dtype=torch.float64, requires_grad=True)
    with UnitGates([layer]) as gated:
        gated.gates = {layer: gate}
        (gradient,) = torch.autograd.grad(output(model).square().sum(), gate)
        with torch.no_grad():
            for head in (0, 6):
                nudge = torch.zeros(layer.units, dtype=torch.float64)
                nudge[head] = 1e-3  # coarse, since fairseq takes the softmax in float32
                values = []
                for side in (-1, 1):
                    gated.gates = {layer: 1 + side * nudge}
                    values.append(float(output(model).square().sum()))
                assert float(gradient[head]) == pytest.approx((values[1] - values[0]) / 2e-3, rel=1e-2)
