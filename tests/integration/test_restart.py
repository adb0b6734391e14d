"""Stopped or killed and started again with the same command: as if never stopped.

tests/kill_and_resume.py does the same at many more moments; it is run by hand.
"""

import re
import shutil
import signal
import subprocess

import pytest
import torch
from commands import REPOSITORY, environment, same_weights, train, train_command

from fairseq_ghat.checkpoints.files import read_checkpoint
from fairseq_ghat.pruning.slimming import kept_heads_in_checkpoint


def last(save_dir):
    return read_checkpoint(save_dir / "checkpoint_last.pt")["model"]


def valid_losses(log):
    return re.findall(r"\| valid \| (epoch \d+) .*?\| loss ([\d.]+)", log)


def test_stopped_with_another_seed_for_each_start(corpus, tmp_path):
    """--update-ordered-indices-seed takes the seed of the batches from the epoch that a run starts at."""
    train(corpus, tmp_path / "whole", "--max-epoch 2 --update-ordered-indices-seed")
    (tmp_path / "parts").mkdir()
    shutil.copy(tmp_path / "whole/checkpoint1.pt", tmp_path / "parts/checkpoint_last.pt")
    train(corpus, tmp_path / "parts", "--max-epoch 2 --update-ordered-indices-seed")
    assert same_weights(last(tmp_path / "parts"), last(tmp_path / "whole"))


@pytest.mark.parametrize("stopped_after", [1, 2, 3])
def test_stopped_between_epochs(corpus, voted_run, tmp_path, stopped_after):
    """Before the vote, right before it, and after it: the same batches, losses and weights to the last bit."""
    save_dir, log = voted_run
    for epoch in range(1, stopped_after + 1):
        shutil.copy(save_dir / f"checkpoint{epoch}.pt", tmp_path / "checkpoint_last.pt")
    resumed = train(corpus, tmp_path, "--max-epoch 4 --vote-epoch 3 --group-loss-scale 0.5")
    assert valid_losses(resumed) == valid_losses(log)[stopped_after:]
    assert ("keeps heads" in resumed) == (stopped_after < 3)
    assert same_weights(last(tmp_path), last(save_dir))


def test_stopped_within_epochs(corpus, tmp_path):
    """Checkpoints within epoch 2 (before the vote) and 3 (after it)."""
    options = "--vote-epoch 3 --group-loss-scale 0.5 --max-epoch 4 --save-interval-updates 4"
    whole = train(corpus, tmp_path / "whole", options)
    for name in ("checkpoint_2_8.pt", "checkpoint_3_16.pt"):
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(tmp_path / "whole" / name, folder / "checkpoint_last.pt")
        resumed = train(corpus, folder, options)
        assert valid_losses(resumed) == valid_losses(whole)[-len(valid_losses(resumed)) :]
        assert ("keeps heads" in resumed) == (name == "checkpoint_2_8.pt")
        assert same_weights(last(folder), last(tmp_path / "whole")), name


def test_history_of_hidden_units_survives(corpus, tmp_path):
    """--vote-tolerance: stopped within epoch 2, the vote comes at the same epoch from the same changes."""
    options = "--vote-tolerance 0.5 --max-epoch 5 --save-interval-updates 4"
    whole = train(corpus, tmp_path / "whole", options)
    changes = re.findall(r"hidden units: largest relative change (.*)", whole)
    assert len(changes) >= 2 and "vote: begins before epoch" in whole
    (tmp_path / "parts").mkdir()
    shutil.copy(tmp_path / "whole" / "checkpoint_2_8.pt", tmp_path / "parts" / "checkpoint_last.pt")
    resumed = train(corpus, tmp_path / "parts", options)
    assert re.findall(r"hidden units: largest relative change (.*)", resumed) == changes
    begins = [re.findall(r"vote: begins before epoch \d+", log) for log in (whole, resumed)]
    assert begins[0] == begins[1] != []
    assert same_weights(last(tmp_path / "parts"), last(tmp_path / "whole"))


def test_patience_counts_on(corpus, tmp_path):
    """Scores that never improve (learning rate 0): stopped after one bad epoch, the run ends where it would have."""
    options = "--patience 3 --lr 0 --warmup-updates 0 --lr-scheduler fixed --max-epoch 9"
    whole = train(corpus, tmp_path / "whole", options)
    assert len(valid_losses(whole)) == 4 and "hasn't improved for last 3 runs" in whole
    (tmp_path / "parts").mkdir()
    shutil.copy(tmp_path / "whole" / "checkpoint2.pt", tmp_path / "parts" / "checkpoint_last.pt")
    resumed = train(corpus, tmp_path / "parts", options)
    assert [epoch for epoch, _ in valid_losses(resumed)] == ["epoch 003", "epoch 004"]


