"""The best checkpoints of a folder, as fairseq names them."""

import argparse

import pytest
import torch

from fairseq_ghat.checkpoints.best_of_run import best_checkpoints
from fairseq_ghat.checkpoints.files import CheckpointError, write_checkpoint


def folder_with(tmp_path, names, more_is_better, old=True):
    for name in names:
        options = {"maximize_best_checkpoint_metric": more_is_better}
        state = {"model": {"w": torch.zeros(1)}}
        if old:
            state["args"] = argparse.Namespace(**options)
        else:
            state["cfg"] = {"checkpoint": options}
        write_checkpoint(state, tmp_path / name)
    return tmp_path


BLEU = ["checkpoint.best_bleu_9.8701.pt", "checkpoint.best_bleu_34.2103.pt", "checkpoint.best_bleu_34.1900.pt"]
LOSS = ["checkpoint.best_loss_4.1002.pt", "checkpoint.best_loss_3.9904.pt", "checkpoint.best_loss_10.0001.pt"]
OTHERS = ["checkpoint_best.pt", "checkpoint_last.pt", "before_vote.checkpoint.best_bleu_40.0001.pt"]


@pytest.mark.parametrize("old", [True, False], ids=["argparse", "config"])
@pytest.mark.parametrize(
    "names,rising,expected", [(BLEU, True, [BLEU[1], BLEU[2]]), (LOSS, False, [LOSS[1], LOSS[0]])], ids=["bleu", "loss"]
)
def test_best_by_number_not_by_name(tmp_path, names, rising, expected, old):
    folder = folder_with(tmp_path, names + OTHERS, rising, old)
    assert [path.name for path in best_checkpoints(folder, 2)] == expected


def test_fewer_than_wanted_are_those_there_are(tmp_path):
    assert len(best_checkpoints(folder_with(tmp_path, BLEU, True), 5)) == 3


def test_none_is_an_error_that_says_how_to_keep_some(tmp_path):
    with pytest.raises(CheckpointError, match="has no checkpoint.best_METRIC_SCORE.pt; .*--keep-best-checkpoints 5"):
        best_checkpoints(folder_with(tmp_path, OTHERS, True), 5)


def test_several_metrics_are_not_mixed(tmp_path):
    with pytest.raises(CheckpointError, match="several metrics: bleu, loss"):
        best_checkpoints(folder_with(tmp_path, BLEU + LOSS, True), 2)
