"""Runs fairseq's and our commands in fresh processes, with the options of a toy model."""

import os
import random
import re
import shlex
import subprocess
import sys
import tempfile
from importlib import import_module
from itertools import takewhile
from pathlib import Path

import pytest
import torch
from forked_scripts import run_script

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
# Vocabulary and criterion of a language model on the toy text.
ADAPTIVE = (
    "--adaptive-softmax-cutoff 10,20 --adaptive-input --adaptive-input-cutoff 10,20 --tie-adaptive-weights "
    "--criterion group_constrained_adaptive_loss --ddp-backend legacy_ddp"
)


def run(command, check=True, **env):
    """Runs a command line of fairseq's or ours in a process of its own; returns what it printed."""
    words = command.split() if isinstance(command, str) else list(command)
    if words[0] == "python":
        words = words[1:]
    else:
        words[0] = str(Path(sys.executable).with_name(words[0]))
    with tempfile.TemporaryDirectory() as folder:
        stdin, output = Path(folder, "in"), Path(folder, "out")
        stdin.write_text(env.get("STDIN", ""), encoding="utf-8")
        if words[0] == "-c":
            script = Path(folder, "script.py")
            script.write_text(words[1], encoding="utf-8")
            words = [str(script), *words[2:]]
        output.touch()
        status = run_script(words, REPOSITORY, {**environment(), **env}, stdin, output)
        printed = output.read_text(encoding="utf-8")
    if check:
        assert status == 0, f"{' '.join(words)}\n{printed[-6000:]}"
    else:
        assert status != 0, f"{' '.join(words)} was expected to fail"
    return printed


def refusal_of(main, arguments, capsys):
    """What a command prints that must end with status 2; run in this process, which has torch imported."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert ended.value.code == 2
    return "".join(capsys.readouterr())


def refusal(command, capsys):
    """The same of the command line of a ghat- command."""
    name, *arguments = command.split()
    return refusal_of(import_module(f"fairseq_ghat.cli.{name[len('ghat-') :]}").main, arguments, capsys)


def shown_commands(printed):
    """The command lines that a dry run printed, in words as a shell splits them, without redirections."""
    commands = []
    for block in printed.strip().split("\n\n"):
        text = "\n".join(line for line in block.splitlines() if not line.startswith(("#", "mkdir ")))
        words = shlex.split(text.replace("\\\n", ""))
        commands.append(list(takewhile(lambda word: word not in (">", ">>"), words)))
    return commands


def environment():
    """For processes that share the machine with others: one thread each."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def train_command(data, save_dir, *options):
    """Command line of fairseq-train on the toy corpus with the grouped model, unless options say otherwise."""
    return [
        str(Path(sys.executable).with_name("fairseq-train")),
        *f"{data} --user-dir fairseq_ghat --save-dir {save_dir} {GROUPED} {MODEL} {TRAIN}".split(),
        *" ".join(str(option) for option in options).split(),
    ]


def train(data, save_dir, *options, check=True, **env):
    """Runs train_command; returns what it printed."""
    return run(["fairseq-train", *train_command(data, save_dir, *options)[1:]], check=check, **env)


def preprocess_toy_corpus(folder):
    """Binarised toy corpus: the target is the source reversed with every word renamed. Returns its folder."""
    rng = random.Random(5)
    for split, count in (("train", 240), ("valid", 40), ("test", 24)):
        with open(folder / f"{split}.xx", "w") as source, open(folder / f"{split}.yy", "w") as target:
            for _ in range(count):
                words = [rng.randrange(20) for _ in range(rng.randrange(2, 12))]
                source.write(" ".join(f"a{w}" for w in words) + "\n")
                target.write(" ".join(f"b{w}" for w in reversed(words)) + "\n")
    run(
        f"fairseq-preprocess -s xx -t yy --joined-dictionary --destdir {folder}/bin "
        f"--trainpref {folder}/train --validpref {folder}/valid --testpref {folder}/test"
    )
    return folder / "bin"


def preprocess_toy_text(folder):
    """Binarised toy text, each word one of three that may follow the one before. Returns its folder."""
    rng = random.Random(3)
    for split, count in (("train", 400), ("valid", 60), ("test", 60)):
        with open(folder / f"{split}.txt", "w") as lines:
            for _ in range(count):
                words = [rng.randrange(20)]
                for _ in range(rng.randrange(3, 14)):
                    words.append((3 * words[-1] + rng.randrange(3)) % 20)
                lines.write(" ".join(f"w{word}" for word in words) + "\n")
    run(
        f"fairseq-preprocess --only-source --destdir {folder}/bin --trainpref {folder}/train.txt "
        f"--validpref {folder}/valid.txt --testpref {folder}/test.txt"
    )
    return folder / "bin"


def train_language_model(data, save_dir, *options, check=True):
    """fairseq-train on the toy text with a grouped language model, unless options say otherwise."""
    command = (
        f"fairseq-train {data} --user-dir fairseq_ghat --save-dir {save_dir} --task language_modeling_v2s "
        "--arch ghat_transformer_lm_tiny --criterion group_constrained_cross_entropy --head-groups 2 "
        f"--tokens-per-sample 32 {TRAIN} --max-tokens 256 "
    )
    return run(command + " ".join(str(option) for option in options), check=check)


def train_on_workers(data, save_dir, *options, workers=2):
    """The same as train, by several processes on the CPU; returns their logs."""
    # They meet in a file: another process may take a port that was found free.
    with tempfile.TemporaryDirectory() as folder:
        distributed = (
            "--ddp-backend legacy_ddp --distributed-backend gloo --distributed-no-spawn "
            f"--distributed-world-size {workers} --distributed-init-method file://{folder}/meeting"
        )
        command = train_command(data, save_dir, distributed, *options)
        running = [
            subprocess.Popen(
                [*command, "--distributed-rank", str(rank)],
                cwd=REPOSITORY,
                env=environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank in range(workers)
        ]
        try:
            logs = [process.communicate(timeout=300)[0] for process in running]
        finally:
            for process in running:
                process.kill()
    for process, log in zip(running, logs):
        assert process.returncode == 0, log[-6000:]
    return logs


def generated(data, checkpoint, *options):
    """Log of fairseq-generate, by default on the test split."""
    return run(
        f"fairseq-generate {data} --user-dir fairseq_ghat --path {checkpoint} --beam 4 --batch-size 8 "
        "--required-batch-size-multiple 1 --cpu " + " ".join(options)
    )


def evaluated(data, checkpoint, subset="valid", window=0, task="language_modeling_v2s", check=True):
    """Log of fairseq-eval-lm, on blocks of 32 tokens."""
    return run(
        f"python scripts/with_log.py fairseq-eval-lm {data} --user-dir fairseq_ghat --task {task} "
        f"--path {checkpoint} --gen-subset {subset} --tokens-per-sample 32 --context-window {window} "
        "--max-tokens 256 --cpu",
        check=check,
    )


def same_weights(first, second):
    """Whether two model state dicts are equal to the last bit; fairseq 0.12.2 saves one number it never sets."""
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items() if not name.endswith("_float_tensor")
    )


def hypotheses(log):
    """Lines H-n of a fairseq-generate log: score and text by sentence number."""
    lines = re.findall(r"^H-(\d+)\t(\S+)\t(.*)$", log, re.MULTILINE)
    return {int(number): (float(score), text) for number, score, text in lines}
