"""Refit of the attention layers of a model, and the moments it rests on."""

import pytest
import torch
from tiny_models import PAD, build_grouped, padded_batches

from fairseq_ghat.modules.grouped_attention import grouped_attentions
from fairseq_ghat.pruning.calibration import Calibration
from fairseq_ghat.pruning.options import VoteOptions
from fairseq_ghat.pruning.vote import refit_output_projections, vote

KEPT = torch.tensor([1, 0, 0, 1, 0, 0, 0, 0]).bool()


def collect(model, samples):
    return Calibration(model, lambda shuffle: samples, len, PAD).output_moments()


def record_outputs(model):
    """Inputs of every output projection, (T, B, F), in the order of calls."""
    seen = {name: [] for name in grouped_attentions(model)}
    for name, layer in grouped_attentions(model).items():
        layer.out_proj.register_forward_pre_hook(lambda _, args, name=name: seen[name].append(args[0].detach()))
    return seen


def test_moments_are_those_of_the_head_outputs_without_padding():
    model, samples = build_grouped(), padded_batches(3)
    seen = record_outputs(model)
    moments = collect(model, samples)
    for name, layer in grouped_attentions(model).items():
        kind = "src_tokens" if name.startswith("encoder") else "prev_output_tokens"
        rows = [
            outputs[:, b][sample["net_input"][kind][b].ne(PAD)]
            for sample, outputs in zip(samples, seen[name])
            for b in range(3)
        ]
        explicit = torch.cat(rows).double()
        assert int(moments[layer].count) == len(explicit)
        torch.testing.assert_close(moments[layer].second, explicit.T @ explicit, rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(moments[layer].total, explicit.sum(0), rtol=1e-6, atol=1e-9)


def test_refitted_layers_are_closer_to_the_full_attention_output():
    samples = padded_batches(24)
    model = build_grouped()
    layers = grouped_attentions(model)
    names = {layer: name for name, layer in layers.items()}
    moments = collect(model, samples)
    before = {layer: (layer.out_proj.weight.double(), layer.out_proj.bias.double()) for layer in names}
    refit_output_projections({layer: KEPT for layer in names}, moments, names)
    features = KEPT.repeat_interleave(8)
    for layer, (weight, bias) in before.items():
        error = {}
        covariance, mean = moments[layer].covariance(), moments[layer].mean()
        for what, new_weight, new_bias in (
            ("dropped", weight, bias),
            ("refitted", layer.out_proj.weight.double(), layer.out_proj.bias.double()),
        ):
            difference = weight.clone()
            difference[:, features] -= new_weight[:, features]
            offset = difference @ mean + bias - new_bias
            error[what] = torch.trace(difference @ covariance @ difference.T) + offset.square().sum()
        assert error["refitted"] < error["dropped"]
        assert torch.equal(layer.out_proj.weight[:, ~features], weight[:, ~features].float())


def test_singular_layer_is_named_and_nothing_is_changed():
    """One layer cannot be refitted: no layer is, and no head is removed."""
    model, samples = build_grouped(), padded_batches(24)
    broken = model.decoder.layers[1].encoder_attn
    with torch.no_grad():
        broken.v_proj.weight.zero_()
        broken.v_proj.bias.zero_()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"decoder\.layers\.1\.encoder_attn: .*linearly dependent.*--refit none"):
        vote(Calibration(model, lambda shuffle: samples, len, PAD), VoteOptions(refit="output"))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_vote_with_refit_keeps_the_same_heads_as_without():
    masks = []
    for refit in ("none", "output"):
        model = build_grouped()
        masks.append(vote(Calibration(model, lambda shuffle: padded_batches(24), len, PAD), VoteOptions(refit=refit)))
    assert masks[0] == masks[1]
