"""Figures of heads over data, against feature maps computed by hand, fairseq's own attention and models cut before."""

import copy
from argparse import Namespace
from math import log

import pytest
import torch
from explicit_features import record_inputs, slow_features, slow_maps
from fairseq.modules import MultiheadAttention
from tiny_models import (
    PAD,
    TinyTask,
    build_grouped,
    build_stock,
    features_of,
    keep_heads,
    lm_options,
    padded_batches,
    tiny_args,
)

from fairseq_ghat.core.gram_matrix import cosine_gram
from fairseq_ghat.core.group_constraint import group_constraint
from fairseq_ghat.evaluation.dropped_heads import drop_heads
from fairseq_ghat.evaluation.head_analysis import describe_layer, mean_figures, remove_masked_heads
from fairseq_ghat.evaluation.head_sums import sum_heads
from fairseq_ghat.models.ghat_transformer_lm import GHATTransformerLanguageModel
from fairseq_ghat.modules.attention_layers import grouped_attentions
from fairseq_ghat.pruning.calibration import Calibration
from fairseq_ghat.pruning.calibration_data import token_loss

metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed: pip install scikit-learn")

DICTIONARY = TinyTask().target_dictionary
EOS = DICTIONARY.eos()
BATCHES = padded_batches(2)
# Blocks of text of a language model, with ends of sentences within, and padding.
BLOCKS = [{"net_input": {"src_tokens": torch.tensor([[2, 5, 6, 7, 2, 9], [8, 2, 11, 12, 13, PAD]])}}]


def language_model():
    torch.manual_seed(7)
    return GHATTransformerLanguageModel.build_model(lm_options(), TinyTask())


def sums_of(model, samples=BATCHES):
    return sum_heads(Calibration(model, lambda shuffle: samples, lambda: len(samples), PAD), DICTIONARY)


def figures_of(model, samples=BATCHES, groups=(2, 3), distance="euclidean", diversity="cosine", options=None):
    heads = remove_masked_heads(model, options or tiny_args())
    layers = sums_of(model, samples).layers
    return {name: describe_layer(sums, heads[name], groups, distance, diversity) for name, sums in layers.items()}


def explicit(model, samples):
    """By layer: sentences as slow_maps gives them, and feature maps (H, F) by feature, of all samples."""
    sentences, features = {}, {}
    calls = record_inputs(model)
    with torch.no_grad():
        for sample in samples:
            model(**sample["net_input"])
            for name, layer in grouped_attentions(model).items():
                sentences.setdefault(name, []).extend(slow_maps(layer, calls[name], sample))
                for kind in ("value", "attention", "output"):
                    maps = slow_features(layer, calls[name], kind, sample)
                    features.setdefault((name, kind), []).append(maps)
    return sentences, {key: torch.cat(maps, dim=1) for key, maps in features.items()}


@pytest.mark.parametrize("build,samples", [(build_grouped, BATCHES), (language_model, BLOCKS)])
def test_figures_equal_those_of_explicit_feature_maps(build, samples):
    model = build().double().eval()
    figures = figures_of(model, samples)
    sentences, features = explicit(model, samples)
    assert len(figures) == len(grouped_attentions(model))
    for name, layer in grouped_attentions(model).items():
        of_layer = figures[name]
        for kind, of_feature in of_layer.features.items():
            maps = features[name, kind]
            unit = torch.nn.functional.normalize(maps, dim=1)
            assert torch.tensor(of_feature.cosines).tolist() == [pytest.approx(row, abs=1e-6) for row in unit @ unit.T]
            for c, groups in of_feature.groups.items():
                labels = torch.tensor([next(g for g in range(c) if h in groups.members[g]) for h in range(len(maps))])
                assert groups.silhouette == pytest.approx(metrics.silhouette_score(maps, labels), abs=1e-6)
                centres = torch.stack([maps[labels == g].mean(0) for g in range(c)])
                own = torch.cosine_similarity(maps, centres[labels]).mean()
                pairs = [torch.cosine_similarity(centres[i], centres[j], 0) for j in range(c) for i in range(j)]
                assert groups.homogeneity == pytest.approx(float(own), abs=1e-6)
                assert groups.diversity == pytest.approx(-float(sum(pairs) / len(pairs)), abs=1e-6)
        for head in range(layer.heads_held):
            check_attention(of_layer, head, sentences[name])
        check_shares(of_layer.variance_share, layer, sentences[name])


