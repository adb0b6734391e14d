"""Translation and language modelling share the vote: the same checks through both tasks."""

import re

import numpy as np
import pytest
import torch
from commands import ADAPTIVE, MODEL, TRAIN, evaluated, hypotheses, run, same_weights, train, train_language_model
from fairseq import checkpoint_utils
from fairseq.sequence_generator import SequenceGenerator

from fairseq_ghat.checkpoints.files import read_checkpoint
from fairseq_ghat.pruning.slimming import kept_heads_in_checkpoint

TASKS = ["translation", "language modelling", "language modelling, adaptive"]


class Task:
    """Commands of one task on its toy data."""

    def __init__(self, name, corpus, text):
        self.translates = name == "translation"
        self.data = corpus if self.translates else text
        self.extra = ADAPTIVE if name.endswith("adaptive") else ""
        self.layers = 6 if self.translates else 2

    def train(self, save_dir, *options, check=True):
        function = train if self.translates else train_language_model
        return function(self.data, save_dir, self.extra, *options, check=check)

    def loss(self, checkpoint):
        """Loss on the validation set as fairseq's own evaluation prints it."""
        if self.translates:
            log = run(
                f"fairseq-validate {self.data} --user-dir fairseq_ghat --task translation --path {checkpoint} "
                "--max-tokens 400 --cpu"
            )
            return re.search(r"\| valid on 'valid' subset \| loss ([\d.]+)", log).group(1)
        log = evaluated(self.data, checkpoint)
        return re.search(r"Loss \(base 2\): ([\d.]+)", log).group(1)


@pytest.fixture(scope="module", params=TASKS)
def voted(request, corpus, text, tmp_path_factory):
    """A run of 4 epochs with the vote before epoch 3: (task, folder, log)."""
    task = Task(request.param, corpus, text)
    save_dir = tmp_path_factory.mktemp("voted")
    return task, save_dir, task.train(save_dir, "--max-epoch 4 --vote-epoch 3 --group-loss-scale 0.5")


def test_constraint_until_the_vote_and_heads_after_it(voted):
    task, _, log = voted
    lines = re.findall(r"\| valid \|.*", log)
    for line in lines[:2]:
        assert "constraint" in line and f"stage grouped | heads {','.join(['8'] * task.layers)}" in line
    for line in lines[2:]:
        assert "constraint" not in line and f"stage voted | heads {','.join(['2'] * task.layers)}" in line
    assert len(re.findall(r"vote: \S+ keeps heads \[\d, \d\] of 8; votes ", log)) == task.layers


def test_slim_evaluates_like_voted(voted):
    task, folder, _ = voted
    log = run(f"ghat-slim {folder}/checkpoint4.pt {folder}/slim.pt")
    assert f"{task.layers} x 2 -> {task.layers} x 2" in log
    assert task.loss(folder / "slim.pt") == task.loss(folder / "checkpoint4.pt")


def test_slim_file_trains_on(voted, tmp_path):
    task, folder, _ = voted
    run(f"ghat-slim {folder}/checkpoint4.pt {tmp_path}/slim.pt")
    log = task.train(tmp_path / "on", f"--finetune-from-model {tmp_path}/slim.pt --max-epoch 1")
    assert f"stage voted | heads {','.join(['2'] * task.layers)}" in log


def test_resumed_run_is_as_if_never_stopped(voted, tmp_path):
    task, folder, log = voted
    options = "--vote-epoch 3 --group-loss-scale 0.5"
    task.train(tmp_path, options, "--max-epoch 3")
    resumed = task.train(tmp_path, options, "--max-epoch 4")
    assert "keeps heads" not in resumed
    whole, parts = (read_checkpoint(f / "checkpoint4.pt")["model"] for f in (folder, tmp_path))
    assert same_weights(whole, parts)


def test_vote_after_the_fact_is_that_of_training(voted, tmp_path):
    task, folder, _ = voted
    run(f"ghat-vote {folder}/checkpoint2.pt {task.data} {tmp_path}/voted.pt --cpu")
    kept = kept_heads_in_checkpoint(read_checkpoint(tmp_path / "voted.pt"))
    assert kept == kept_heads_in_checkpoint(read_checkpoint(folder / "checkpoint3.pt"))


def test_same_bad_schedule_is_refused(voted, tmp_path):
    log = voted[0].train(tmp_path, "--max-epoch 2 --vote-epoch 3", check=False)
    assert "--vote-epoch 3: allowed is 1 to --max-epoch 2" in log


# ---------------------------------------------------------------------- language modelling alone


@pytest.mark.parametrize("vocabulary", ["--criterion cross_entropy", ADAPTIVE.replace("group_constrained_", "")])
def test_grouping_off_trains_exactly_as_stock_language_model(text, tmp_path, vocabulary):
    """Same seed, dropout on: the same losses, epoch by epoch."""
    losses = []
    sizes = "--decoder-layers 2 --decoder-embed-dim 32 --decoder-input-dim 32 --decoder-output-dim 32"
    for arch in ("transformer_lm", "ghat_transformer_lm"):
        log = run(
            f"fairseq-train {text} --user-dir fairseq_ghat --save-dir {tmp_path}/{arch} --task language_modeling "
            f"--arch {arch} {sizes} --decoder-ffn-embed-dim 64 --decoder-attention-heads 8 {vocabulary} "
            f"--tokens-per-sample 32 --max-epoch 3 --no-epoch-checkpoints {TRAIN} --max-tokens 256"
        )
        losses.append(re.findall(r"\| valid on 'valid' subset \| loss ([\d.]+)", log))
    assert losses[0] == losses[1] and len(losses[0]) == 3


