"""When the vote may happen, and which options are refused."""

import pytest

from fairseq_ghat.modules.grouped_attention import GroupedAttention
from fairseq_ghat.training.schedule import (
    VotingToStayConfig,
    check_removable,
    check_schedule,
    choice_by_gradients,
    is_due,
)


def schedule(**options):
    """Options of the vote with their defaults, as fairseq fills them in."""
    from_fairseq = {"max_epoch": 0, "ddp_backend": "pytorch_ddp", "store_ema": False, "ema_fp32": False}
    from_fairseq.update(zero_sharding="none", use_bmuf=False, quantization_config_path=None)
    return VotingToStayConfig(**{**from_fairseq, **options})


@pytest.mark.parametrize("vote_epoch,max_epoch", [(None, 3), (1, 3), (3, 3), (7, 0)])
def test_possible_schedules(vote_epoch, max_epoch):
    check_schedule(schedule(vote_epoch=vote_epoch, max_epoch=max_epoch))


@pytest.mark.parametrize(
    "options,message",
    [
        ({"vote_epoch": 0, "max_epoch": 3}, "--vote-epoch 0: allowed is 1 to --max-epoch 3"),
        ({"vote_epoch": 4, "max_epoch": 3}, "--vote-epoch 4: allowed is 1 to --max-epoch 3"),
        ({"vote_epoch": -1, "max_epoch": 0}, "--vote-epoch -1: allowed is 1 or later"),
        ({"vote_tolerance": 0.0}, "--vote-tolerance 0.0: allowed is a number > 0"),
        ({"vote_tolerance": float("nan")}, "--vote-tolerance nan: allowed is a number > 0"),
        ({"vote_tolerance": 0.1, "max_epoch": 2}, "allowed is --max-epoch 3 or more, found 2"),
        ({"keep_heads": "random"}, "--keep-heads random: allowed only with --vote-epoch or --vote-tolerance"),
        ({"constrain_stage": "both"}, "--constrain-stage both: allowed only with --vote-epoch or --vote-tolerance"),
        ({"vote_by": "score"}, "--vote-by score: allowed only with --vote-epoch or --vote-tolerance"),
        ({"refit": "none"}, "--refit none: allowed only with --vote-epoch or --vote-tolerance"),
        ({"keep_neurons": "fisher"}, "--keep-neurons fisher: allowed only with --vote-epoch or --vote-tolerance"),
        ({"vote_epoch": 2, "keep_neurons": "fisher"}, "--keep-neurons fisher: allowed only with --ffn-neurons, --bu"),
        ({"vote_epoch": 2, "keep_heads": "l1", "vote_by": "score"}, "--vote-by score: not with --keep-heads l1"),
        ({"vote_heads": 2}, "--vote-heads 2: allowed only with --vote-epoch or --vote-tolerance"),
        ({"gate_lr": 0.1}, "--gate-lr 0.1: allowed only with --vote-epoch or --vote-tolerance"),
        ({"max_error": 0.1}, "--max-error 0.1: allowed only with --vote-epoch or --vote-tolerance"),
        ({"vote_epoch": 2, "select_batches": 0}, "--select-batches 0: allowed is 1 or more"),
        ({"vote_epoch": 2, "keep_heads": "l0", "gate_lr": -1.0}, "--gate-lr -1.0: allowed is a number > 0"),
        ({"vote_epoch": 2, "gate_lr": 0.1}, "--gate-lr 0.1: allowed only with --keep-heads l0 or subset"),
        ({"vote_epoch": 2, "keep_heads": "all", "vote_heads": 3}, "--vote-heads 3: not with --keep-heads all"),
        ({"vote_epoch": 2, "remove_sublayers": True}, "--remove-sublayers: allowed only with --vote-budget model"),
        ({"vote_epoch": 2, "vote_budget": "model"}, "--vote-budget model: not with --keep-heads pillars"),
        (
            {"vote_epoch": 2, "vote_budget": "model", "keep_heads": "random-in-group"},
            "--vote-budget model: not with --keep-heads random-in-group",
        ),
        ({"ddp_backend": "fully_sharded"}, "--ddp-backend fully_sharded: not with grouped attention"),
        ({"vote_epoch": 2, "store_ema": True, "ema_fp32": True}, "--ema-fp32: not with a vote"),
        ({"vote_epoch": 2, "ddp_backend": "slowmo"}, "--ddp-backend slowmo: not with a vote"),
        ({"vote_epoch": 2, "zero_sharding": "os"}, "--zero-sharding os: not with a vote"),
        ({"vote_epoch": 2, "use_bmuf": True}, "--use-bmuf: not with a vote"),
        (
            {"vote_epoch": 2, "quantization_config_path": "pq.yaml"},
            "--quantization-config-path pq.yaml: not with a vote",
        ),
    ],
)
def test_options_that_cannot_work_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        check_schedule(schedule(**options))


