"""Neurons of feed-forward layers: which stay, that the others are gone, and what fairseq's own model takes."""

import copy

import pytest
import torch
from fairseq import models
from fairseq.models.transformer import TransformerModel
from tiny_models import (
    PAD,
    TinyTask,
    build_grouped,
    keep_heads,
    kept_part,
    lm_options,
    padded_batch,
    padded_batches,
    tiny_args,
)

from fairseq_ghat.checkpoints.kept_units import KEPT_NEURONS, record_kept
from fairseq_ghat.checkpoints.stock_conversion import as_grouped_checkpoint, as_stock_checkpoint
from fairseq_ghat.models.ghat_transformer_lm import GHATTransformerLanguageModel
from fairseq_ghat.modules.feed_forward import feed_forwards, neurons_per_layer, remove_neurons
from fairseq_ghat.modules.removable_layers import remove_units
from fairseq_ghat.pruning.calibration import Calibration
from fairseq_ghat.pruning.calibration_data import token_loss
from fairseq_ghat.pruning.neurons import neurons_to_keep
from fairseq_ghat.pruning.options import VoteOptions
from fairseq_ghat.pruning.vote import vote

ACTIVATIONS = ["relu", "gelu", "gelu_fast", "gelu_accurate", "tanh", "linear"]


def cut(model, neurons="40", samples=None, **options):
    samples = samples or padded_batches(30)
    options = VoteOptions(**{"keep_heads": "all", "ffn_neurons": neurons, **options})
    loss = token_loss(TinyTask())
    return vote(Calibration(model, lambda shuffle: samples, lambda: len(samples), PAD, loss=loss), options)


def activations(model, samples):
    """What goes into fc2 of each feed-forward layer, without padding, (N, F)."""
    seen = {name: [] for name in feed_forwards(model)}
    for name, layer in feed_forwards(model).items():
        kind = "src_tokens" if name.startswith("encoder") else "prev_output_tokens"

        def record(_, inputs, name=name, kind=kind):
            seen[name].append(inputs[0][sample["net_input"][kind].ne(PAD).T])

        layer.projection.register_forward_pre_hook(record)
    with torch.no_grad():
        for sample in samples:
            model.eval()(**sample["net_input"])
    return {name: torch.cat(parts).double() for name, parts in seen.items()}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_fc2_is_the_least_squares_solution_over_the_activations(activation):
    samples = padded_batches(30)
    inputs = activations(build_grouped(activation_fn=activation), samples)
    before = dict(build_grouped(activation_fn=activation).named_parameters())
    model = build_grouped(activation_fn=activation)
    kept = cut(model, samples=samples)
    assert set(neurons_per_layer(model).values()) == {40}
    for name, (units, of) in kept.neurons.items():
        explicit, rows = inputs[name], len(inputs[name])
        assert of == 128 and len(units) == 40 and units == sorted(set(units))
        weight = before[f"{name}.fc2.weight"].detach().double()
        penalty = (rows * 1e-3 * explicit[:, units].var(0, correction=0).mean()).sqrt()
        design = torch.cat([explicit[:, units], torch.ones(rows, 1, dtype=torch.float64)], 1)
        stay = penalty * torch.eye(40, 41, dtype=torch.float64)
        target = torch.cat([explicit @ weight.T, penalty * weight[:, units].T])
        solution = torch.linalg.lstsq(torch.cat([design, stay]), target).solution
        fc2 = feed_forwards(model)[name].projection
        torch.testing.assert_close(fc2.weight.detach().double(), solution[:-1].T, rtol=1e-5, atol=1e-6)
        bias = before[f"{name}.fc2.bias"].detach().double() + solution[-1]
        torch.testing.assert_close(fc2.bias.detach().double(), bias, rtol=1e-5, atol=1e-6)


def test_cut_model_computes_what_the_full_one_does_with_its_other_neurons_silent():
    full, model, sample = build_grouped(), build_grouped(), padded_batch(seed=9)
    kept = cut(model)
    for name, layer in feed_forwards(full).items():
        with torch.no_grad():
            layer.projection.weight.zero_()
            layer.projection.weight[:, kept.neurons[name].units] = feed_forwards(model)[name].projection.weight
            layer.projection.bias.copy_(feed_forwards(model)[name].projection.bias)
    expected, _ = full.eval()(**sample["net_input"])
    logits, _ = model.eval()(**sample["net_input"])
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("refit", ["none", "bias"])
def test_plain_removal_changes_no_weight_that_stays(refit):
    model = build_grouped()
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    neurons = {name: layer.units for name, layer in cut(model, refit=refit).neurons.items()}
    stayed = kept_part(before, {}, neurons=neurons)
    changed = {name for name, value in model.named_parameters() if not torch.equal(stayed[name], value)}
    assert changed == ({f"{name}.fc2.bias" for name in neurons} if refit == "bias" else set())


