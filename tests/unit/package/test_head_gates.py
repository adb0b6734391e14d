"""Gates on heads: at one nothing changes, at zero a head is as if masked, and gradients are those of differences."""

import pytest
import torch
from tiny_models import build_grouped, keep_heads, padded_batch

from fairseq_ghat.modules.grouped_attention import grouped_attentions
from fairseq_ghat.modules.head_gates import HeadGates


def output(model):
    return model(**padded_batch()["net_input"])[0]


@torch.no_grad()
def test_open_gates_change_nothing_and_leave_with_the_context():
    model = build_grouped().eval()
    before = output(model)
    with HeadGates(model) as gated:
        assert torch.equal(output(model), before)  # no gates at all
        gated.gates = {layer: torch.ones(8) for layer in gated.attentions}
        assert torch.equal(output(model), before)
        gated.gates = {layer: torch.zeros(8) for layer in gated.attentions}
        assert not torch.allclose(output(model), before)
    assert torch.equal(output(model), before)


@torch.no_grad()
def test_closed_gates_are_masked_heads():
    model, masked = build_grouped().eval(), keep_heads(build_grouped().eval(), [0, 3, 4, 7])
    kept = torch.tensor([1, 0, 0, 1, 1, 0, 0, 1.0])
    with HeadGates(model) as gated:
        gated.gates = {layer: kept for layer in gated.attentions}
        torch.testing.assert_close(output(model), output(masked), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_gates_of_sentences_act_on_their_own_sentence():
    model = build_grouped().eval()
    layer = model.decoder.layers[1].encoder_attn
    gate = torch.ones(3, 8)
    gate[1, 5] = 0
    alike = torch.ones(8)
    alike[5] = 0
    before = output(model)
    with HeadGates(model) as gated:
        gated.gates = {layer: gate}
        by_sentence = output(model)
        gated.gates = {layer: alike}
        for_all = output(model)
    torch.testing.assert_close(by_sentence[[0, 2]], before[[0, 2]])
    torch.testing.assert_close(by_sentence[1], for_all[1])
    assert not torch.allclose(by_sentence[1], before[1])


@pytest.mark.parametrize(
    "name", ["encoder.layers.0.self_attn", "decoder.layers.1.self_attn", "decoder.layers.0.encoder_attn"]
)
def test_gradient_of_a_gate_is_the_slope_of_the_output(name):
    model = build_grouped().eval().double()
    layer = grouped_attentions(model)[name]
    gate = torch.ones(8, dtype=torch.float64, requires_grad=True)
    with HeadGates(model) as gated:
        gated.gates = {layer: gate}
        (gradient,) = torch.autograd.grad(output(model).square().sum(), gate)
        with torch.no_grad():
            for head in (0, 6):
                nudge = torch.zeros(8, dtype=torch.float64)
                nudge[head] = 1e-3  # coarse, since fairseq takes the softmax in float32
                values = []
                for side in (-1, 1):
                    gated.gates = {layer: 1 + side * nudge}
                    values.append(float(output(model).square().sum()))
                assert float(gradient[head]) == pytest.approx((values[1] - values[0]) / 2e-3, rel=1e-2)
