"""The commands of a comparison: training on, vote, fine-tuning, measuring."""

from argparse import ArgumentParser
from functools import partial
from pathlib import Path
from typing import List, Optional, Sequence

from experiments.commands import WITH_LOG, Command, arguments_of
from experiments.comparison.plan import (
    DIVERSITY,
    FROM_START,
    GCT,
    PLAIN,
    UNDER_BUDGET,
    Comparison,
    ScoredModel,
    Size,
    Start,
    Vote,
    starts,
    votes,
)
from experiments.comparison.results import write_score
from fairseq_ghat.checkpoints.files import read_checkpoint
from fairseq_ghat.profiling.parameters import heads_in_checkpoint, unit_parameters
from fairseq_ghat.pruning.model_budget import read_budget

# What a start is trained on with, beside the options that were given.
_CONSTRAINT = {PLAIN: ["--group-loss-scale", "0"], GCT: [], DIVERSITY: ["--group-alpha", "0", "--group-beta", "1"]}


def commands(comparison: Comparison) -> List[Command]:
    """Every command: the starts and their scores, then for each vote the vote, its score, fine-tuning, its score.

    FROM_START has a training and its score instead.
    """
    wanted = []
    for start in starts(comparison):
        if comparison.continue_epochs:
            wanted.append(continue_training(comparison, start))
        wanted.append(measure(comparison, start.model, start.title))
    for vote in votes(comparison):
        if vote.voted is None:
            wanted += [train_small(comparison, vote), measure(comparison, vote.tuned, vote.described)]
            continue
        wanted += [take_vote(comparison, vote), measure(comparison, vote.voted, f"{vote.described} after the vote")]
        if comparison.epochs:
            wanted.append(fine_tune(comparison, vote))
            wanted.append(measure(comparison, vote.tuned, f"{vote.described} after fine-tuning"))
    return wanted


def continue_training(comparison: Comparison, start: Start) -> Command:
    """The checkpoint trained on, with the constraint of its start. Every start has the same seed."""
    ours = ["--max-epoch", str(comparison.continue_epochs), "--seed", str(comparison.seeds[0])]
    ours += [*_CONSTRAINT[start.kind], *(["--head-groups", str(start.groups)] if start.groups else [])]
    origin = Path(comparison.checkpoint)
    return _train(comparison, f"{start.title}: trained on", origin, start.model.checkpoint, *ours)


def take_vote(comparison: Comparison, vote: Vote) -> Command:
    out = vote.cut.checkpoint
    choice = [*_choice(comparison, vote), "--refit", vote.refit, "--seed", str(vote.seed), *_machine(comparison)]
    return Command(
        f"{vote.described}: vote",
        ["ghat-vote", str(vote.start.model.checkpoint), comparison.data, str(out)],
        {"given": comparison.vote_args, "": choice},  # ours come last, so that they hold
        log=out.with_name("vote.log"),
        results=[out],
        finish=partial(_check_size, comparison, out, vote.size),
    )


def choosing_command(comparison: Comparison, vote: Vote) -> Command:
    """The command that chooses what stays: ghat-vote, or for FROM_START the training itself."""
    return train_small(comparison, vote) if vote.voted is None else take_vote(comparison, vote)


def fine_tune(comparison: Comparison, vote: Vote) -> Command:
    ours = ["--max-epoch", str(comparison.epochs), "--seed", str(vote.seed)]
    return _train(comparison, f"{vote.described}: fine-tuning", vote.cut.checkpoint, vote.tuned.checkpoint, *ours)


def train_small(comparison: Comparison, vote: Vote) -> Command:
    """The small model trained from the start: random units go before the first update, as the row `random` has it.

    It is trained for as many epochs as the checkpoint was, and as a start and a vote are on top of that.
    """
    ours = [
        "--max-epoch",
        str(comparison.epochs_in_all),
        "--seed",
        str(vote.seed),
        "--vote-epoch",
        "1",
        "--refit",
        "none",
    ]
    ours += [*_choice(comparison, vote), *_kept_options(comparison.vote_args)]
    command = _train(comparison, f"{vote.described}: training", None, vote.tuned.checkpoint, *ours)
    command.finish = partial(_check_size, comparison, vote.tuned.checkpoint, vote.size)
    return command


