"""What fairseq forgets at the vote and keeps over a restart."""

from argparse import Namespace

import pytest
import torch
from fairseq import checkpoint_utils
from fairseq_cli import train as fairseq_train

from fairseq_ghat.training.early_stopping import (
    patience_state,
    restart_best_score,
    restart_plateau,
    restore_patience,
    set_aside_best_checkpoints,
)

PATIENCE_2 = Namespace(checkpoint=Namespace(patience=2, maximize_best_checkpoint_metric=False))


@pytest.fixture(autouse=True)
def nothing_remembered():
    restart_best_score()
    yield
    restart_best_score()


def test_fairseq_1302_worse_scores_count_as_best_after_the_vote():
    """facebookresearch/fairseq#1302: the earlier, better score of the unpruned model is not kept."""
    assert not fairseq_train.should_stop_early(PATIENCE_2, 1.0)
    assert not fairseq_train.should_stop_early(PATIENCE_2, 5.0)  # one run without improvement
    checkpoint_utils.save_checkpoint.best = 1.0
    restart_best_score()
    assert not hasattr(checkpoint_utils.save_checkpoint, "best")
    assert not fairseq_train.should_stop_early(PATIENCE_2, 5.0)
    assert not fairseq_train.should_stop_early(PATIENCE_2, 6.0)
    assert fairseq_train.should_stop_early(PATIENCE_2, 6.0)  # patience counts from the vote


def test_a_plateau_is_looked_for_anew_by_the_scheduler_of_the_optimizer():
    optimizers = [torch.optim.SGD([torch.zeros(1)], lr=1.0) for _ in range(2)]
    schedulers = [torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0) for optimizer in optimizers]
    for scheduler in schedulers:
        scheduler.step(1.0)
    restart_plateau(Namespace(optimizer=optimizers[0]))
    for scheduler in schedulers:
        scheduler.step(5.0)
    assert [optimizer.param_groups[0]["lr"] for optimizer in optimizers] == [1.0, pytest.approx(0.1)]


def test_patience_goes_on_after_a_restart_where_it_was():
    assert patience_state() == {}
    fairseq_train.should_stop_early(PATIENCE_2, 1.0)
    fairseq_train.should_stop_early(PATIENCE_2, 2.0)
    state = patience_state()
    assert state == {"best": 1.0, "num_runs": 1}
    restart_best_score()  # a new process remembers nothing
    restore_patience(state)
    assert fairseq_train.should_stop_early(PATIENCE_2, 3.0)


def test_best_checkpoints_of_the_unpruned_model_are_set_aside(tmp_path):
    for name in ("checkpoint_best.pt", "checkpoint.best_loss_4.2.pt", "checkpoint_last.pt", "checkpoint3.pt"):
        (tmp_path / name).write_text(name)
    for _ in range(2):  # a vote that is repeated after a kill renames what is left, and no more
        set_aside_best_checkpoints(str(tmp_path))
        assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
            "before_vote.checkpoint_best.pt": "checkpoint_best.pt",
            "before_vote.checkpoint.best_loss_4.2.pt": "checkpoint.best_loss_4.2.pt",
            "checkpoint_last.pt": "checkpoint_last.pt",
            "checkpoint3.pt": "checkpoint3.pt",
        }


def test_one_worker_of_several_renames(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    for rank, name in ((1, "checkpoint_best.pt"), (0, "before_vote.checkpoint_best.pt")):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        (tmp_path / "checkpoint_best.pt").touch()
        set_aside_best_checkpoints(str(tmp_path))
        assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_was_set_aside_before_stays(tmp_path):
    for number in (1, 2, 3):
        (tmp_path / "checkpoint_best.pt").write_text(f"vote {number}")
        set_aside_best_checkpoints(str(tmp_path))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "before_vote.checkpoint_best.pt": "vote 1",
        "before_vote.2.checkpoint_best.pt": "vote 2",
        "before_vote.3.checkpoint_best.pt": "vote 3",
    }