def check_attention(figures, head, sentences):
    """Entropy over all queries; confidence without ends of sentences, as words that ask and words that are asked."""
    entropies, greatest = [], []
    for queries, keys, maps in sentences:
        for query, weights in zip(queries, maps["attention"][head]):
            entropies.append(-sum(float(w) * log(float(w)) for w in weights if w > 0))
            if query != EOS:
                greatest.append(max(float(w) for w, key in zip(weights, keys) if key != EOS))
    assert figures.entropy[head] == pytest.approx(sum(entropies) / len(entropies), abs=1e-6)
    assert figures.confidence[head] == pytest.approx(sum(greatest) / len(greatest), abs=1e-6)


def check_shares(shares, layer, sentences):
    """Covariance of the output of the layer with the part of each head, over its variance."""
    outputs = [torch.cat([maps["output"][h] for *_, maps in sentences]) for h in range(layer.heads_held)]
    columns = layer.out_proj.weight.detach().chunk(layer.heads_held, dim=1)
    parts = [output @ weight.T for output, weight in zip(outputs, columns)]
    parts = [part - part.mean(0) for part in parts]
    whole = sum(parts)
    expected = [float((part * whole).sum() / whole.square().sum()) for part in parts]
    assert shares == pytest.approx(expected, abs=1e-6) and sum(shares) == pytest.approx(1)


def test_attention_is_that_of_fairseqs_own_transformer():
    ours = figures_of(build_grouped())
    stock = build_stock().train()  # without dropout; in evaluation mode fairseq takes a fused kernel without weights
    weights = {}
    for name, attention in stock.named_modules():
        if isinstance(attention, MultiheadAttention):
            attention.onnx_trace = True  # its way that has the weights of each head
            attention.register_forward_pre_hook(
                lambda _, args, kwargs: (args, {**kwargs, "need_head_weights": True}), with_kwargs=True
            )
            attention.register_forward_hook(
                lambda _, args, out, name=name: weights.setdefault(name, []).append(out[1].detach())
            )
    for sample in BATCHES:
        stock(**sample["net_input"])
    for name, batches in weights.items():
        side = "prev_output_tokens" if name.startswith("decoder") else "src_tokens"
        content = torch.stack([sample["net_input"][side].ne(PAD) for sample in BATCHES])  # (2, B, T)
        attention = torch.stack(batches, dim=1)  # (H, 2, B, T, S)
        entropies = torch.special.entr(attention).sum(-1)[:, content].mean(1)
        assert ours[name].entropy == pytest.approx(entropies.tolist(), abs=1e-5)
    assert weights.keys() == ours.keys()


def test_voted_model_is_the_slim_one_and_names_its_heads():
    kept = [1, 4, 6]
    masked = keep_heads(build_grouped(), kept)
    grams = features_of(masked.eval(), BATCHES[0]).grams()
    voted = figures_of(masked, BATCHES[:1])
    slim = build_grouped()
    for layer in grouped_attentions(slim).values():
        layer.remove_units(kept)
    record = Namespace(**vars(tiny_args()), kept_heads={name: kept for name in grouped_attentions(slim)})
    assert figures_of(slim, BATCHES[:1], options=record) == voted
    for name, layer in voted.items():
        assert layer.heads == kept and layer.made_with == 8
        cosines = torch.tensor(layer.features["value"].cosines)
        torch.testing.assert_close(cosines, cosine_gram(grams[name]).detach(), rtol=0, atol=1e-5)
        assert sorted(sum(layer.features["value"].groups[2].members, [])) == kept


def test_heads_masked_in_a_slim_model_keep_their_first_names():
    slim = build_grouped()
    for layer in grouped_attentions(slim).values():
        layer.remove_units([0, 2, 5, 7])
    record = Namespace(**vars(tiny_args()), kept_heads={name: [0, 2, 5, 7] for name in grouped_attentions(slim)})
    assert set(map(tuple, remove_masked_heads(keep_heads(slim, [1, 3]), record).values())) == {(2, 7)}


