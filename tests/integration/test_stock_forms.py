"""Commands on stock checkpoints whose options are in groups (fairseq-hydra-train) or in an argparse.Namespace: they
take the model that it is, or refuse it."""

import json
import re
from pathlib import Path

import pytest
import torch
from commands import TRAIN, generated, hypotheses, run
from fairseq.tasks.translation import TranslationTask

from fairseq_ghat.checkpoints import stock_comparison
from fairseq_ghat.checkpoints.files import read_checkpoint
from fairseq_ghat.cli import bench, export, vote
from fairseq_ghat.cli.loading import load_checkpoint
from fairseq_ghat.models.ghat_transformer import GHATTransformerModel

STRANGERS = Path(__file__).parents[3] / "shared/data/fairseq_checkpoint_symmath"
needs_strangers = pytest.mark.skipif(
    not STRANGERS.is_dir(), reason="needs the checkpoint of symbolic expressions beside the repository"
)
CONFIG = """# @package _global_
common: {{cpu: true, seed: 1, log_format: simple}}
checkpoint: {{save_dir: {folder}, no_epoch_checkpoints: true}}
task: {{_name: translation, data: {corpus}}}
dataset: {{max_tokens: 400, num_workers: 0}}
criterion: {{_name: cross_entropy}}
optimization: {{max_epoch: 2, lr: [0.005]}}
optimizer: {{_name: adam}}
lr_scheduler: {{_name: fixed}}
model:
  _name: transformer
  share_all_embeddings: true
  max_source_positions: 64
  max_target_positions: 64
  activation_fn: gelu
  encoder: {{embed_dim: 32, ffn_embed_dim: 48, layers: 2, attention_heads: 8, normalize_before: true}}
  decoder: {{embed_dim: 32, ffn_embed_dim: 64, layers: 1, attention_heads: 4, learned_pos: true}}
"""


@pytest.fixture(scope="module")
def in_groups(corpus, tmp_path_factory):
    """A checkpoint of fairseq-hydra-train, and the loss on the validation split that fairseq stored in it."""
    folder = tmp_path_factory.mktemp("hydra")
    (folder / "small.yaml").write_text(CONFIG.format(folder=folder, corpus=corpus))
    run(f"fairseq-hydra-train --config-dir {folder} --config-name small hydra.run.dir={folder}/log")
    path = folder / "checkpoint_last.pt"
    return path, read_checkpoint(path)["extra_state"]["val_loss"]


def test_heads_are_those_of_the_groups(in_groups):
    printed = run(f"ghat-stats {in_groups[0]} --json")
    (figures,) = json.loads(printed[printed.index("{") :]).values()
    assert figures["heads"] == {
        "encoder.layers.0.self_attn": 8,
        "encoder.layers.1.self_attn": 8,
        "decoder.layers.0.self_attn": 4,
        "decoder.layers.0.encoder_attn": 4,
    }


def test_a_checkpoint_in_groups_is_voted_on_and_slims(corpus, in_groups, tmp_path):
    log = run(f"ghat-vote {in_groups[0]} {corpus} {tmp_path}/voted.pt --head-groups 2 --cpu")
    assert "8 of 24 heads stay" in log
    run(f"ghat-slim {tmp_path}/voted.pt {tmp_path}/slim.pt")
    voted, slim = (hypotheses(generated(corpus, tmp_path / f"{name}.pt")) for name in ("voted", "slim"))
    assert voted == slim and len(voted) == 24


def test_a_checkpoint_in_groups_is_trained_on_from_its_loss(corpus, in_groups, tmp_path):
    """An epoch at no learning rate leaves the loss where fairseq-hydra-train stored it."""
    path, loss = in_groups
    options = run(f"ghat-options {path}")
    log = run(
        f"fairseq-train {corpus} --user-dir fairseq_ghat --save-dir {tmp_path} --task translation_v2s {options} "
        f"{TRAIN} --criterion cross_entropy --finetune-from-model {path} --max-epoch 1 --lr 1e-9 --lr-scheduler fixed "
        "--warmup-updates 0"
    )
    (after,) = re.findall(r"\| valid on 'valid' subset \| loss ([\d.]+)", log)
    assert float(after) == pytest.approx(loss, abs=1e-3)


@pytest.fixture(params=["in groups", pytest.param("namespace", marks=needs_strangers)])
def given(request, corpus):
    """Checkpoint, data, and attentions x heads."""
    if request.param == "namespace":
        return STRANGERS / "checkpoint_best.pt", STRANGERS / "data-bin", "6 x 8"
    return request.getfixturevalue("in_groups")[0], corpus, "2 x 4, 2 x 8"


def test_bench_measures_our_model_beside_fairseqs_own(given, capsys, monkeypatch):
    checkpoint, data, heads = given
    measured = []
    sides = bench._load_sides
    monkeypatch.setattr(bench, "_load_sides", lambda *args: measured.extend(sides(*args)) or measured)
    options = "--as-grouped --sentences 8 --batch-size 8 --beam 1 --repeats 1 --warm-up 0 --max-len-b 5 --cpu"
    assert bench.main([str(data), str(checkpoint), *options.split()]) == 0
    assert [isinstance(side.model, GHATTransformerModel) for side in measured] == [False, True]
    assert capsys.readouterr().out.count(f" {heads} ") == 2


def test_the_exported_model_is_fairseqs_own(given, tmp_path, capsys):
    pytest.importorskip("ctranslate2", reason="ctranslate2 is not installed: pip install ctranslate2")
    from fairseq_ghat.export import ctranslate2_model

    checkpoint, data, heads = given
    export.main(["ctranslate2", str(checkpoint), str(data), str(tmp_path / "model"), "--pairs", "4"])
    assert f"attentions x heads {heads}, " in capsys.readouterr().out
    options = load_checkpoint(checkpoint, TranslationTask, "translation")["cfg"].task
    options.data = str(data)
    task = TranslationTask.setup_task(options)
    task.load_dataset("valid")
    stock = stock_comparison.fairseq_model(read_checkpoint(checkpoint))
    pairs = ctranslate2_model.first_pairs(task.dataset("valid"), 4)
    scores = ctranslate2_model.ctranslate2_scores(str(tmp_path / "model"), task, pairs)
    expected = ctranslate2_model.fairseq_scores(stock, task, pairs)
    assert ctranslate2_model.largest_difference(expected, scores) < 1e-3


@pytest.mark.parametrize("command", ["vote", "export", "bench"])
def test_a_conversion_that_computes_otherwise_is_refused(given, tmp_path, capsys, monkeypatch, command):
    right = stock_comparison.fairseq_model

    def wrong(state):
        stock = right(state)
        with torch.no_grad():
            stock.encoder.layers[0].fc1.weight.mul_(3)
        return stock

    monkeypatch.setattr(stock_comparison, "fairseq_model", wrong)
    checkpoint, data, _ = map(str, given)
    out = str(tmp_path / "out")
    with pytest.raises(SystemExit):
        if command == "vote":
            vote.main([checkpoint, data, out, "--subset", "valid", "--cpu"])
        elif command == "bench":
            bench.main([data, checkpoint, "--as-grouped", "--cpu"])
        else:
            pytest.importorskip("ctranslate2", reason="ctranslate2 is not installed: pip install ctranslate2")
            export.main(["ctranslate2", checkpoint, data, out])
    message = capsys.readouterr().err
    assert f"CHECKPOINT {checkpoint}: " in message
    assert re.search(r"differs by \S+ from that of fairseq's own class, .* may differ: .*decoder_layers ", message)
    assert list(tmp_path.iterdir()) == []
