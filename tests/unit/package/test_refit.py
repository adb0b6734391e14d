"""Refit of the layers of a model behind heads and neurons, and the moments it rests on."""

import pytest
import torch
from tiny_models import PAD, build_grouped, padded_batches

from fairseq_ghat.core.projection_refit import InputMoments, refit_projection
from fairseq_ghat.modules.removable_layers import removable_layers
from fairseq_ghat.modules.unit_slices import per_feature
from fairseq_ghat.pruning.calibration import Calibration
from fairseq_ghat.pruning.options import VoteOptions
from fairseq_ghat.pruning.vote import refit_projections, vote

KEPT = torch.tensor([1, 0, 0, 1, 0, 0, 0, 0]).bool()


def calibrate(model, samples):
    return Calibration(model, lambda shuffle: samples, len, PAD)


def record_inputs(model, samples):
    """Inputs of every projection behind heads and neurons, without padding, (N, F), by layer."""
    seen = {layer: [] for layer in removable_layers(model).values()}
    hooks = [
        layer.projection.register_forward_pre_hook(lambda _, args, layer=layer: seen[layer].append(args[0].detach()))
        for layer in seen
    ]
    with torch.no_grad():
        for sample in samples:
            model.eval()(**sample["net_input"])
    for hook in hooks:
        hook.remove()
    kinds = {
        layer: "src_tokens" if name.startswith("encoder") else "prev_output_tokens"
        for name, layer in removable_layers(model).items()
    }
    return {
        removed: torch.cat(
            [
                features[:, b][sample["net_input"][kinds[removed]][b].ne(PAD)]
                for sample, features in zip(samples, seen[removed])
                for b in range(3)
            ]
        ).double()
        for removed in seen
    }


def test_moments_are_those_of_what_goes_into_the_projections_without_padding():
    model, samples = build_grouped(), padded_batches(3)
    inputs = record_inputs(model, samples)
    (moments,) = calibrate(model, samples).moments(inputs)
    assert len(moments) == 6 + 4
    for layer, explicit in inputs.items():
        assert int(moments[layer].count) == len(explicit)
        torch.testing.assert_close(moments[layer].second, explicit.T @ explicit, rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(moments[layer].total, explicit.sum(0), rtol=1e-6, atol=1e-9)


def masks_of(model):
    """Two of eight heads, and every third neuron."""
    return {
        layer: KEPT if name.endswith("_attn") else torch.arange(layer.units) % 3 == 0
        for name, layer in removable_layers(model).items()
    }


def build_with_biases():
    """A model whose projections have biases that are not zero, as trained ones."""
    model = build_grouped()
    with torch.no_grad():
        for layer in removable_layers(model).values():
            layer.projection.bias.fill_(0.5)
    return model


def test_refitted_layers_are_closer_to_the_output_of_all_heads_and_neurons():
    samples, error = padded_batches(24), {}
    inputs = record_inputs(build_with_biases(), samples).values()
    full = [layer.projection for layer in removable_layers(build_with_biases()).values()]
    for refit in ("none", "bias", "output"):
        model = build_with_biases()
        masks = masks_of(model)
        if refit != "none":
            refit_projections(masks, calibrate(model, samples), refit)
        error[refit] = []
        for (layer, mask), before, features in zip(masks.items(), full, inputs):
            kept = per_feature(mask, layer.unit_features)
            weight = layer.projection.weight.detach()
            assert torch.equal(weight[:, ~kept], before.weight[:, ~kept])  # what goes is left as it was
            assert refit == "output" or torch.equal(weight, before.weight)
            lost = features @ before.weight.double().T + before.bias.double()
            lost = lost - features[:, kept] @ weight[:, kept].double().T - layer.projection.bias.detach().double()
            error[refit].append(float(lost.square().sum(1).mean().detach()))
    assert all(first > second > third for first, second, third in zip(*error.values()))


def test_heads_and_neurons_have_a_ridge_each():
    samples, model = padded_batches(24), build_with_biases()
    inputs = record_inputs(build_with_biases(), samples).values()
    before = [layer.projection.weight.detach() for layer in removable_layers(build_with_biases()).values()]
    masks = masks_of(model)
    refit_projections(masks, calibrate(model, samples))
    for (name, layer), weight, features in zip(removable_layers(model).items(), before, inputs):
        moments, kept = InputMoments(features.size(1)), per_feature(masks[layer], layer.unit_features)
        moments.add(features)
        expected, _ = refit_projection(weight, moments, kept, ridge=3e-2 if name.endswith("_attn") else 1e-3)
        torch.testing.assert_close(layer.projection.weight[:, kept].double(), expected, rtol=1e-4, atol=1e-6)


def test_singular_layer_is_named_and_nothing_is_changed():
    """One layer cannot be refitted: no layer is, and no head is removed."""
    model, samples = build_grouped(), padded_batches(24)
    broken = model.decoder.layers[1].encoder_attn
    with torch.no_grad():
        broken.v_proj.weight.zero_()
        broken.v_proj.bias.zero_()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"decoder\.layers\.1\.encoder_attn: .*linearly dependent.*--refit none"):
        vote(calibrate(model, samples), VoteOptions(refit="output"))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_vote_with_refit_keeps_the_same_heads_as_without():
    kept = [
        vote(calibrate(build_grouped(), padded_batches(24)), VoteOptions(refit=refit)) for refit in ("none", "output")
    ]
    assert kept[0] == kept[1]