def test_layers_with_one_head_or_none_say_what_they_have_no_figures_of():
    model = build_grouped()
    layers = grouped_attentions(model)
    layers["encoder.layers.0.self_attn"].remove_units([5])
    layers["decoder.layers.1.encoder_attn"].remove_units([])
    record = {"encoder.layers.0.self_attn": [5], "decoder.layers.1.encoder_attn": []}
    figures = figures_of(model, groups=[1, 2, 8], options=Namespace(**vars(tiny_args()), kept_heads=record))
    one, none = (figures[name] for name in record)
    assert one.heads == [5] and one.features["value"].mean_cosine is None and one.variance_share == [1]
    assert one.features["value"].groups[1].silhouette is None and list(one.features["value"].groups) == [1]
    assert one.remarks == [
        "1 head left, so none to compare and no silhouette or Dunn index",
        "no 2 groups: 1 head left",
        "no 8 groups: 1 head left",
    ]
    assert none.heads == none.entropy == [] and none.variance_share is None and none.features["value"].groups == {}
    assert none.remarks == ["no heads left, so none to compare and no silhouette or Dunn index"]
    every = figures["encoder.layers.1.self_attn"]
    assert every.remarks == [
        "no silhouette or Dunn index of one group",
        "no silhouette or Dunn index of 8 groups of one head each",
    ]
    assert every.features["value"].groups[8].silhouette is every.features["value"].groups[1].dunn is None
    means = mean_figures(figures)
    known = [layer.features["value"].groups[2].silhouette for layer in figures.values() if len(layer.heads) == 8]
    assert len(known) == 4 and means["features"]["value"]["groups"][2]["silhouette"] == pytest.approx(sum(known) / 4)
    entropies = [entropy for layer in figures.values() for entropy in layer.entropy]
    assert len(entropies) == 33 and means["entropy"] == pytest.approx(sum(entropies) / 33)


def test_other_distance_and_form_of_diversity():
    model = build_grouped().double()
    figures = figures_of(model, groups=[3], distance="cosine", diversity="squared")
    for name, sums in sums_of(model).layers.items():
        for feature, gram in sums.grams.items():
            constraint = group_constraint([gram[None]], 3, 1, 1, "cosine", "squared")
            groups = figures[name].features[feature].groups[3]
            assert (groups.homogeneity, groups.diversity) == (constraint.homogeneity, constraint.diversity)
            root = torch.linalg.cholesky(gram)  # feature maps with the same inner products
            silhouette = metrics.silhouette_score(torch.nn.functional.normalize(root, dim=1), constraint.labels[0][0])
            assert groups.silhouette == pytest.approx(silhouette, abs=1e-6)


def test_analysing_in_parts_changes_nothing(monkeypatch):
    whole = figures_of(build_grouped().double())
    monkeypatch.setattr("fairseq_ghat.evaluation.head_sums._MOST_NUMBERS", 1)  # sentence by sentence
    parts = figures_of(build_grouped().double())
    for name, layer in whole.items():
        for feature, figures in layer.features.items():
            again = parts[name].features[feature].cosines
            torch.testing.assert_close(torch.tensor(again), torch.tensor(figures.cosines))


def test_dropping_a_head_costs_what_the_model_without_it_loses():
    model, task = build_grouped().eval(), TinyTask()
    loss = token_loss(task)
    data = Calibration(model, lambda shuffle: BATCHES, lambda: 2, PAD, loss=loss)
    seen = []
    dropped = drop_heads(data, lambda *progress: seen.append(progress))
    assert seen[0] == (0, 0) and seen[-1] == (1, 48) and len(seen) == 2 * 49

    def bits(cut):
        with torch.no_grad():
            losses = [loss(cut, sample) for sample in BATCHES]
        return float(sum(value for value, _ in losses)) / sum(tokens for _, tokens in losses) / log(2)

    assert dropped.loss == pytest.approx(bits(model), abs=1e-6)
    for name in ("encoder.layers.1.self_attn", "decoder.layers.0.encoder_attn"):
        for head in range(8):
            cut = copy.deepcopy(model)
            grouped_attentions(cut)[name].remove_units([h for h in range(8) if h != head])
            assert dropped.increase[name][head] == pytest.approx(bits(cut) - dropped.loss, abs=1e-5)
