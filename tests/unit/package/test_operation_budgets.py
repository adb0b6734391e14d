"""Budgets of dispatched operations, of what fairseq's transformer dispatches: 6+6 layers, 8 heads, 2 groups.

The counts are exact and do not depend on the width, so these are no timed tests. On a GPU the time of small and middle
models follows them.
"""

from argparse import Namespace

import pytest
import torch
from experiments.training_sides import STAGE_2, STOCK, UNCONSTRAINED, build_models, build_sides, make_batches
from fairseq.dataclass.configs import GenerationConfig

from fairseq_ghat.checkpoints.dictionary_task import DictionaryTask
from fairseq_ghat.modules.attention_layers import grouped_attentions, remove_heads
from fairseq_ghat.profiling.operations import count_operations

CPU, BEAM = torch.device("cpu"), 5
SIZES = Namespace(
    width=16,
    layers=6,
    heads=8,
    groups=2,
    tokens=96,
    length=12,
    vocabulary=50,
    language_model=False,
    fp16=False,
    bf16=False,
)


@pytest.fixture(scope="module")
def updates():
    """Operations of forward pass, loss and backward pass on one padded batch, by side."""
    batch = make_batches(SIZES, CPU)[0]
    assert batch["target"].eq(1).any() and batch["net_input"]["src_tokens"].eq(1).any()
    return {name: count_operations(lambda s=side: s.backward(batch)) for name, side in build_sides(SIZES, CPU).items()}


@pytest.mark.parametrize(
    "side,budget",
    [
        ("ours, value", 1.06),
        ("ours, attention", 1.06),
        ("ours, output", 1.06),
        (UNCONSTRAINED, 1.00),
        (STAGE_2, 1.00),
    ],
)
def test_an_update(updates, side, budget):
    assert updates[side].total <= budget * updates[STOCK].total


@pytest.fixture(scope="module")
def models():
    """fairseq's model, ours and ours with 2 of 8 heads, as fairseq-generate prepares them."""
    built = build_models(SIZES, DictionaryTask(SIZES.vocabulary, SIZES.vocabulary))
    models = {"stock": built[STOCK][0], "ours": built[UNCONSTRAINED][0], "slim": built["ours, value"][0]}
    remove_heads(models["slim"], {name: [0, 1] for name in grouped_attentions(models["slim"])})
    for model in models.values():
        model.eval()
        model.prepare_for_inference_(Namespace(generation=GenerationConfig(beam=BEAM)))
    return models


def sources(padded):
    net_input = dict(make_batches(SIZES, CPU)[0]["net_input"])
    del net_input["prev_output_tokens"]
    if not padded:
        net_input["src_tokens"] = net_input["src_tokens"].clamp_min(4)
    return net_input


@torch.no_grad()
def of_the_encoder(model, padded):
    net_input = sources(padded)
    return count_operations(lambda: model.encoder(**net_input)).total


@torch.no_grad()
def of_a_decoding_step(model):
    """Of the decoder and its output layer, with the keys and values of five steps; the beams lie in the batch."""
    net_input = sources(padded=True)
    sentences = len(net_input["src_tokens"])
    beams = torch.arange(sentences).repeat_interleave(BEAM)
    encoded = model.encoder.reorder_encoder_out(model.encoder(**net_input), beams)
    tokens, kept = torch.randint(4, SIZES.vocabulary, (len(beams), 7)), {}
    prefixes = [tokens[:, :length] for length in range(1, 8)]
    for prefix in prefixes[:5]:
        model.decoder(prefix, encoder_out=encoded, incremental_state=kept)
    steps = iter(prefixes[5:])
    return count_operations(lambda: model.decoder(next(steps), encoder_out=encoded, incremental_state=kept)).total


@pytest.mark.parametrize("padded", [False, True])
def test_the_encoder(models, padded):
    assert of_the_encoder(models["ours"], padded) <= of_the_encoder(models["stock"], padded)


@pytest.mark.skipif(
    not hasattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu"),
    reason="this torch has no fused attention on a CPU, and counts its parts",
)
@pytest.mark.parametrize("model,budget", [("ours", 0.85), ("slim", 0.75)])
def test_a_decoding_step(models, model, budget):
    assert of_a_decoding_step(models[model]) <= budget * of_a_decoding_step(models["stock"])