def test_stock_language_model_votes_after_the_fact(text, tmp_path):
    """Its options are a configuration of its own, not a namespace."""
    model = MODEL.split("--share-all-embeddings")[0]
    decoder = " ".join(part for part in re.findall(r"--decoder-\S+ \d+", model))
    run(
        f"fairseq-train {text} --save-dir {tmp_path} --task language_modeling --arch transformer_lm "
        f"--criterion cross_entropy --tokens-per-sample 32 --max-epoch 1 --no-epoch-checkpoints {decoder} {TRAIN}"
    )
    log = run(f"ghat-vote {tmp_path}/checkpoint_last.pt {text} {tmp_path}/voted.pt --cpu")
    assert "4 of 16 heads stay" in log
    run(f"ghat-slim {tmp_path}/voted.pt {tmp_path}/slim.pt")
    task = Task("language modelling", None, text)
    assert task.loss(tmp_path / "slim.pt") == task.loss(tmp_path / "voted.pt")


@pytest.fixture(scope="module")
def language_model(text, tmp_path_factory):
    save_dir = tmp_path_factory.mktemp("lm")
    train_language_model(text, save_dir, "--max-epoch 1 --no-epoch-checkpoints")
    return save_dir / "checkpoint_last.pt"


def test_window_and_stride_are_printed(text, language_model):
    log = evaluated(text, language_model, window=24)
    assert "perplexity: blocks of 32 tokens, context window 24, stride 8" in log
    assert re.search(r"Loss \(base 2\): [\d.]+, Perplexity: [\d.]+", log)


@pytest.mark.parametrize("window", [32, 40])
def test_window_that_leaves_nothing_of_the_block_is_refused(text, language_model, window):
    log = evaluated(text, language_model, window=window, check=False)
    assert f"--context-window: leaves {32 - window} tokens of a block" in log
    assert "allowed is a window shorter than the block" in log


def test_fairseq_1456_adaptive_loss_without_adaptive_softmax_names_the_flag(text, tmp_path):
    """facebookresearch/fairseq#1456: a bare assertion in fairseq."""
    log = train_language_model(
        text,
        tmp_path,
        "--criterion group_constrained_adaptive_loss --ddp-backend legacy_ddp --max-epoch 1",
        check=False,
    )
    assert "the model has no adaptive softmax; give it one with --adaptive-softmax-cutoff" in log
    assert "Start iterating over samples" not in log


@pytest.fixture(scope="module")
def voted_and_slim(text, language_model, tmp_path_factory):
    """The same language model as ghat-vote and as ghat-slim leave it."""
    folder = tmp_path_factory.mktemp("voted_lm")
    run(f"ghat-vote {language_model} {text} {folder}/voted.pt --cpu")
    run(f"ghat-slim {folder}/voted.pt {folder}/slim.pt")
    return folder / "voted.pt", folder / "slim.pt"


@pytest.mark.skipif(not hasattr(np, "compat"), reason="fairseq's own language models too need numpy before 2 here")
@pytest.mark.parametrize("command", ["fairseq-interactive", "fairseq-generate"])
def test_slim_language_model_continues_text_as_voted(text, voted_and_slim, command):
    printed = [
        run(
            f"{command} {text} --user-dir fairseq_ghat --task language_modeling --sample-break-mode eos "
            f"--path {path} --beam 3 --max-len-b 12 --cpu",
            STDIN="w1 w3 w9\nw7 w2 w6\n",
        )
        for path in voted_and_slim
    ]
    found = [hypotheses(log) for log in printed]
    assert found[0] == found[1] and len(found[0]) == (2 if command == "fairseq-interactive" else 60)
    if command == "fairseq-interactive":
        assert found[0][0][1].startswith("w1 w3 w9") and found[0][1][1].startswith("w7 w2 w6")


def test_slim_language_model_generates(voted_and_slim):
    """In the library, as fairseq-interactive does, on any version of numpy."""
    found = []
    for path in voted_and_slim:
        models, _, task = checkpoint_utils.load_model_ensemble_and_task([str(path)])
        words = ["w1 w3 w9", "w7 w2 w6"]
        prefix = torch.stack([task.source_dictionary.encode_line(line, append_eos=False).long() for line in words])
        start = torch.full((2, 1), task.source_dictionary.eos())
        tokens = torch.cat([start, prefix], dim=1)
        sample = {"net_input": {"src_tokens": tokens, "src_lengths": torch.full((2,), tokens.size(1))}}
        generator = SequenceGenerator(models, task.target_dictionary, beam_size=3, max_len_b=12)
        found.append(
            [hypothesis[0]["tokens"].tolist() for hypothesis in task.inference_step(generator, models, sample)]
        )
        assert all(tokens[: prefix.size(1)] == begun for tokens, begun in zip(found[-1], prefix.tolist()))
    assert found[0] == found[1]
