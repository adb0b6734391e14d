"""The training benchmark compares like with like: same weights, same batches, only what is named differs."""

import json
import re

import benchmark_training as benchmark
import pytest
import torch
from commands import refusal_of
from experiments.training_sides import build_models
from fairseq.criterions.cross_entropy import CrossEntropyCriterion
from fairseq.criterions.label_smoothed_cross_entropy import LabelSmoothedCrossEntropyCriterion
from tiny_models import half_products

from fairseq_ghat.checkpoints.dictionary_task import DictionaryTask
from fairseq_ghat.criterions.group_constrained import (
    GroupConstrainedCrossEntropy,
    GroupConstrainedLabelSmoothedCrossEntropy,
)
from fairseq_ghat.modules.attention_layers import heads_per_layer
from fairseq_ghat.modules.grouping import FEATURES
from fairseq_ghat.modules.transformer_layers import FUSED_COPIES

TINY = "--width 32 --layers 1 --heads 4 --tokens 64 --length 8 --vocabulary 50 --threads 1 --cpu".split()
SIDES = [f"ours, {name}" for name in ("no constraint", "value", "attention", "output", "stage 2")]
CPU = torch.device("cpu")
no_half = pytest.mark.skipif(not half_products(), reason="this torch has no half precision on a CPU")


def half(*options):
    return pytest.param(list(options), marks=no_half)


def tiny(*options):
    (args,) = benchmark.combinations(benchmark.parse([*TINY, *options]))
    return args


@pytest.mark.parametrize(
    "options,stock_criterion,constrained",
    [
        ([], LabelSmoothedCrossEntropyCriterion, GroupConstrainedLabelSmoothedCrossEntropy),
        (["--language-model"], CrossEntropyCriterion, GroupConstrainedCrossEntropy),
    ],
    ids=["translation", "language model"],
)
def test_sides_have_the_same_weights_and_before_the_vote_the_same_task_loss(options, stock_criterion, constrained):
    args = tiny(*options)
    models = build_models(args, DictionaryTask(50, 50))
    assert list(models) == ["fairseq's transformer", *SIDES]
    batch, losses = benchmark.make_batches(args, CPU)[0], {}
    for name, (model, criterion) in models.items():
        losses[name] = criterion(model.eval(), batch)[2]["loss"].item()
    assert len({round(loss, 3) for name, loss in losses.items() if name != "ours, stage 2"}) == 1
    assert losses["ours, stage 2"] != pytest.approx(losses["ours, value"], rel=1e-6)
    assert set(heads_per_layer(models["ours, stage 2"][0]).values()) == {2}
    for feature in ("value", "attention", "output"):
        model, criterion = models[f"ours, {feature}"]
        assert isinstance(criterion, constrained)
        assert model.grouping.feature == feature
    for name in ("fairseq's transformer", "ours, no constraint"):
        assert type(models[name][1]) is stock_criterion


def test_batches_are_padded_as_fairseqs():
    for batch in benchmark.make_batches(tiny(), CPU):
        source, target = batch["net_input"]["src_tokens"], batch["target"]
        assert source.shape == target.shape == (8, 8)
        assert batch["ntokens"] == int(target.ne(1).sum()) < 64
        lengths = source.ne(1).sum(1)
        assert torch.equal(lengths, batch["net_input"]["src_lengths"]) and set(lengths.tolist()) <= {6, 7, 8}
        assert source[:, -1].ne(1).all() and target[:, 0].ne(1).all()  # padding left and right
        assert torch.equal(target.eq(1), batch["net_input"]["prev_output_tokens"].eq(1))


def test_blocks_of_a_language_model_are_whole_and_each_predicts_its_next_token():
    for batch in benchmark.make_batches(tiny("--language-model"), CPU):
        tokens, target = batch["net_input"]["src_tokens"], batch["target"]
        assert tokens.shape == target.shape == (8, 8) and batch["ntokens"] == 64
        assert torch.equal(tokens[:, 1:], target[:, :-1]) and tokens.ne(1).all() and target.ne(1).all()