@pytest.mark.parametrize(
    "options,due",
    [
        ({}, []),
        ({"vote_epoch": 3}, [3, 4]),
        ({"vote_tolerance": 0.1}, [4]),
        ({"vote_tolerance": 0.1, "vote_epoch": 4}, [4]),
        ({"vote_tolerance": 0.3}, [3, 4]),
        ({"vote_tolerance": 0.3, "vote_epoch": 4}, [4]),
    ],
)
def test_epochs_at_which_a_vote_is_due(options, due):
    """Change of the hidden units known at the beginning of epochs 1 to 4: none, none, 0.2, 0.05."""
    changes = {1: None, 2: None, 3: 0.2, 4: 0.05}
    assert [epoch for epoch, change in changes.items() if is_due(schedule(**options), epoch, change)] == due


def layers(heads, others=None):
    """Attention layers by name: the first with that many heads, the second perhaps with more."""
    counts = {"first": others or heads, "second": heads}
    return {name: GroupedAttention(8 * n, n, self_attention=True) for name, n in counts.items()}


def test_vote_that_could_remove_nothing_is_refused():
    check_removable(schedule(vote_epoch=2), layers(8), 7)
    check_removable(schedule(), layers(8), 8)
    check_removable(schedule(vote_epoch=2, keep_heads="all"), layers(8), 8)
    with pytest.raises(ValueError, match="--head-groups 8 with a vote: .*removes none of 8 heads; allowed is 1 to 7"):
        check_removable(schedule(vote_epoch=2), layers(8), 8)
    with pytest.raises(ValueError, match="--head-groups 4 with a vote: "):
        check_removable(schedule(vote_tolerance=0.1), layers(4, others=8), 4)


@pytest.mark.parametrize(
    "options,message",
    [
        ({"vote_heads": 3}, "--vote-heads 3: --keep-heads pillars keeps one head of each group; allowed is 2"),
        ({"keep_heads": "l1", "vote_heads": 8}, "--vote-heads 8: .*allowed is 1 to 7"),
        ({"keep_heads": "l1", "vote_heads": 0}, "--vote-heads 0: .*allowed is 1 to 7"),
        (
            {"keep_heads": "l1", "vote_heads": 8, "vote_budget": "model"},
            "--vote-heads 8: .*on average: allowed is 1 to 7",
        ),
        (
            {"keep_heads": "l1", "vote_heads": 1, "constrain_stage": "both"},
            "--constrain-stage both: the heads that stay must still form --head-groups 2 groups",
        ),
        (
            {"keep_heads": "l1", "vote_heads": 4, "vote_budget": "model", "constrain_stage": "2"},
            "--constrain-stage 2: the heads that stay must still form",
        ),
    ],
)
def test_budgets_that_do_not_fit_the_model_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        check_removable(schedule(vote_epoch=2, **options), layers(8), 2)


def test_budgets_that_fit():
    for options in (
        {"vote_heads": 2},
        {"keep_heads": "l1"},
        {"keep_heads": "l1", "vote_heads": 7},
        {"keep_heads": "l1", "vote_heads": 7, "vote_budget": "model", "remove_sublayers": True},
        {"keep_heads": "l1", "vote_heads": 4, "constrain_stage": "both"},
        {"keep_heads": "l1", "vote_heads": 2, "constrain_stage": "both"},
        {"store_ema": True},
    ):
        check_schedule(schedule(vote_epoch=2, **options))
        check_removable(schedule(vote_epoch=2, **options), layers(8), 2)


def test_gradients_are_asked_for_where_a_vote_needs_them():
    assert choice_by_gradients(schedule(vote_epoch=2, keep_heads="gradient")) == "--keep-heads gradient"
    neurons = {"keep_heads": "all", "ffn_neurons": "0.5", "keep_neurons": "fisher"}
    assert choice_by_gradients(schedule(vote_epoch=2, **neurons)) == "--keep-neurons fisher"
    for options in ({"keep_heads": "gradient"}, {"vote_epoch": 2}, {"vote_epoch": 2, "keep_heads": "all"}):
        assert choice_by_gradients(schedule(**options)) is None
