"""What a training folder is called, which of its files count, and how its command line is told."""

from argparse import Namespace
from pathlib import Path

import pytest

from fairseq_ghat.report.run import BadRun, check_run, input_files, is_constrained, names_of
from fairseq_ghat.report.train_command import train_command


@pytest.mark.parametrize(
    "folders,names",
    [
        (["/a/plain"], ["plain"]),
        (["/a/plain", "/a/ght"], ["plain", "ght"]),
        (["/a/plain", "/b/plain", "/b/ght"], ["a/plain", "b/plain", "b/ght"]),
        (["/a/l1/seed-1/tuned", "/a/random/seed-1/tuned"], ["l1", "random"]),
        (["/a/b", "/a/b/b"], ["a", "b"]),
    ],
)
def test_names_tell_folders_apart(folders, names):
    assert names_of([Path(folder) for folder in folders]) == names


def test_checkpoints_in_the_order_that_they_stand_for_the_run(tmp_path):
    aside = "before_vote.checkpoint.best_loss_4.99.pt"
    for name in (aside, "checkpoint9.pt", "checkpoint10.pt", "checkpoint_last.pt"):
        (tmp_path / name).touch()
    names = ["checkpoint_last.pt", "checkpoint10.pt", "checkpoint9.pt", aside]
    assert [path.name for path in input_files(tmp_path)] == names
    (tmp_path / "slim.pt").touch()
    (tmp_path.parent / f"{tmp_path.name}.train.log").touch()
    assert [path.name for path in input_files(tmp_path)] == [f"{tmp_path.name}.train.log", "slim.pt", *names]


def test_a_folder_without_log_and_checkpoint_is_refused(tmp_path):
    with pytest.raises(BadRun, match="has neither train.log"):
        check_run(tmp_path)
    (tmp_path / "train.log").touch()
    check_run(tmp_path)


@pytest.mark.parametrize(
    "scale,expected", [("0", False), ("0.0", False), ("0.00", False), ("0.03", True), ("batch", True)]
)
def test_a_loss_scale_of_zero_however_written_is_no_constraint(scale, expected):
    criterion = "group_constrained_label_smoothed_cross_entropy"
    assert is_constrained({"criterion": criterion, "group_loss_scale": scale}) is expected
    assert not is_constrained({"criterion": "cross_entropy", "group_loss_scale": scale})


def test_command_line_of_an_old_checkpoint():
    options = dict(arch="transformer_iwslt_de_en", task="translation", criterion="cross_entropy", optimizer="adam")
    options.update(lr_scheduler="fixed", data="bin dir", lr=[0.5, 0.25], encoder_layers=3, dropout=0.1, cpu=True)
    options.update(adam_betas="(0.9, 0.98)", encoder_embed_dim=512, share_all_embeddings=False, seed=1, num_workers=0)
    assert train_command({"args": Namespace(**options), "cfg": None}) == (
        "fairseq-train 'bin dir' --task translation --arch transformer_iwslt_de_en --criterion cross_entropy "
        "--optimizer adam --lr-scheduler fixed --cpu --num-workers 0 --lr 0.5,0.25 --encoder-layers 3 "
        "--adam-betas '(0.9, 0.98)'"
    )


def test_choices_that_fairseq_does_not_know_are_refused():
    with pytest.raises(ValueError, match="invalid choice: 'nothing'"):
        train_command({"args": Namespace(arch="transformer", task="nothing"), "cfg": None})