def test_prints_time_operations_memory_and_the_constraint_of_every_combination(capsys):
    assert benchmark.main([*TINY, "--rounds", "2", "--warm-up", "1", "--groups", "1", "2"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("CPU, 1 threads, Python 3.")
    for groups in (1, 2):
        assert f"1+1 layers, width 32, 4 heads, {groups} groups, 64 tokens in sentences of up to 8" in printed
    tables = printed.split("\n\n")[1:]
    assert len(tables) == 3
    for table in tables[:2]:
        assert re.findall(r"^\| (ours, [a-z0-9 ]+?) +\|", table, re.MULTILINE) == SIDES
        assert re.search(r"fairseq's transformer \| [\d.]+ .*\| 1.000 \(1.000 to 1.000\) \| +[\d.]+ +\| 1.000", table)
        (stock, ratios), *others = ((int(a), b) for a, b in re.findall(r"\| (\d+) \(([\d.]+)\) +\| \d+ \(", table))
        assert ratios == "1.000" and [ratio for _, ratio in others] == [f"{n / stock:.3f}" for n, _ in others]
    assert re.findall(r"^\| 32 +\| 1 +\| 4 +\| (\d)", tables[2], re.MULTILINE) == ["1", "2"]


def test_figures_for_programs_are_those_of_the_table(capsys):
    assert benchmark.main([*TINY, "--rounds", "2", "--warm-up", "0", "--json"]) == 0
    (measured,) = json.loads(capsys.readouterr().out)["combinations"]
    assert measured["sizes"] == {"width": 32, "layers": 1, "heads": 4, "groups": 2, "tokens": 64, "length": 8}
    assert set(measured["sides"]) == {"fairseq's transformer", *SIDES, *FEATURES}
    for name, side in measured["sides"].items():
        assert side["milliseconds"]["low"] <= side["milliseconds"]["median"] and side["ratio"]["median"] > 0
        assert side["operations"] > side["without_views"] > 0 and ("peak_bytes" in side) == (name not in FEATURES)


@pytest.mark.parametrize("feature", ["value", "attention", "output"])
@pytest.mark.parametrize(
    "options", [[], ["--length", "40", "--tokens", "200"], half("--fp16"), ["--bf16"]], ids=" ".join
)
def test_constraint_alone_is_that_of_an_update(feature, options, monkeypatch):
    """On the same features: shapes, types, padding and layout in memory."""
    args, seen = tiny(*options), {"update": [], "alone": []}
    feature_gram = benchmark.feature_gram

    def record(where):
        def recorded(maps, padding):
            seen[where].append((maps.shape, maps.stride(), maps.dtype, padding.sum().item()))
            return feature_gram(maps, padding)

        return recorded

    monkeypatch.setattr("fairseq_ghat.modules.head_features.feature_gram", record("update"))
    monkeypatch.setattr(benchmark, "feature_gram", record("alone"))
    side, batch = benchmark.build_sides(args, CPU)[f"ours, {feature}"], benchmark.make_batches(args, CPU)[0]
    benchmark.constraint_alone(side, batch, args.groups)()
    assert all(parameter.grad is None for parameter in side.model.parameters())
    side.criterion(side.model, batch)
    assert seen["alone"] == seen["update"] and len(seen["update"]) == 3


@pytest.mark.parametrize(
    "flags,message",
    [
        (["--groups", "4"], "--groups 4: allowed is 1 to 3"),
        (["--width", "30"], "--width 30: allowed is a multiple"),
        (["--heads", "4", "3"], "--width 32: allowed is a multiple of --heads 3"),
        (["--tokens", "0"], "--tokens 0: allowed is 1 or more"),
        (["--vocabulary", "4"], "--vocabulary 4: allowed is 5 or more"),
        (["--heads", "1"], "--heads 1: allowed is 2 or more"),
        (["--rounds", "0"], "--rounds 0: allowed is 1 or more"),
        (["--warm-up", "-1"], "--warm-up -1: allowed is 0 or more"),
    ],
)
def test_wrong_sizes_are_refused(flags, message, capsys):
    assert message in refusal_of(benchmark.parse, [*TINY, *flags], capsys)


@pytest.mark.parametrize(
    "options,precision",
    [
        ([], torch.float32),
        pytest.param(["--fp16"], torch.float16, marks=no_half),
        (["--bf16"], torch.bfloat16),
        (["--language-model"], torch.float32),
        (["--language-model", "--bf16"], torch.bfloat16),
    ],
)
def test_an_update_changes_every_weight(options, precision):
    """In 16 bits, every float32 copy: the weight itself may be too coarse to follow."""
    args = tiny(*options)
    batch = benchmark.make_batches(args, CPU)[0]
    for name, side in benchmark.build_sides(args, CPU).items():
        names, weights = zip(*side.model.named_parameters())
        assert {weight.dtype for weight in weights} == {precision}
        trained = dict(zip(names, side.optimizer.fp32_params if side.half else weights))
        before = {key: value.clone() for key, value in trained.items()}
        for _ in range(3):
            side.update(batch)
        still = [key for key, value in trained.items() if torch.equal(value, before[key])]
        # A bias of keys moves no softmax, so that its gradient is rounding alone; FUSED_COPIES train in no model.
        still = [key for key in still if "k_proj.bias" not in key and key.split(".")[-1] not in FUSED_COPIES]
        assert still == [], name


@no_half
def test_an_update_that_overflows_is_made_again_at_a_smaller_scale():
    args = tiny("--fp16")
    side = benchmark.build_sides(args, CPU)["ours, value"]
    side.optimizer.scaler.loss_scale = 2.0**30
    before = {key: value.clone() for key, value in side.model.named_parameters()}
    side.update(benchmark.make_batches(args, CPU)[0])
    assert side.optimizer.scaler.loss_scale < 2.0**30
    assert any(not torch.equal(value, before[key]) for key, value in side.model.named_parameters())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("options", [[], ["--fp16"], ["--bf16"], ["--language-model", "--fp16"]])
def test_on_a_gpu(options, capsys):
    assert benchmark.main([*TINY[:-1], *options, "--rounds", "2"]) == 0
    assert torch.cuda.get_device_name() in capsys.readouterr().out
