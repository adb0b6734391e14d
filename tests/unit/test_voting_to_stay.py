"""When the vote may happen, and what fairseq forgets after it."""

from argparse import Namespace

import pytest
from fairseq import checkpoint_utils
from fairseq_cli import train as fairseq_train

from fairseq_ghat.tasks.best_score import restart_best_score
from fairseq_ghat.tasks.voting_schedule import VotingToStayConfig, check_schedule


def schedule(**options):
    """Options of the vote with their defaults, as fairseq fills them in."""
    return VotingToStayConfig(**{"max_epoch": 0, "ddp_backend": "pytorch_ddp", **options})


@pytest.mark.parametrize("vote_epoch,max_epoch", [(None, 3), (1, 3), (3, 3), (7, 0)])
def test_possible_schedules(vote_epoch, max_epoch):
    check_schedule(schedule(vote_epoch=vote_epoch, max_epoch=max_epoch))


@pytest.mark.parametrize(
    "vote_epoch,max_epoch,message",
    [
        (0, 3, "--vote-epoch 0: allowed is 1 to --max-epoch 3"),
        (4, 3, "--vote-epoch 4: allowed is 1 to --max-epoch 3"),
        (-1, 0, "--vote-epoch -1: allowed is 1 or later"),
    ],
)
def test_impossible_schedules_are_refused(vote_epoch, max_epoch, message):
    with pytest.raises(ValueError, match=message):
        check_schedule(schedule(vote_epoch=vote_epoch, max_epoch=max_epoch))


def test_worse_scores_count_as_best_after_the_restart():
    """facebookresearch/fairseq#1302."""
    cfg = Namespace(checkpoint=Namespace(patience=2, maximize_best_checkpoint_metric=False))
    restart_best_score()
    try:
        assert not fairseq_train.should_stop_early(cfg, 1.0)
        assert not fairseq_train.should_stop_early(cfg, 5.0)  # one run without improvement
        checkpoint_utils.save_checkpoint.best = 1.0
        restart_best_score()
        assert not hasattr(checkpoint_utils.save_checkpoint, "best")
        assert not fairseq_train.should_stop_early(cfg, 5.0)
        assert not fairseq_train.should_stop_early(cfg, 6.0)
        assert fairseq_train.should_stop_early(cfg, 6.0)  # patience counts from the vote
    finally:
        restart_best_score()