@pytest.mark.parametrize("way", ["reconstruction", "flap", "fisher"])
def test_neurons_without_effect_go_first(way):
    model = build_grouped()
    with torch.no_grad():
        for layer in feed_forwards(model).values():
            layer.projection.weight[:, 3::2] = 0
            layer.first.bias[1] = -1000.0  # never on
    for refit in ("none", "bias", "output"):
        kept = cut(copy.deepcopy(model), "64", refit=refit, keep_neurons=way)
        assert all(layer.units == list(range(0, 128, 2)) for layer in kept.neurons.values())


def test_heads_and_neurons_go_at_one_vote():
    model = build_grouped()
    kept = cut(model, "0.25", keep_heads="l1", vote_heads=3)
    assert {len(layer.units) for layer in kept.heads.values()} == {3}
    assert {len(layer.units) for layer in kept.neurons.values()} == {32} == set(neurons_per_layer(model).values())


def test_order_of_neurons_is_of_no_importance_to_a_shape_that_is_loaded():
    model, other = build_grouped(), build_grouped()
    kept = cut(model)
    remove_neurons(other, {name: len(layer.units) for name, layer in kept.neurons.items()})
    other.load_state_dict(model.state_dict())
    sample = padded_batch()["net_input"]
    assert torch.equal(other.eval()(**sample)[0], model.eval()(**sample)[0])
    with pytest.raises(ValueError, match=r"encoder.layers.1 keeps 41, allowed is 1 to 40"):
        remove_neurons(other, {"encoder.layers.1": 41})
    with pytest.raises(ValueError, match="no feed-forward layer encoder.layers.7"):
        remove_neurons(other, {"encoder.layers.7": 4})


@pytest.mark.parametrize("asked,expected", [("40", 40), ("1", 1), ("127", 127), ("0.5", 64), ("0.25", 32)])
def test_a_number_or_a_share_of_the_neurons_stays(asked, expected):
    assert neurons_to_keep(asked, 128) == expected


@pytest.mark.parametrize("asked", ["0", "128", "-3", "1.0", "0.0", "0.999", "half", "nan", "1e2", "0.5.1", ""])
def test_what_removes_no_neuron_or_leaves_none_is_refused(asked):
    with pytest.raises(ValueError, match=f"--ffn-neurons {asked}: allowed is a number from 1 to 127 or a share"):
        neurons_to_keep(asked, 128)


def checkpoint_of(model, options, kept=None):
    options.arch = options._name = {True: "ghat_transformer", False: "ghat_transformer_lm"}[hasattr(model, "encoder")]
    options.kept_heads = options.kept_neurons = None
    if kept is not None:
        record_kept(options, kept)
    return {"args": options, "cfg": None, "model": model.state_dict()}


def test_fairseqs_own_model_takes_what_lost_only_neurons():
    model, sample = build_grouped(), padded_batch()["net_input"]
    state = as_stock_checkpoint(checkpoint_of(model, tiny_args(), cut(model)))
    assert not [name for name in vars(state["args"]) if name.startswith(("group", "head_groups", "kept"))]
    stock = models.build_model(copy.deepcopy(state["args"]), TinyTask())
    assert type(stock) is TransformerModel
    stock.load_state_dict(state["model"], strict=True)
    # In training mode, without dropout: the fused kernel of fairseq 0.12.2 fails on padding (fairseq#4858).
    torch.testing.assert_close(stock.train()(**sample)[0], model.eval()(**sample)[0], rtol=1e-5, atol=1e-5)
    again = as_grouped_checkpoint(state)["args"]
    assert again.encoder_ffn_embed_dim == again.decoder_ffn_embed_dim == 40 and getattr(again, KEPT_NEURONS) is None


def test_language_model_that_lost_only_neurons_is_fairseqs_too():
    options = lm_options()
    model = GHATTransformerLanguageModel.build_model(copy.deepcopy(options), TinyTask())
    samples = [{"net_input": {"src_tokens": torch.randint(4, 54, (4, 20))}} for _ in range(4)]
    state = as_stock_checkpoint(checkpoint_of(model, options, cut(model, samples=samples)))
    stock = models.build_model(copy.deepcopy(state["args"]), TinyTask())
    stock.load_state_dict(state["model"], strict=True)
    logits = [lm.eval()(**samples[0]["net_input"])[0] for lm in (stock, model)]
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-5, atol=1e-5)


def test_removed_and_masked_heads_and_uneven_widths_are_not_for_fairseqs_own_model():
    model = build_grouped()
    assert as_stock_checkpoint(checkpoint_of(model, tiny_args(), cut(model, keep_heads="l1", vote_heads=3))) is None
    model = build_grouped()
    keep_heads(model, [0, 1])  # masked, as a vote of 0.1.0 left them
    assert as_stock_checkpoint(checkpoint_of(model, tiny_args())) is None
    model = build_grouped()
    kept = cut(model)
    remove_units(model, {"encoder.layers.0": kept.neurons["encoder.layers.0"]._replace(units=[0, 1])})
    assert as_stock_checkpoint(checkpoint_of(model, tiny_args(), kept)) is None
