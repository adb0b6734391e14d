"""The command lines of a comparison: training on, vote, fine-tuning, measuring."""

from pathlib import Path
from typing import List

from experiments.comparison.plan import DIVERSITY, GCT, PLAIN, Comparison, Measured, Pruned, Start
from experiments.recipes.commands import Command

# What a start is trained on with, beside the options that were given.
_CONSTRAINT = {PLAIN: ["--group-loss-scale", "0"], GCT: [], DIVERSITY: ["--group-alpha", "0", "--group-beta", "1"]}


def continue_training(what: Comparison, start: Start) -> Command:
    """The checkpoint trained on, with the constraint of its start. Every start has the same seed."""
    constraint = list(_CONSTRAINT[start.kind])
    if start.groups:
        constraint += ["--head-groups", str(start.groups)]
    return _train(
        what,
        f"{start.title}: trained on",
        Path(what.checkpoint),
        start.folder,
        what.continue_epochs,
        what.seeds[0],
        constraint,
    )


def vote(what: Comparison, one: Pruned) -> Command:
    program = ["ghat-vote", str(one.start.model.checkpoint), what.data, str(one.voted.checkpoint)]
    # Ours come last, so that they hold.
    choice = ["--select", one.method, "--vote-heads", str(one.keep), "--vote-budget", what.budget]
    options = [("", list(what.vote)), ("", [*choice, "--refit", one.refit, "--seed", str(one.seed), *_machine(what)])]
    return Command(f"{one.described}: vote", program, options, log=one.folder / "vote.log")


def fine_tune(what: Comparison, one: Pruned) -> Command:
    stage = f"{one.described}: fine-tuning"
    return _train(what, stage, one.voted.checkpoint, one.tuned.checkpoint.parent, what.epochs, one.seed)


def measure(what: Comparison, model: Measured, stage: str) -> Command:
    """Translations of the split, or perplexity."""
    if not what.translates:
        program = ["ghat-perplexity", what.data, str(model.checkpoint)]
        options = [("", list(what.measure)), ("", ["--no-progress-bar", "--json", *_machine(what)])]
        return Command(f"{stage}: perplexity", program, options, output=model.output)
    # fairseq-generate loses its INFO lines, the last of which tells that the log is whole.
    program = ["python", "scripts/with_log.py", "fairseq-generate", what.data, "--user-dir", "fairseq_ghat"]
    source, target = what.languages
    # With its default of 8, fairseq-fixed leaves out the last sentences.
    whole = ["--required-batch-size-multiple", "1", "--no-progress-bar"]
    options = [
        ("", ["--path", str(model.checkpoint), "--source-lang", source, "--target-lang", target, "--beam", "5"]),
        ("", list(what.measure)),
        ("", [*whole, *_machine(what)]),
    ]
    return Command(f"{stage}: translations", program, options, output=model.output)


def _train(
    what: Comparison, stage: str, origin: Path, folder: Path, epochs: int, seed: int, constraint: List[str] = ()
) -> Command:
    # Ours come last, so that they hold.
    ours = ["--finetune-from-model", str(origin), "--max-epoch", str(epochs), "--seed", str(seed)]
    ours += ["--save-dir", str(folder), "--no-epoch-checkpoints", "--log-format", "simple"]
    options = [
        ("", ["--user-dir", "fairseq_ghat", *what.train]),
        ("", list(constraint)),
        ("", [*ours, *_machine(what)]),
    ]
    return Command(stage, ["fairseq-train", what.data], options, log=folder / "train.log")


def _machine(what: Comparison) -> List[str]:
    return ["--cpu"] if what.cpu else []
