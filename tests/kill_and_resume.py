"""Kills a run at many moments with SIGKILL and starts it again with the same command; run by hand.

    python tests/kill_and_resume.py [FOLDER]

Every run must end with the heads, the validation losses and the weights of one that was never killed. Where the kill
left a truncated checkpoint, the error must name the file and a command that recovers, which is then run.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from commands import REPOSITORY, environment, preprocess_toy_corpus, same_weights, train_command

from fairseq_ghat.checkpoints.files import read_checkpoint
from fairseq_ghat.pruning.slimming import kept_heads_in_checkpoint

# A wide feed-forward layer makes checkpoints large enough for a kill to hit the middle of writing one.
OPTIONS = (
    "--max-epoch 4 --vote-epoch 3 --refit output --encoder-ffn-embed-dim 8192 --decoder-ffn-embed-dim 8192 "
    "--save-interval-updates 4"
)
# Line of the log to wait for, how often it comes before that, and seconds to wait after it.
KILL_POINTS = [
    ("Start iterating over samples", 0, 0.0),
    ("Start iterating over samples", 0, 0.15),
    ("Saving checkpoint to", 0, 0.0),
    ("Saving checkpoint to", 0, 0.03),
    ("Finished saving checkpoint", 0, 0.0),
    ("Finished saving checkpoint", 1, 0.0),
    ("Finished saving checkpoint", 1, 0.004),
    ("Finished saving checkpoint", 1, 0.012),
    ("begin training epoch 2", 0, 0.1),
    ("Finished saving checkpoint", 3, 0.004),
    ("Finished saving checkpoint", 3, 0.02),
    ("begin training epoch 3", 0, 0.0),
    ("vote: begins before epoch 3", 0, 0.0),
    ("vote: begins before epoch 3", 0, 0.05),
    ("vote: begins before epoch 3", 0, 0.1),
    ("batches=5", 0, 0.0),
    ("vote: encoder.layers.0.self_attn keeps", 0, 0.0),
    ("vote: decoder.layers.1.encoder_attn keeps", 0, 0.0),
    ("is now before_vote", 0, 0.0),
    ("vote: done", 0, 0.0),
    ("vote: done", 0, 0.1),
    ("Saving checkpoint to", 4, 0.02),
    ("Finished saving checkpoint", 4, 0.0),
    ("Finished saving checkpoint", 4, 0.008),
    ("Finished saving checkpoint", 5, 0.004),
    ("Finished saving checkpoint", 5, 0.016),
    ("begin training epoch 4", 0, 0.1),
    ("Finished saving checkpoint", 7, 0.006),
]


def start_and_kill(command, line, before, seconds) -> bool:
    """Runs the command until `seconds` after the (before + 1)-th such line, then kills it; False if it ended first."""
    process = subprocess.Popen(
        command, cwd=REPOSITORY, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    seen = 0
    for printed in process.stdout:
        seen += line in printed
        if seen > before:
            time.sleep(seconds)
            process.kill()
            break
    process.wait()
    process.stdout.close()
    return process.returncode == -9


def run_to_the_end(command):
    """Runs the command, recovering as its message says if a checkpoint is truncated; returns how often."""
    recoveries = 0
    while True:
        done = subprocess.run(command, cwd=REPOSITORY, env=environment(), capture_output=True, text=True)
        log = done.stdout + done.stderr
        if done.returncode == 0:
            return recoveries
        # Not the line of source that a traceback shows, which has braces for the names.
        recovery = re.search(r"Newest whole checkpoint: `cp ([^\s{]+) ([^\s{]+)` goes on from it", log)
        if not recovery or recoveries:
            raise SystemExit(f"the run could not go on:\n{log[-3000:]}")
        shutil.copyfile(*recovery.groups())
        recoveries += 1


def outcome(save_dir):
    """Kept heads, final validation loss, and weights, from the last checkpoint of a finished run."""
    state = read_checkpoint(Path(save_dir) / "checkpoint_last.pt")
    assert state["extra_state"]["train_iterator"]["epoch"] == 5, "the run is not finished"
    weights = {name: value.clone() for name, value in state["model"].items()}
    return kept_heads_in_checkpoint(state), state["extra_state"]["val_loss"], weights


def main(folder) -> int:
    data = preprocess_toy_corpus(Path(folder))
    whole = train_command(data, f"{folder}/whole", OPTIONS)
    run_to_the_end(whole)
    heads, loss, weights = outcome(f"{folder}/whole")
    failures = 0
    for number, (line, before, seconds) in enumerate(KILL_POINTS, start=1):
        save_dir = Path(folder) / "killed"
        shutil.rmtree(save_dir, ignore_errors=True)
        command = train_command(data, save_dir, OPTIONS)
        killed = start_and_kill(command, line, before, seconds)
        recoveries = run_to_the_end(command)
        found_heads, found_loss, found_weights = outcome(save_dir)
        same = (found_heads == heads, found_loss == loss, same_weights(found_weights, weights))
        failures += not (killed and all(same))
        print(
            f"{number:2d}. {seconds:5.3f} s after {before + 1}. '{line}': {'killed' if killed else 'NOT KILLED'}, "
            f"{recoveries} recovered; heads, loss, weights the same: {', '.join(map(str, same))}",
            flush=True,
        )
    print(f"{len(KILL_POINTS)} kill points, {failures} failures; loss {loss}")
    return int(failures > 0)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(main(sys.argv[1]))
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(main(temporary))
