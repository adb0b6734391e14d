"""Everything people combine the vote with, at toy size: each combination trains over the vote, or is refused by name.

`OPTIONS` is the table of combinations; README repeats its outcome.
"""

import re

import pytest
import torch
from commands import generated, hypotheses, run, train

from fairseq_ghat.checkpoints.files import read_checkpoint
from fairseq_ghat.pruning.slimming import kept_heads_in_checkpoint

OPTIONS = {
    "--fp16 --fp16-no-flatten-grads": "works",
    "--fp16 --fp16-no-flatten-grads --refit none": "works",
    "--memory-efficient-fp16": "works",
    "--amp": "works",
    "--bf16": "works",
    "--bf16 --group-feature attention": "works",
    "--bf16 --group-feature output --group-objective classification": "works",
    "--memory-efficient-bf16": "works",
    "--update-freq 3": "works",
    "--encoder-layerdrop 0.5 --decoder-layerdrop 0.5": "works",
    "--encoder-normalize-before --decoder-normalize-before": "works",
    "--store-ema --ema-decay 0.9": "works",
    "--store-ema --ema-decay 0.9 --fp16 --fp16-no-flatten-grads": "works",
    "--store-ema --ema-decay 0.9 --bf16": "works",
    "--patience 1": "works",
    "--max-update 16": "works",
    "--validate-interval-updates 4": "works",
    "--validate-interval 3": "works",
    "--disable-validation": "works",
    "--eval-bleu --eval-bleu-detok space --best-checkpoint-metric bleu --maximize-best-checkpoint-metric": "works",
    "--group-feature attention": "works",
    "--group-feature output --group-objective classification": "works",
    "--group-diversity squared --group-distance cosine": "works",
    "--vote-by score": "works",
    "--decoder-attention-heads 4": "works",
    "--weight-decay 0.1 --clip-norm 0.5": "works",
    "--optimizer nag --momentum 0.99": "works",
    "--optimizer adafactor": "works",
    "--lr-scheduler reduce_lr_on_plateau --warmup-updates 0": "works",
    "--num-workers 2": "works",
    "--batch-size 16": "works",
    "--no-epoch-checkpoints --keep-best-checkpoints 2": "works",
    "--checkpoint-activations": "--checkpoint-activations: not with the group constraint",
    "--checkpoint-activations --constrain-stage 2": "--checkpoint-activations: not with the group constraint",
    "--offload-activations": "--checkpoint-activations: not with the group constraint",
    "--quant-noise-pq 0.1": "--quant-noise-pq 0.1: allowed is 0 with a vote",
    "--ddp-backend fully_sharded": "--ddp-backend fully_sharded: not with grouped attention",
    "--store-ema --ema-fp32": "--ema-fp32: not with a vote",
    "--ddp-backend slowmo": "--ddp-backend slowmo: not with a vote",
    "--zero-sharding os": "--zero-sharding os: not with a vote",
    "--use-bmuf": "--use-bmuf: not with a vote",
    "--group-objective classification --group-feature attention": "allowed with --group-feature value or output",
    "--group-objective voting": "argument --group-objective: invalid choice: 'voting'",
    "--keep-heads most": "argument --keep-heads: invalid choice: 'most'",
    "--vote-tolerance 0": "--vote-tolerance 0.0: allowed is a number > 0",
    "--encoder-xformers-att-config {}": "xformers",
}


@pytest.mark.parametrize("option", [option for option, outcome in OPTIONS.items() if outcome == "works"])
def test_combination_trains_over_the_vote(corpus, tmp_path, option):
    log = train(corpus, tmp_path, "--max-epoch 3 --vote-epoch 2 --group-loss-scale 0.5", option)
    state = read_checkpoint(tmp_path / "checkpoint_last.pt")
    kept = kept_heads_in_checkpoint(state)
    assert len(kept) == 6 and {len(heads) for heads in kept.values()} == {2}
    for line in re.findall(r"\| valid \| epoch 00[23] .*", log):
        assert "stage voted | heads 2,2,2,2,2,2" in line
    assert "nan" not in " ".join(re.findall(r"\b(?:loss|constraint) (\S+)", log))
    assert all(torch.isfinite(value).all() for value in state["model"].values())
    if "--store-ema" in option:
        shadow = state["extra_state"]["ema"]
        assert {n: w.shape for n, w in shadow.items()} == {n: w.shape for n, w in state["model"].items()}
        assert not torch.equal(shadow["encoder.layers.0.fc1.weight"], state["model"]["encoder.layers.0.fc1.weight"])


@pytest.mark.parametrize("option", [option for option, outcome in OPTIONS.items() if outcome != "works"])
def test_combination_is_refused_by_name_before_training(corpus, tmp_path, option):
    log = train(corpus, tmp_path, "--max-epoch 3 --vote-epoch 2", option, check=False)
    assert re.search(OPTIONS[option], log)
    assert "Start iterating over samples" not in log