def measure(comparison: Comparison, model: ScoredModel, stage: str) -> Command:
    """Translations of the split, or perplexity; then the score."""
    given, machine = comparison.generate_args, ["--no-progress-bar", *_machine(comparison)]
    if comparison.translates:
        source, target = comparison.languages
        # fairseq-generate loses its INFO lines, the last of which tells that the log is whole.
        program = [*WITH_LOG, "fairseq-generate", comparison.data, "--user-dir", "fairseq_ghat"]
        ours = ["--path", str(model.checkpoint), "--source-lang", source, "--target-lang", target, "--beam", "5"]
        # With its default of 8, fairseq-fixed leaves out the last sentences.
        options = {"model": ours, "given": given, "": ["--required-batch-size-multiple", "1", *machine]}
    else:
        program = ["ghat-perplexity", comparison.data, str(model.checkpoint)]
        options = {"given": given, "": ["--json", *machine]}
    return Command(
        f"{stage}: {'translations' if comparison.translates else 'perplexity'}",
        program,
        options,
        output=model.output,
        results=[model.output, model.score],
        finish=partial(write_score, comparison, model),
    )


def _train(comparison: Comparison, stage: str, origin: Optional[Path], trained: Path, *ours: str) -> Command:
    """Training from a checkpoint; from the start where it is None, with the options that differ there."""
    always = ["--save-dir", str(trained.parent), "--no-epoch-checkpoints", "--log-format", "simple"]
    if origin is not None:
        always = ["--finetune-from-model", str(origin), *always]
    differing = comparison.from_start_args if origin is None else ()
    # fairseq's default is all GPUs of the machine, whose updates would be larger; a number that is given holds.
    defaults = ["--user-dir", "fairseq_ghat", "--distributed-world-size", "1"]
    # Ours come last, so that they hold.
    options = {"given": [*defaults, *comparison.train, *differing]}
    options[""] = [*ours, *always, *_machine(comparison)]
    program, log = ["fairseq-train", comparison.data], trained.with_name("train.log")
    return Command(stage, program, options, log=log, results=[trained])


def _choice(comparison: Comparison, vote: Vote) -> List[str]:
    """The options, of ghat-vote and of fairseq-train, that say what stays and by which method."""
    method = "random" if vote.method == FROM_START else vote.method
    if isinstance(vote.size, str):
        return ["--budget", vote.size, *UNDER_BUDGET[method]]
    return ["--keep-heads", method, "--vote-heads", str(vote.size), "--vote-budget", comparison.vote_budget]


def _kept_options(vote_args: Sequence[str]) -> List[str]:
    """Of further options of ghat-vote, those that say how much of a layer may go, which fairseq-train knows too."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--latency-table", default=False)
    for switch in ("--remove-sublayers", "--ffn-per-layer"):
        parser.add_argument(switch, action="store_true")
    given, _ = parser.parse_known_args(list(vote_args))
    return arguments_of({name.replace("_", "-"): value for name, value in vars(given).items()})


def _machine(comparison: Comparison) -> List[str]:
    return ["--cpu"] if comparison.cpu else []


def _check_size(comparison: Comparison, cut: Path, size: Size) -> None:
    """Rows of one size are compared with each other: each must have kept to it. Raises ValueError."""
    state = read_checkpoint(cut)
    if isinstance(size, str):
        cost, share = read_budget(size)
        whole = unit_parameters(read_checkpoint(comparison.checkpoint)["model"])
        left = unit_parameters(state["model"]) / whole
        if cost == "parameters" and left > share:
            raise ValueError(f"{cut}: keeps {left:.4f} of the parameters of the layers, more than {share}")
        return
    kept = heads_in_checkpoint(state)
    if sum(kept.values()) != size * len(kept):
        raise ValueError(f"{cut}: keeps {sum(kept.values())} heads, not {size} for each of {len(kept)} attentions")
