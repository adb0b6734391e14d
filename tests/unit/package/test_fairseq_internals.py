"""What fairseq and torch look for in attention and layers, by class, name, attribute or weight: as in stock fairseq."""

import argparse
import io

import pytest
import torch
from fairseq import options as fairseq_options
from fairseq.models.transformer_lm import TransformerLanguageModel
from fairseq.modules import MultiheadAttention
from fairseq.modules.fairseq_dropout import FairseqDropout
from fairseq.modules.quantization import pq
from fairseq.nan_detector import NanDetector
from fairseq.quantization_utils import quantize_model_scalar
from tiny_models import TinyTask, build_grouped, build_stock, lm_options, padded_batch, tiny_args
from torch import nn

from fairseq_ghat.checkpoints.model_options import KEPT_HEADS
from fairseq_ghat.models.ghat_transformer import GHATTransformerModel
from fairseq_ghat.models.ghat_transformer_lm import GHATTransformerLanguageModel
from fairseq_ghat.modules.attention_layers import grouped_attentions, remove_heads
from fairseq_ghat.modules.wrappers import unwrapped

KEPT = {  # other numbers of heads in each layer
    "encoder.layers.0.self_attn": [1, 5],
    "encoder.layers.1.self_attn": [0],
    "decoder.layers.0.self_attn": [2, 3, 7],
    "decoder.layers.0.encoder_attn": [4],
    "decoder.layers.1.self_attn": [0, 6],
    "decoder.layers.1.encoder_attn": [1, 2, 3, 4, 5],
}


def grouped(kind, **options):
    """A model with all heads, or a slim one."""
    model = build_grouped(**options)
    if kind == "slim":
        remove_heads(model, KEPT)
    return model.eval()


def language_model(model):
    return model.build_model(lm_options(), TinyTask())


@pytest.mark.parametrize("build", ["translation", "language modelling"])
def test_dropouts_have_the_names_of_those_of_fairseq(build):
    """--retain-dropout-modules takes names of fairseq's classes."""
    if build == "translation":
        models = build_stock(), build_grouped()
    else:
        models = language_model(TransformerLanguageModel), language_model(GHATTransformerLanguageModel)
    stock, ours = (
        {name: module.module_name for name, module in model.named_modules() if isinstance(module, FairseqDropout)}
        for model in models
    )
    assert ours == stock and "MultiheadAttention" in stock.values()


@pytest.mark.parametrize("kind", ["all heads", "slim"])
@pytest.mark.parametrize("name,random", [("MultiheadAttention", True), ("TransformerDecoder", False)])
def test_dropout_that_is_retained_acts_in_generation(kind, name, random):
    model = grouped(kind, attention_dropout=0.5)
    model.make_generation_fast_(retain_dropout=True, retain_dropout_modules=[name])
    first, second = (model(**padded_batch()["net_input"])[0] for _ in range(2))
    assert torch.equal(first, second) != random


class Logits(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, src_tokens, src_lengths, prev_output_tokens):
        return self.model(src_tokens, src_lengths, prev_output_tokens)[0]


def longer_batch():
    generator = torch.Generator().manual_seed(1)
    sources, targets = (torch.randint(4, 54, (5, length), generator=generator) for length in (40, 33))
    sources[0, :9] = targets[1, 20:] = 1
    return sources, sources.ne(1).sum(1), targets


@torch.no_grad()
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("kind", ["all heads", "slim"])
def test_a_traced_model_computes_the_same_on_other_shapes(kind):
    """As for an export to ONNX: traced, saved, loaded; on a batch of other sizes than it was traced with."""
    model = grouped(kind)
    model.prepare_for_onnx_export_()
    batches = tuple(padded_batch()["net_input"].values()), longer_batch()
    for example, other in (batches, batches[::-1]):
        traced = io.BytesIO()
        torch.jit.save(torch.jit.trace(Logits(model), example, check_trace=False), traced)
        traced.seek(0)
        torch.testing.assert_close(torch.jit.load(traced)(*other), Logits(model)(*other), rtol=1e-5, atol=1e-5)


def test_scripting_is_refused_by_name():
    with pytest.raises(RuntimeError, match="torch.jit.script: not with grouped attention; allowed is torch.jit.trace"):
        torch.jit.script(build_grouped())