def test_the_rate_does_not_fall_since_fewer_heads_have_a_higher_loss(corpus, tmp_path):
    """As facebookresearch/fairseq#1302, of the scheduler: its best loss was that of all heads."""
    plateau = "--lr-scheduler reduce_lr_on_plateau --warmup-updates 0 --refit none --no-epoch-checkpoints"
    log = train(corpus, tmp_path, "--max-epoch 6 --vote-epoch 5", plateau)
    losses = [float(loss) for loss in re.findall(r"\| valid \| epoch .*? \| loss (\S+)", log)]
    rates = re.findall(r"\| train \| epoch .*\| lr (\S+)", log)
    assert losses[5] > losses[3] and rates == ["0.005"] * 6


def test_the_shadow_model_is_refitted_too(corpus, tmp_path):
    """With next to no rate and no decay, it and the model have nothing but the vote between them."""
    still = "--store-ema --ema-decay 1.0 --ema-start-update 0 --lr 1e-12 --warmup-init-lr 1e-12 --dropout 0"
    train(corpus, tmp_path, "--max-epoch 1 --vote-epoch 1", still)
    state = read_checkpoint(tmp_path / "checkpoint_last.pt")
    assert kept_heads_in_checkpoint(state)
    shadow = state["extra_state"]["ema"]
    for name in (name for name in shadow if "proj." in name):
        torch.testing.assert_close(shadow[name], state["model"][name], rtol=1e-5, atol=1e-5)


def test_sharded_data_votes_over_all_shards(corpus, tmp_path):
    """Two shards, one per epoch: both vote, and the shard of the epoch is trained on afterwards."""
    other = tmp_path / "other"
    other.mkdir()
    for file in corpus.iterdir():
        (other / file.name).symlink_to(file)
    log = train(f"{corpus}:{other}", tmp_path / "run", "--max-epoch 3 --vote-epoch 2")
    assert len(set(re.findall(r"of (\d+) batches", log))) == 1
    alone = train(corpus, tmp_path / "alone", "--max-epoch 3 --vote-epoch 2")
    of_one_shard = int(re.search(r"of (\d+) batches", alone).group(1))
    assert int(re.search(r"of (\d+) batches", log).group(1)) == 2 * of_one_shard
    assert "stage voted" in log and "num_updates 18" in log


def test_activation_checkpointing_trains_a_slim_model(corpus, slim_file, tmp_path):
    log = train(corpus, tmp_path, f"--finetune-from-model {slim_file[0]} --checkpoint-activations --max-epoch 1")
    assert "stage voted | heads 2,2,2,2,2,2" in log


def test_reset_optimizer_keeps_the_vote(corpus, voted_run, tmp_path):
    options = "--reset-optimizer --reset-dataloader --reset-meters --reset-lr-scheduler --max-epoch 1"
    log = train(corpus, tmp_path, f"--restore-file {voted_run[0]}/checkpoint4.pt", options)
    assert "stage voted | heads 2,2,2,2,2,2" in log and "keeps heads" not in log


def test_fairseq_4555_constraint_adds_no_overflow_in_half_precision(corpus, tmp_path):
    """facebookresearch/fairseq#4555: some two hundred updates without the constraint and with it."""
    overflows = []
    for scale in (0, 1):
        log = train(
            corpus,
            tmp_path,
            f"--fp16 --fp16-no-flatten-grads --max-epoch 34 --no-save --disable-validation --group-loss-scale {scale}",
        )
        assert int(re.findall(r"num_updates (\d+)", log)[-1]) > 195
        overflows.append(log.count("overflow detected"))
    assert overflows == [0, 0]


def test_fairseq_3245_bleu_of_training_is_that_of_generation(corpus, tmp_path):
    """facebookresearch/fairseq#3245: same beam, length limits and detokenisation give the same BLEU."""
    log = train(
        corpus,
        tmp_path,
        "--max-epoch 2 --vote-epoch 2 --eval-bleu --eval-bleu-detok space --eval-bleu-remove-bpe sentencepiece",
        '--eval-bleu-args {"beam":4,"max_len_a":0,"max_len_b":20} --max-source-positions 64 --max-target-positions 64',
        "--required-batch-size-multiple 1",
    )
    in_training = float(re.findall(r"\| valid \| epoch 002 .*?\| bleu ([\d.]+)", log)[-1])
    translated = generated(
        corpus, tmp_path / "checkpoint_last.pt", "--gen-subset valid --max-len-b 20 --remove-bpe sentencepiece"
    )
    assert len(hypotheses(translated)) == 40
    score = run(["python", "-c", BLEU], STDIN=translated)
    assert float(score) == pytest.approx(in_training, abs=0.01)


BLEU = """
import re, sys, sacrebleu
log = sys.stdin.read()
lines = {k: dict(re.findall(rf"^{k}-(\\d+)\\t(.*)$", log, re.M)) for k in "TH"}
hypotheses = [lines["H"][n].split("\\t")[1] for n in lines["T"]]
print(sacrebleu.corpus_bleu(hypotheses, [list(lines["T"].values())], tokenize="13a").score)
"""
