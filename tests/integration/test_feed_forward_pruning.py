"""Neurons removed through the commands: alone, which leaves fairseq's own model, and together with heads."""

import os
import re
import shutil

import prepare_data
import pytest
import torch
from commands import (
    MODEL,
    TRAIN,
    evaluated,
    generated,
    hypotheses,
    refusal,
    run,
    same_weights,
    train,
    train_language_model,
)

from fairseq_ghat.checkpoints.files import read_checkpoint

# The program of a module in a process in which nothing can import this package.
WITHOUT_US = "import sys; sys.modules['fairseq_ghat'] = None; from {} import {}; sys.exit({}())"
# torch from 2.6 on refuses the options in fairseq's own checkpoints unless told otherwise.
UNSAFE = {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
VOTE = "--max-epoch 4 --vote-epoch 3 --ffn-neurons 0.5"


def widths(path):
    """Neurons of each feed-forward layer that a checkpoint holds."""
    return [tensor.size(1) for name, tensor in read_checkpoint(path)["model"].items() if name.endswith("fc2.weight")]


@pytest.fixture(scope="module")
def cut_run(corpus, tmp_path_factory):
    """A run whose vote takes heads and neurons: (save_dir, log)."""
    save_dir = tmp_path_factory.mktemp("cut")
    return save_dir, train(corpus, save_dir, VOTE)


@pytest.fixture(scope="module")
def neurons_only(corpus, stock_checkpoint, tmp_path_factory):
    """fairseq's own model after a vote on neurons alone: (path, what ghat-vote printed)."""
    out = tmp_path_factory.mktemp("neurons") / "cut.pt"
    return out, run(f"ghat-vote {stock_checkpoint} {corpus} {out} --keep-heads all --ffn-neurons 24 --cpu")


def run_without_us(module, function, options):
    """Runs a program of fairseq or CTranslate2 in a fresh process without this package; returns what it printed."""
    return run(["python", "-c", WITHOUT_US.format(module, function, function), *options.split()], **UNSAFE)


def stock_translations(corpus, path, options="--beam 1 --max-len-b 30 --batch-size 8"):
    """Hypotheses of fairseq-generate without this package."""
    options = f"{corpus} --path {path} {options} --required-batch-size-multiple 1 --cpu"
    return hypotheses(run_without_us("fairseq_cli.generate", "cli_main", options))


def convert(corpus, path, folder):
    """CTranslate2's model of a checkpoint by its own converter, without this package."""
    options = f"--model_path {path} --data_dir {corpus} --output_dir {folder} --unsafe_deserialization"
    run_without_us("ctranslate2.converters.fairseq", "main", options)


def greedy(folder, log, length):
    """Greedy translations of an exported model of the sources in a log of fairseq-generate, by sentence number."""
    ctranslate2 = pytest.importorskip("ctranslate2", reason="ctranslate2 is not installed: pip install ctranslate2")
    sources = {int(number): text.split() for number, text in re.findall(r"^S-(\d+)\t(.*)$", log, re.MULTILINE)}
    translator = ctranslate2.Translator(f"{folder}", device="cpu")
    results = translator.translate_batch(list(sources.values()), beam_size=1, max_decoding_length=length)
    return {number: " ".join(result.hypotheses[0]) for number, result in zip(sources, results)}


def texts(log):
    """Translations in a log of fairseq-generate, by sentence number."""
    return {number: text for number, (_, text) in hypotheses(log).items()}


def test_a_model_that_lost_only_neurons_is_fairseqs_own(corpus, neurons_only):
    path, printed = neurons_only
    assert "96 of 256 neurons stay, the others are removed; it is a checkpoint of fairseq's own model" in printed
    assert widths(path) == [24] * 4
    theirs, ours = stock_translations(corpus, path), generated(corpus, path, "--beam 1 --max-len-b 30")
    assert len(theirs) == 24 and theirs == hypotheses(ours)


def test_ctranslate2s_own_converter_takes_it(corpus, neurons_only, tmp_path):
    pytest.importorskip("ctranslate2", reason="ctranslate2 is not installed: pip install ctranslate2")
    path, _ = neurons_only
    convert(corpus, path, tmp_path / "model")
    run(f"ghat-export ctranslate2 {path} {corpus} {tmp_path}/ours")
    log = generated(corpus, path, "--beam 1 --max-len-b 30")
    for folder in ("model", "ours"):
        assert greedy(tmp_path / folder, log, 30) == texts(log)


@pytest.mark.slow
@pytest.mark.skipif("DATA_DIR" not in os.environ, reason="needs DATA_DIR with the files of Multi30k")
def test_real_sentences_are_translated_alike_by_all_three(tmp_path):
    """The 1,000 of Multi30k's test set, by a model of a few minutes of training that lost half its neurons."""
    pytest.importorskip("ctranslate2", reason="ctranslate2 is not installed: pip install ctranslate2")
    data, path = tmp_path / "data/bin", tmp_path / "cut.pt"
    assert prepare_data.main(["multi30k.de-en", str(data.parent), "--source", os.environ["DATA_DIR"]]) == 0
    shape = MODEL.replace("embed-dim 32", "embed-dim 128").replace("embed-dim 64", "embed-dim 256")
    run(
        f"fairseq-train {data} --save-dir {tmp_path} --task translation --arch transformer {shape} --max-epoch 3 "
        f"--criterion label_smoothed_cross_entropy --label-smoothing 0.1 --no-epoch-checkpoints {TRAIN} "
        "--max-tokens 4096 --lr 0.002 --warmup-updates 200"
    )
    run(f"ghat-vote {tmp_path}/checkpoint_last.pt {data} {path} --keep-heads all --ffn-neurons 0.5 --cpu")
    assert widths(path) == [128] * 4
    logs = {}
    for beam in (1, 5):
        options = f"--max-len-b 60 --batch-size 64 --beam {beam}"
        logs[beam] = generated(data, path, options)
        assert stock_translations(data, path, options) == hypotheses(logs[beam])
    convert(data, path, tmp_path / "model")
    assert greedy(tmp_path / "model", logs[1], 60) == texts(logs[1])
    assert len(texts(logs[1])) == 1000 and len(set(texts(logs[1]).values())) > 800


def test_it_trains_on_as_fairseqs_and_as_ours(corpus, neurons_only, tmp_path):
    path, _ = neurons_only
    options = run(f"ghat-options {path}")
    assert "--encoder-ffn-embed-dim 24" in options and "--decoder-ffn-embed-dim 24" in options
    command = f"fairseq-train {corpus} --max-epoch 1 --no-epoch-checkpoints {TRAIN} --finetune-from-model {path}"
    small = MODEL.replace("embed-dim 64", "embed-dim 24")
    run(f"{command} --save-dir {tmp_path}/theirs --task translation --arch transformer {small}", **UNSAFE)
    # Ours takes the width from the checkpoint, at a restart too.
    for epoch in (2, 3):
        log = train(corpus, tmp_path / "ours", f"--max-epoch {epoch} --vote-epoch 2 --finetune-from-model {path}")
        assert "--encoder-ffn-embed-dim: 24 as in the checkpoint to go on from, not 64" in log
        assert ("keeps heads" in log) == (epoch == 2) and ("training epoch 2" in log) == (epoch == 2)
    assert widths(tmp_path / "theirs" / "checkpoint_last.pt") == widths(tmp_path / "ours" / "checkpoint_last.pt")


def test_heads_and_neurons_go_at_the_vote_of_training(corpus, cut_run):
    save_dir, log = cut_run
    assert len(re.findall(r"vote: (?:en|de)coder\.layers\.\d keeps 32 of 64 neurons", log)) == 4
    assert len(re.findall(r"vote: \S+_attn keeps heads \[\d, \d\] of 8", log)) == 6
    assert widths(save_dir / "checkpoint2.pt") == [64] * 4 and widths(save_dir / "checkpoint3.pt") == [32] * 4
    slim = save_dir / "slim.pt"
    printed = run(f"ghat-slim {save_dir}/checkpoint4.pt {slim}")
    assert "heads per attention    6 x 2 -> 6 x 2" in printed and "fairseq's own" not in printed
    assert hypotheses(generated(corpus, slim)) == hypotheses(generated(corpus, save_dir / "checkpoint4.pt"))


@pytest.mark.parametrize("stopped_after", [2, 3])
def test_stopped_before_the_vote_and_after_it(corpus, cut_run, tmp_path, stopped_after):
    save_dir, _ = cut_run
    shutil.copy(save_dir / f"checkpoint{stopped_after}.pt", tmp_path / "checkpoint_last.pt")
    train(corpus, tmp_path, VOTE)
    ends = [read_checkpoint(folder / "checkpoint_last.pt") for folder in (save_dir, tmp_path)]
    assert same_weights(*(end["model"] for end in ends))
    optimizers = [end["last_optimizer_state"]["state"] for end in ends]
    assert all(
        torch.equal(value, optimizers[1][number][kind])
        for number, state in optimizers[0].items()
        for kind, value in state.items()
        if torch.is_tensor(value)
    )


def test_other_commands_follow(corpus, cut_run, tmp_path, capsys):
    save_dir, _ = cut_run
    voted = [save_dir / f"checkpoint{epoch}.pt" for epoch in (3, 4)]
    table = run(f"ghat-stats {save_dir}/checkpoint2.pt {voted[1]}").splitlines()
    assert "| 4 x 64 " in table[2] and "| 4 x 32 " in table[3]
    run(f"ghat-average {voted[0]} {voted[1]} --output {tmp_path}/mean.pt")
    assert len(hypotheses(generated(corpus, tmp_path / "mean.pt"))) == 24
    log = train(corpus, tmp_path / "on", f"--max-epoch 1 --finetune-from-model {tmp_path}/mean.pt")
    assert "keeps heads" not in log and widths(tmp_path / "on" / "checkpoint_last.pt") == [32] * 4
    other = read_checkpoint(voted[0])
    other["cfg"]["model"].kept_neurons["encoder.layers.0"][1] += 1
    torch.save(other, tmp_path / "other.pt")
    message = refusal(f"ghat-average {voted[1]} {tmp_path}/other.pt --output {tmp_path}/none.pt", capsys)
    assert "encoder.layers.0 keeps [32, " in message and "other heads or neurons, cannot be averaged" in message


def test_language_model_that_lost_only_neurons_is_fairseqs_own(text, tmp_path):
    train_language_model(text, tmp_path, "--max-epoch 3 --vote-epoch 2 --keep-heads all --ffn-neurons 0.25")
    printed = run(f"ghat-slim {tmp_path}/checkpoint_last.pt {tmp_path}/slim.pt")
    assert "it is a checkpoint of fairseq's own model" in printed
    ours = evaluated(text, tmp_path / "checkpoint_last.pt")
    theirs = run(
        f"python scripts/with_log.py fairseq-eval-lm {text} --path {tmp_path}/slim.pt --gen-subset valid "
        "--tokens-per-sample 32 --max-tokens 256 --cpu",
        **UNSAFE,
    )
    losses = [re.search(r"Loss \(base 2\): ([\d.]+), Perplexity: [\d.]+", log).group() for log in (ours, theirs)]
    assert losses[0] == losses[1]


def test_bad_input_is_refused_before_any_work(corpus, stock_checkpoint, tmp_path, capsys):
    vote = f"ghat-vote {stock_checkpoint} {corpus} {tmp_path}/out.pt --cpu"
    assert "--keep-heads all: allowed only with --ffn-neurons" in refusal(f"{vote} --keep-heads all", capsys)
    allowed = "allowed is a number from 1 to 63 or a share such as 0.5"
    assert f"--ffn-neurons 64: {allowed}" in refusal(f"{vote} --ffn-neurons 64", capsys)
    log = train(corpus, tmp_path, "--max-epoch 2 --vote-epoch 2 --ffn-neurons 1.5", check=False)
    assert f"--ffn-neurons 1.5: {allowed}" in log
    log = train(corpus, tmp_path, "--max-epoch 2 --ffn-neurons 0.5", check=False)
    assert "--ffn-neurons 0.5: allowed only with --vote-epoch or --vote-tolerance" in log
    assert list(tmp_path.iterdir()) == []
