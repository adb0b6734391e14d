"""Runs fairseq's and our commands in fresh processes, with the options of a toy model."""

import os
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]

# Small enough for seconds, large enough that a vote has several batches of unequal lengths.
MODEL = (
    "--encoder-layers 2 --decoder-layers 2 --encoder-embed-dim 32 --decoder-embed-dim 32 "
    "--encoder-ffn-embed-dim 64 --decoder-ffn-embed-dim 64 "
    "--encoder-attention-heads 8 --decoder-attention-heads 8 --share-all-embeddings"
)
TRAIN = (
    "--optimizer adam --lr 0.005 --lr-scheduler inverse_sqrt --warmup-updates 10 --dropout 0.1 "
    "--max-tokens 400 --seed 1 --cpu --log-format simple --log-interval 5 --num-workers 0"
)
GROUPED = (
    "--task translation_v2s --arch ghat_transformer "
    "--criterion group_constrained_label_smoothed_cross_entropy --label-smoothing 0.1 --head-groups 2"
)


def run(command, check=True, **env):
    """Runs a command line of fairseq's or ours in a fresh process; returns what it printed."""
    words = command.split() if isinstance(command, str) else list(command)
    words[0] = str(Path(sys.executable).with_name(words[0]))
    done = subprocess.run(
        words,
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1", **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        input=env.get("STDIN"),
    )
    if check:
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-6000:]}"
    else:
        assert done.returncode != 0, f"{' '.join(words)} was expected to fail"
    return done.stdout


def train(data, save_dir, *options, check=True):
    """fairseq-train on the toy corpus with the grouped model, unless options say otherwise."""
    return run(
        f"fairseq-train {data} --user-dir fairseq_ghat --save-dir {save_dir} {GROUPED} {MODEL} {TRAIN} "
        + " ".join(str(option) for option in options),
        check=check,
    )


def hypotheses(log):
    """Lines H-n of a fairseq-generate log: score and text by sentence number."""
    found = re.findall(r"^H-(\d+)\t(\S+)\t(.*)$", log, re.MULTILINE)
    return {int(number): (float(score), text) for number, score, text in found}
