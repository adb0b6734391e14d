"""`ghat-perplexity`: the figures of fairseq-eval-lm, for several checkpoints under one window; refusals by name."""

import json
import math
import re
import shutil

import pytest
import torch
from commands import ADAPTIVE, evaluated, refusal, run, train_language_model

from fairseq_ghat.checkpoints.files import read_checkpoint
from fairseq_ghat.cli.perplexity import main


@pytest.fixture(scope="module")
def checkpoints(text, tmp_path_factory):
    """A voted model, the same slim, and a stock one with adaptive softmax."""
    folder = tmp_path_factory.mktemp("lm")
    train_language_model(text, folder / "ours", "--max-epoch 2 --vote-epoch 2 --no-epoch-checkpoints")
    run(f"ghat-slim {folder}/ours/checkpoint_last.pt {folder}/slim.pt")
    stock = "--task language_modeling --arch transformer_lm --decoder-attention-heads 2 --decoder-layers 1"
    sizes = "--decoder-embed-dim 32 --decoder-input-dim 32 --decoder-output-dim 32 --decoder-ffn-embed-dim 32"
    run(
        f"fairseq-train {text} --save-dir {folder}/stock {stock} {sizes} {ADAPTIVE.replace('group_constrained_', '')} "
        "--optimizer adam --lr 0.005 --tokens-per-sample 32 --max-tokens 256 --max-epoch 1 --no-epoch-checkpoints --cpu"
    )
    return [folder / "ours/checkpoint_last.pt", folder / "slim.pt", folder / "stock/checkpoint_last.pt"]


@pytest.mark.parametrize("window,subsets", [(0, "test"), (24, "valid,test")])
def test_figures_are_those_of_fairseq_eval_lm(text, checkpoints, window, subsets):
    paths = " ".join(map(str, checkpoints))
    command = f"ghat-perplexity {text} {paths} --gen-subset {subsets} --context-window {window} --cpu"
    printed = run(command)
    assert f"blocks of 32 tokens, context window {window}, stride {32 - window}" in printed
    rows = re.findall(r"^\| (\S+) +\| (valid|test) +\| ([\d,]+) +\| ([\d.]+) +\| ([\d.]+) +\|", printed, re.MULTILINE)
    as_json = run(f"{command} --json")
    figures = json.loads(as_json[as_json.index("{") :])  # what is before it went to standard error
    assert (figures["block"], figures["context_window"], figures["stride"]) == (32, window, 32 - window)
    assert [row[:2] for row in rows] == [(str(path), one) for path in checkpoints for one in subsets.split(",")]
    for path, subset, tokens, bits, perplexity in rows:
        log = evaluated(text, path, subset, window, task="language_modeling")  # it takes fairseq's own models too
        assert (bits, perplexity) == re.search(r"Loss \(base 2\): ([\d.]+), Perplexity: ([\d.]+)", log).groups()
        lines = (text.parent / f"{subset}.txt").read_text().splitlines()
        assert int(tokens.replace(",", "")) == len(" ".join(lines).split()) + len(lines)
        exact = figures["checkpoints"][path]["subsets"][subset]
        assert f"{exact['bits_per_token']:.4f}" == bits and exact["word_perplexity"] is None
    assert [figures["checkpoints"][str(path)]["heads"] for path in checkpoints] == ["2 x 2", "2 x 2", "1 x 2"]
    assert {row[3] for row in rows if row[0] == str(checkpoints[0])} == {
        row[3] for row in rows if row[0] == str(checkpoints[1])
    }


def test_the_window_is_one_whatever_models_were_trained_with(text, checkpoints, tmp_path, capsys):
    files = {"trained": {}, "sentences": {"sample_break_mode": "complete"}, "short": {"shorten_method": "truncate"}}
    for name, options in files.items():
        state = read_checkpoint(checkpoints[0])
        state["cfg"]["task"].update(options)
        torch.save(state, tmp_path / name)
    paths = [str(tmp_path / name) for name in files]
    main([str(text), *paths, "--cpu", "--json"])
    measured = json.loads(capsys.readouterr().out)["checkpoints"]
    figures = [(of["tokens"], of["bits_per_token"]) for of in (measured[path]["subsets"]["test"] for path in paths)]
    assert figures == [figures[0]] * 3