def test_patience_starts_anew_where_the_best_score_does(corpus, voted_run, tmp_path):
    """Under --reset-optimizer, which fairseq demands where the criterion changes, the old best does not count."""
    for kind, further in (("goes on", ""), ("afresh", "--reset-optimizer")):
        folder = tmp_path / kind.replace(" ", "_")
        folder.mkdir()
        state = read_checkpoint(voted_run[0] / "checkpoint2.pt")
        state["extra_state"]["best"] = 0.5  # out of reach
        state["task_state"]["voting_to_stay"]["patience"] = {"best": 0.5, "num_runs": 0}
        torch.save(state, folder / "checkpoint_last.pt")
        log = train(corpus, folder, f"--group-loss-scale 0.5 --patience 1 --max-epoch 4 {further}")
        assert len(valid_losses(log)) == (2 if further else 1)


def test_a_trial_without_saving_renames_nothing(corpus, tmp_path):
    (tmp_path / "checkpoint_best.pt").write_text("of another run")
    train(corpus, tmp_path, "--vote-epoch 1 --max-epoch 1 --no-save --disable-validation")
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint_best.pt"]


@pytest.mark.parametrize("line", ["vote: begins before epoch 3", "vote: done"])
def test_killed_at_the_vote(corpus, voted_run, tmp_path, line):
    """SIGKILL while the heads vote, and before the first checkpoint after it: the vote is repeated."""
    save_dir, log = voted_run
    command = train_command(corpus, tmp_path, "--max-epoch 4 --vote-epoch 3 --group-loss-scale 0.5")
    process = subprocess.Popen(
        command, cwd=REPOSITORY, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    for printed in process.stdout:
        if line in printed:
            process.kill()
            break
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    assert not any(
        len(heads) < 8 for heads in kept_heads_in_checkpoint(read_checkpoint(tmp_path / "checkpoint_last.pt")).values()
    )
    resumed = train(corpus, tmp_path, "--max-epoch 4 --vote-epoch 3 --group-loss-scale 0.5")
    assert valid_losses(resumed) == valid_losses(log)[2:]
    assert same_weights(last(tmp_path), last(save_dir))


def test_fairseq_2684_truncated_last_checkpoint_says_how_to_go_on(corpus, voted_run, tmp_path):
    """facebookresearch/fairseq#2684: killed while fairseq copied checkpoint3.pt to checkpoint_last.pt."""
    save_dir, log = voted_run
    for epoch in (1, 2, 3):
        shutil.copy(save_dir / f"checkpoint{epoch}.pt", tmp_path)
    (tmp_path / "checkpoint_last.pt").write_bytes((tmp_path / "checkpoint3.pt").read_bytes()[:20000])
    options = "--max-epoch 4 --vote-epoch 3 --group-loss-scale 0.5"
    refused = train(corpus, tmp_path, options, check=False)
    recovery = re.search(r"checkpoint_last.pt: cannot be read .*Newest whole checkpoint: `cp (\S+) (\S+)`", refused)
    assert recovery.group(1).endswith("/checkpoint3.pt")
    shutil.copy(*recovery.groups())
    resumed = train(corpus, tmp_path, options)
    assert valid_losses(resumed) == valid_losses(log)[3:]
    assert same_weights(last(tmp_path), last(save_dir))


@pytest.mark.parametrize(
    "options,reason",
    [
        ("--vote-epoch 3 --max-update 8", "--vote-epoch 3 was not reached, the last epoch was 2"),
        (
            "--vote-tolerance 1e-9",
            r"the last change of the hidden units, [\d.]+ \(\S+\), was not under --vote-tolerance 1e-09",
        ),
        ("--vote-tolerance 0.5 --max-update 8", "--vote-tolerance compares two whole epochs, and there were none"),
    ],
)
def test_training_that_ends_without_a_vote_says_why(corpus, tmp_path, options, reason):
    log = train(corpus, tmp_path, "--max-epoch 3 --no-save", options)
    assert re.search(f"vote: training ended without a vote, all heads are still there: {reason}", log)


def test_a_finished_training_that_is_to_vote_now_says_why_it_does_not(corpus, voted_run, tmp_path):
    shutil.copy(voted_run[0] / "checkpoint2.pt", tmp_path / "checkpoint_last.pt")
    log = train(corpus, tmp_path, "--max-epoch 2 --vote-epoch 2 --group-loss-scale 0.5 --no-save")
    assert "all heads are still there: no epoch began, as where --max-epoch 2 is over; vote with ghat-vote" in log


def test_training_that_ends_with_its_vote_says_nothing_of_the_kind(voted_run):
    assert "ended without a vote" not in voted_run[1]