def stock_around(attention):
    """fairseq's attention around the projections of one of ours, as AdaPrune leaves it with fewer heads."""
    stock = MultiheadAttention(attention.embed_dim, attention.num_heads, self_attention=True).eval()
    stock.num_heads, stock.embed_dim = attention.heads_held, attention.heads_held * attention.head_dim
    stock.skip_embed_dim_check = True  # which also keeps it from torch's function, that asks for float weights
    for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
        setattr(stock, name, getattr(attention, name))
    return stock


def quantized_dynamically(model):
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)


def quantized_by_products(model):
    """As --quantization-config-path does it."""
    layers = [r"encoder\.layers\.\d+\.self_attn\.(q_proj|k_proj|v_proj|out_proj)"]
    blocks, centroids = {"Linear": ("in_features", {"*": 8})}, {"Linear": ("in_features", {"*": 4})}
    pq.quantize_model_(model, pq.SizeTracker(model), layers, blocks, centroids, n_iter=2)
    return model


def quantized_by_scalars(model):
    """As --quant-noise-scalar does it."""
    return quantize_model_scalar(model, argparse.Namespace(quant_noise_scalar=0.5)).eval()


@torch.no_grad()
@pytest.mark.parametrize("quantize", [quantized_dynamically, quantized_by_products, quantized_by_scalars])
@pytest.mark.parametrize("kind", ["all heads", "slim"])
def test_quantized_projections_are_the_ones_that_compute(quantize, kind, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "cuda", lambda self: self)  # fairseq's noise on scalars wants a GPU
    x = torch.randn(7, 3, 64, generator=torch.Generator().manual_seed(1))
    before = grouped(kind).encoder.layers[0].self_attn(x, x, x)[0]
    attention = quantize(grouped(kind)).encoder.layers[0].self_attn
    assert type(attention.q_proj) is not nn.Linear
    out = attention(x, x, x)[0]
    torch.testing.assert_close(out, stock_around(attention)(x, x, x)[0], rtol=1e-5, atol=1e-5)
    assert 1e-4 < (out - before).abs().max()


