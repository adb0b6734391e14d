"""Checkpoints made by the first version (a13c7cc) go on as they would have there: half-trained, voted, slim.

The files were made on the toy corpus and text of tests/commands.py, with models of one layer and 4 heads a side.
"""

import json
import lzma
import re
from pathlib import Path

import pytest
import torch
from commands import evaluated, generated, hypotheses, run, train

from fairseq_ghat.checkpoints.files import read_checkpoint
from fairseq_ghat.pruning.slimming import kept_heads_in_checkpoint

FIRST = Path(__file__).parents[1] / "fixtures/first_version"
EXPECTED = json.loads((FIRST / "expected.json").read_text())
SMALL = " ".join(
    f"--{side}-layers 1 --{side}-embed-dim 16 --{side}-ffn-embed-dim 16 --{side}-attention-heads 4"
    for side in ("encoder", "decoder")
)


def unpacked(name, path):
    path.write_bytes(lzma.decompress((FIRST / f"{name}.pt.xz").read_bytes()))
    return path


def test_half_trained_run_goes_on_to_its_vote(corpus, tmp_path):
    """Stopped within epoch 3, with group classifiers and a history of the hidden units; the vote comes at epoch 4."""
    unpacked("half_trained", tmp_path / "checkpoint_last.pt")
    options = "--max-epoch 5 --vote-epoch 4 --vote-tolerance 9 --group-objective classification --group-loss-scale 0.5"
    log = train(corpus, tmp_path, SMALL, options, "--save-interval-updates 4 --patience 9")
    losses = {
        updates: float(loss)
        for loss, updates in re.findall(r"\| valid \|.*?\| loss ([\d.]+).*\| num_updates (\d+)", log)
    }
    assert losses == pytest.approx(EXPECTED["valid_losses"], abs=2e-3)
    assert kept_heads_in_checkpoint(read_checkpoint(tmp_path / "checkpoint5.pt")) == EXPECTED["kept_heads"]


@pytest.mark.parametrize("name", ["voted", "slim"])
def test_voted_and_slim_models_translate_as_they_did(corpus, tmp_path, name):
    translated = hypotheses(generated(corpus, unpacked(name, tmp_path / f"{name}.pt")))
    assert [translated[number][0] for number in range(24)] == pytest.approx(EXPECTED["scores"], abs=1e-4)


def test_voted_checkpoint_is_slimmed_to_the_same_file(tmp_path):
    voted, slim = (unpacked(name, tmp_path / f"{name}.pt") for name in ("voted", "slim"))
    run(f"ghat-slim {voted} {tmp_path}/again.pt")
    before, now = read_checkpoint(slim), read_checkpoint(tmp_path / "again.pt")
    assert before["cfg"]["model"].kept_heads == now["cfg"]["model"].kept_heads == EXPECTED["kept_heads"]
    assert list(before["model"]) == list(now["model"])
    for name, weight in now["model"].items():
        if name.endswith("head_mask"):  # which slim files did not keep
            assert weight.tolist() == [2] * before["model"][name].numel()
        else:
            assert torch.equal(before["model"][name], weight)


def test_voted_run_resumes_with_its_masks(corpus, tmp_path):
    """Heads stay masked where they were; checkpoints can be slimmed as ever."""
    unpacked("voted", tmp_path / "checkpoint_last.pt")
    epochs = read_checkpoint(tmp_path / "checkpoint_last.pt")["extra_state"]["train_iterator"]["epoch"]
    log = train(corpus, tmp_path, SMALL, f"--vote-epoch 2 --max-epoch {epochs} --group-objective classification")
    assert "keeps heads" not in log and "stage voted | heads 2,2,2" in log
    state = read_checkpoint(tmp_path / "checkpoint_last.pt")
    assert kept_heads_in_checkpoint(state) == EXPECTED["kept_heads"]
    assert state["model"]["encoder.layers.0.self_attn.head_mask"].numel() == 4
    assert "3 x 4 -> 3 x 2" in run(f"ghat-slim {tmp_path}/checkpoint_last.pt {tmp_path}/slim.pt")


def test_language_model_has_the_same_perplexity(text, tmp_path):
    log = evaluated(text, unpacked("language_model", tmp_path / "model.pt"))
    assert float(re.search(r"Perplexity: ([\d.]+)", log)[1]) == pytest.approx(
        EXPECTED["language_model_perplexity"], 1e-3
    )