def test_a_training_that_diverged_is_named(text, checkpoints, tmp_path, capsys):
    state = read_checkpoint(checkpoints[0])
    state["model"]["decoder.layers.0.fc1.weight"].fill_(math.nan)
    torch.save(state, tmp_path / "nan.pt")
    printed = refusal(f"ghat-perplexity {text} {tmp_path}/nan.pt --cpu", capsys)
    assert f"CHECKPOINT {tmp_path}/nan.pt: its loss of test is nan, not a finite number" in printed


@pytest.mark.parametrize(
    "options,message",
    [
        ("--context-window 32", "--context-window 32: leaves 0 tokens of a block of 32 to score; allowed is 0 to 31"),
        ("--context-window -1", "--context-window -1: "),
        ("--tokens-per-sample 64", "--tokens-per-sample 64: CHECKPOINT {0} has 32 positions"),
        ("--max-tokens 20 --context-window 5", "--max-tokens 20: allowed is 27 or more"),
        ("--batch-size 0", "--batch-size 0: allowed is 1 or more"),
        ("--gen-subset test,tset", "--gen-subset test,tset: there is no "),
        ("--remove-bpe sentencepiece", "no symbol of the dictionary has the mark \u2581 of sentencepiece"),
        ("--tokens-per-sample 0", "--tokens-per-sample 0: allowed is 1 or more"),
    ],
)
def test_bad_options_are_refused_by_name(text, checkpoints, options, message, capsys):
    printed = refusal(f"ghat-perplexity {text} {checkpoints[0]} --cpu {options}", capsys)
    assert message.format(checkpoints[0]) in printed and "Traceback" not in printed
    assert "| checkpoint" not in printed


def test_bad_checkpoint_at_the_end_is_refused_before_the_first_is_measured(text, checkpoints, tmp_path, capsys):
    train_language_model(text, tmp_path, "--tokens-per-sample 16 --max-epoch 1 --no-epoch-checkpoints")
    short = tmp_path / "checkpoint_last.pt"
    printed = refusal(f"ghat-perplexity {text} {checkpoints[0]} {short} --cpu", capsys)
    assert f"--tokens-per-sample 32: CHECKPOINT {short} has 16 positions; allowed is no more" in printed
    assert "blocks of" not in printed


@pytest.mark.parametrize("ending", ["idx", "bin"])
def test_damaged_data_are_refused(text, checkpoints, tmp_path, capsys, ending):
    data = shutil.copytree(text, tmp_path / "data")
    file = data / f"test.{ending}"
    file.write_bytes(file.read_bytes()[:50])
    printed = refusal(f"ghat-perplexity {data} {checkpoints[0]} --cpu", capsys)
    assert f"--gen-subset test: cannot be read from DATA {data} (" in printed


def test_translation_models_and_other_dictionaries_are_refused(text, corpus, checkpoints, voted_run, tmp_path, capsys):
    printed = refusal(f"ghat-perplexity {text} {voted_run[0]}/checkpoint4.pt --cpu", capsys)
    assert "its task is translation_v2s; allowed is language_modeling" in printed
    printed = refusal(f"ghat-perplexity {corpus} {checkpoints[0]} --cpu", capsys)
    assert f"there is no {corpus}/dict.txt" in printed
    (tmp_path / "dict.txt").write_text("w1 3\n")
    for name in ("test.bin", "test.idx"):
        shutil.copy(text / name, tmp_path)
    printed = refusal(f"ghat-perplexity {tmp_path} {checkpoints[0]} --cpu", capsys)
    assert f"CHECKPOINT {checkpoints[0]}: does not fit DATA {tmp_path}, whose dictionary has 5 types" in printed
    assert "Traceback" not in printed