@torch.no_grad()
def test_heads_are_removed_from_under_scalar_noise(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "cuda", lambda self: self)
    attention = quantized_by_scalars(grouped("all heads")).encoder.layers[0].self_attn
    attention.remove_units([1, 5])
    x = torch.randn(7, 3, 64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(attention(x, x, x)[0], stock_around(attention)(x, x, x)[0], rtol=1e-5, atol=1e-5)
    assert attention.q_proj.weight.shape == (16, 64)


@pytest.mark.parametrize("block_size,fits", [(8, True), (16, False)])
def test_blocks_of_noise_must_divide_the_features_that_are_left(block_size, fits, monkeypatch):
    args = tiny_args(quant_noise_pq=0.1, quant_noise_pq_block_size=block_size)
    restored = argparse.Namespace(**{**vars(tiny_args(arch="ghat_transformer")), KEPT_HEADS: KEPT})
    monkeypatch.setattr("fairseq_ghat.checkpoints.resuming.state_to_restore", lambda _: {"args": restored, "model": {}})
    if fits:
        model = GHATTransformerModel.build_model(args, TinyTask()).train()
        model(**padded_batch()["net_input"])[0].sum().backward()
        return
    message = "--quant-noise-pq-block-size 16: the vote left encoder.layers.1.self_attn 8 features"
    with pytest.raises(ValueError, match=message):
        GHATTransformerModel.build_model(args, TinyTask())


@torch.no_grad()
def test_adaprune_cuts_as_in_fairseq():
    """What fairseq's trainer does to RoBERTa under --mha-heads-to-keep and --ffn-blocks-to-remove."""
    outputs = []
    for model in (build_stock().eval(), build_grouped().eval()):
        for layer in model.encoder.layers:
            layer.can_use_fastpath = False
            layer.self_attn._adaptive_prune_heads(layer.self_attn._get_reserve_head_index(num_heads_to_keep=3))
            layer.self_attn._set_skip_embed_dim_check()
            layer._prune_fc_layer(remove_index=layer._get_fc_rank(remove_num=16))
            assert layer.self_attn.q_proj.weight.shape == (24, 64) and layer.fc1.out_features == 112
        outputs.append(model(**padded_batch()["net_input"])[0])
    torch.testing.assert_close(*outputs, rtol=1e-5, atol=1e-5)


def test_scores_before_the_softmax_are_refused():
    x = torch.zeros(7, 3, 64)
    with pytest.raises(ValueError, match="does not hand out scores before the softmax"):
        build_grouped().encoder.layers[0].self_attn(x, x, x, before_softmax=True)


def alignment(model, layer, heads):
    """What the decoder hands out as attention over the source, (B, T, S)."""
    batch = padded_batch()["net_input"]
    encoded = model.encoder(batch["src_tokens"], batch["src_lengths"])
    options = {"alignment_layer": layer, "alignment_heads": heads}
    return model.decoder(batch["prev_output_tokens"], encoder_out=encoded, **options)[1]["attn"][0]


@torch.no_grad()
@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("heads", [None, 1, 4])
def test_alignments_are_means_over_the_heads_that_are_left(layer, heads):
    model = build_stock().eval()
    for each in model.encoder.layers:
        each.can_use_fastpath = False
    torch.testing.assert_close(alignment(grouped("all heads"), layer, heads), alignment(model, layer, heads))
    kept = KEPT[f"decoder.layers.{layer}.encoder_attn"]
    slim = alignment(grouped("slim"), layer, heads)
    torch.testing.assert_close(slim.sum(-1), torch.ones(3, 6))
    assert (heads or 8) <= len(kept) or torch.equal(slim, alignment(grouped("slim"), layer, None))


def test_alignments_are_trained_as_in_fairseq():
    """As --criterion label_smoothed_cross_entropy_with_alignment does."""
    gradients = []
    for model in (build_stock().train(), build_grouped().train()):
        alignment(model, 1, None)[:, :, 3].log().sum().backward()
        gradients.append(model.decoder.layers[1].encoder_attn.k_proj.weight.grad)
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().max() > 1e-4


@torch.no_grad()
def test_alignment_of_a_layer_without_heads_is_zero():
    model = build_grouped().eval()
    remove_heads(model, {**KEPT, "decoder.layers.1.encoder_attn": []})
    assert torch.equal(alignment(model, 1, None), torch.zeros(3, 6, 7))


@torch.no_grad()
def test_a_compiled_model_keeps_the_names_of_its_layers():
    model = grouped("all heads")
    compiled = torch.compile(model, backend="eager")
    assert list(grouped_attentions(compiled)) == list(KEPT) and unwrapped(compiled) is model
    remove_heads(compiled, KEPT)
    attention, x = model.encoder.layers[0].self_attn, torch.randn(7, 3, 64)
    torch.testing.assert_close(torch.compile(attention, backend="eager")(x, x, x)[0], attention(x, x, x)[0])


@pytest.mark.parametrize("kind", ["all heads", "slim"])
def test_the_hooks_of_the_nan_detector_change_nothing(kind, caplog):
    model, batch = grouped(kind), padded_batch()["net_input"]
    expected = model(**batch)[0]
    with NanDetector(model, backward=False):  # hooks on the way back fail on the dictionary of fairseq's own encoder
        torch.testing.assert_close(model(**batch)[0], expected)
        model.encoder.layers[0].self_attn.v_proj.weight.data.fill_(float("nan"))
        model(**batch)
    assert "NaN detected in output of encoder.layers.0.self_attn.v_proj" in caplog.text


OF_OTHER_MODELS = [  # RoBERTa's, those of speech models, XLM's, and those of models in fairseq's examples
    *("--mha-heads-to-keep 2", "--ffn-blocks-to-remove 8", "--load-pretrained-encoder-from x.pt"),
    *("--load-pretrained-decoder-from x.pt", "--pretrained-xlm-checkpoint x.pt"),
    *("--alignment-heads 4", "--alignment-layer 1", "--full-context-alignment"),
]


@pytest.mark.parametrize("option", OF_OTHER_MODELS)
def test_options_of_other_models_are_refused(option, capsys):
    parser = fairseq_options.get_training_parser()
    with pytest.raises(SystemExit):
        fairseq_options.parse_args_and_arch(parser, f"data --arch ghat_transformer {option}".split())
    assert f"unrecognized arguments: {option}" in capsys.readouterr().err


def test_base_layers_are_refused_by_name():
    with pytest.raises(ValueError, match="--base-layers 1: not with grouped attention.*allowed is 0"):
        GHATTransformerLanguageModel.build_model(lm_options(base_layers=1), TinyTask())
