"""What is read of logs of fairseq-train: hand-written lines in the forms that fairseq prints."""

import pytest

from fairseq_ghat.report.training_log import LayerVote, read_training_log

START = "AT fairseq_cli.train | {'_name': None, 'epoch': 3}\nAT fairseq_cli.train | Start iterating over samples\n"
INNER = "AT train_inner | epoch 002:      6 / 44 loss=9.143, nll_loss=8.951, num_updates=50\n"
VOTE = """\
AT fairseq_ghat.tasks.voting_to_stay | vote: begins before epoch 2, model frozen
AT vote | vote: encoder.layers.0.self_attn keeps heads [3, 5] of 8; votes [0, 1, 0, 43, 0, 43, 1, 0] of 44 batches
AT vote | vote: decoder.layers.0.self_attn keeps heads [1] of 4 (l1)
"""
DONE = "AT vote | vote: done; constraint off, best score and patience restarted; heads per attention: a 2\n"
END = "AT fairseq_cli.train | done training in 119.4 seconds\n"


def epoch(number, loss, stage="grouped"):
    valid = f"loss {loss} | nll_loss 2 | num_updates 44 | stage {stage} | heads 8,8"
    train = "loss 9.283 | nll_loss 9.1 | homogeneity 0.53 | num_updates 44"
    return (
        f"AT valid | epoch {number:03d} | valid on 'valid' subset | {valid}\nAT train | epoch {number:03d} | {train}\n"
    )


def read(tmp_path, text):
    (tmp_path / "train.log").write_text(text.replace("AT ", "2026-01-02 03:04:05 | INFO | "))
    return read_training_log(tmp_path / "train.log")


def test_curves_and_the_vote(tmp_path):
    log = read(tmp_path, START + epoch(1, 8.076) + INNER + VOTE + DONE + epoch(2, 6.24, "voted") + END)
    assert log.curve("valid", "loss") == ([1, 2], [8.076, 6.24]) and log.curve("train", "loss") == ([1, 2], [9.283] * 2)
    assert log.curve("valid", "homogeneity") == ([], []) and log.last_epoch == 2
    assert log.vote.epoch == 2 and log.vote.done and log.first_voted_epoch == 2 and log.remarks == []
    assert log.vote.layers["encoder.layers.0.self_attn"] == LayerVote([3, 5], 8, [0, 1, 0, 43, 0, 43, 1, 0], 44)
    assert log.vote.layers["decoder.layers.0.self_attn"] == LayerVote([1], 4)


def test_a_run_that_went_on_has_the_later_figures(tmp_path):
    log = read(tmp_path, START + epoch(1, 8.0) + epoch(2, 7.0) + START + epoch(2, 6.0, "voted") + END)
    assert log.curve("valid", "loss") == ([1, 2], [8.0, 6.0]) and log.remarks == []
    assert log.vote is None and log.first_voted_epoch == 2  # which the validation tells
    assert read(tmp_path, START + epoch(1, 8.0, "voted") + END).first_voted_epoch is None  # it was before this training


def test_a_log_that_was_cut_off(tmp_path):
    log = read(tmp_path, START + epoch(1, 8.0) + VOTE)
    assert log.first_voted_epoch is None
    assert log.remarks == [
        "The log train.log ends after epoch 1, before the training was done: it goes on, or was cut off.",
        "The vote before epoch 2 began, and the log does not say that it ended.",
    ]
    gone_on = read(tmp_path, START + epoch(1, 8.0) + END + START + epoch(2, 7.25))
    assert gone_on.remarks and "ends after epoch 2, before the training was done" in gone_on.remarks[0]
    cut = read(tmp_path, START + epoch(1, 8.0) + epoch(2, 7.25)[:-1])
    assert cut.curve("train", "loss") == ([1], [9.283])  # not the last line, whose last number may be cut
    assert cut.curve("valid", "loss") == ([1, 2], [8.0, 7.25])


@pytest.mark.parametrize("text", ["", "hello\n", "{\n", "{}\n", '{"epoch": 1}\n', INNER])
def test_a_file_without_figures(tmp_path, text):
    assert read(tmp_path, text).remarks == ["The log train.log holds no figures of an epoch of fairseq-train."]


def test_lines_of_json_and_of_a_log_file(tmp_path):
    log = read(
        tmp_path,
        'AT train_inner | {"epoch": 1, "update": 0.2, "loss": "9.9", "num_updates": "5"}\n'
        'AT valid | {"epoch": 1, "valid_loss": "8.0", "valid_num_updates": "9"}\n'
        'AT other | {"epoch": 1, "other_loss": "5.0", "other_num_updates": "9"}\n'
        'AT train | {"epoch": 1, "train_loss": "9.0", "train_num_updates": "9"}\n',
    )
    assert (log.valid, log.train) == ({1: {"loss": 8.0, "num_updates": 9.0}}, {1: {"loss": 9.0, "num_updates": 9.0}})
    bare = read(tmp_path, "epoch 001 | valid on 'valid' subset | loss 8 | ppl inf\nepoch 001 | loss 9\n")
    assert bare.valid[1]["loss"] == 8.0 and bare.train == {1: {"loss": 9.0}}
    assert bare.curve("valid", "ppl") == ([], [])


def test_a_training_that_ended_without_its_vote(tmp_path):
    line = "AT task | vote: training ended without a vote, all heads are still there: --vote-epoch 9 was not reached\n"
    log = read(tmp_path, START + epoch(1, 8.0) + line + END)
    reached = "all heads are still there: --vote-epoch 9 was not reached."
    assert log.remarks == [f"The training ended without a vote, {reached}"]
