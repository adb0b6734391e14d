"""Silent heads: the same output from more heads, computed by a plain attention of that many."""

import pytest
import torch
import torch.nn.functional as F
from tiny_models import build_grouped, padded_batch

from fairseq_ghat.export.padded_heads import padded_projections
from fairseq_ghat.modules.attention_layers import grouped_attentions


def plain_attention(found, x, heads, head_dim):
    """softmax(q k^T / sqrt(D)) v, head by head, from projections; x (T, B, E)."""
    q, k, v = (F.linear(x, *found[name]) for name in ("q_proj", "k_proj", "v_proj"))
    outputs = []
    for head in range(heads):
        rows = slice(head * head_dim, (head + 1) * head_dim)
        weights = torch.einsum("tbd,sbd->bts", q[..., rows], k[..., rows]) / head_dim**0.5
        outputs.append(torch.einsum("bts,sbd->tbd", weights.softmax(-1), v[..., rows]))
    return F.linear(torch.cat(outputs, -1), *found["out_proj"])


@pytest.mark.parametrize("removed", [False, True], ids=["masked", "removed"])
@pytest.mark.parametrize("kept,heads", [([2], 1), ([1, 4, 6], 3), ([1, 4, 6], 5), (list(range(8)), 8)])
def test_output_is_that_of_the_layer(kept, heads, removed):
    layer = next(iter(grouped_attentions(build_grouped()).values())).eval()
    for linear in (layer.q_proj, layer.k_proj, layer.v_proj, layer.out_proj):
        torch.nn.init.normal_(linear.bias)
    layer.set_head_mask(torch.tensor([float(head in kept) for head in range(8)]))
    if removed:
        layer.remove_units(kept)
    x = torch.randn(5, 2, 64)
    with torch.no_grad():
        expected, _ = layer(x, x, x)
        found = padded_projections(layer, heads)
        torch.testing.assert_close(plain_attention(found, x, heads, layer.head_dim), expected, rtol=0, atol=1e-5)
    assert found["q_proj"][0].shape == (heads * 8, 64) and found["out_proj"][0].shape == (64, heads * 8)


def test_the_model_keeps_its_weights():
    model = build_grouped().eval()
    before = model(**padded_batch()["net_input"])[0]
    for layer in grouped_attentions(model).values():
        for weight, bias in padded_projections(layer, 9).values():
            weight.zero_()
            bias.zero_()
    assert torch.equal(model(**padded_batch()["net_input"])[0], before)


def test_fewer_heads_than_computed_are_refused():
    layer = next(iter(grouped_attentions(build_grouped()).values()))
    with pytest.raises(ValueError, match="of 8 heads does not fit into 7"):
        padded_projections(layer, 7)
