"""The commands of a comparison: training on, vote, fine-tuning, measuring."""

from functools import partial
from pathlib import Path
from typing import List

from experiments.comparison.plan import (
    DIVERSITY,
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
from experiments.runner import WITH_LOG, Command
from fairseq_ghat.checkpoints.files import read_checkpoint
from fairseq_ghat.profiling.parameters import heads_in_checkpoint

# What a start is trained on with, beside the options that were given.
_CONSTRAINT = {PLAIN: ["--group-loss-scale", "0"], GCT: [], DIVERSITY: ["--group-alpha", "0", "--group-beta", "1"]}


def commands(comparison: Comparison) -> List[Command]:
    """Every command: the starts and their scores, then for each vote the vote, its score, fine-tuning, its score."""
    wanted = []
    for start in starts(comparison):
        if comparison.continue_epochs:
            wanted.append(continue_training(comparison, start))
        wanted.append(measure(comparison, start.model, start.title))
    for vote in votes(comparison):
        wanted += [take_vote(comparison, vote), measure(comparison, vote.voted, f"{vote.described} after the vote")]
        if comparison.epochs:
            wanted.append(fine_tune(comparison, vote))
            wanted.append(measure(comparison, vote.tuned, f"{vote.described} after fine-tuning"))
    return wanted


def continue_training(comparison: Comparison, start: Start) -> Command:
    """The checkpoint trained on, with the constraint of its start. Every start has the same seed."""
    ours = ["--max-epoch", str(comparison.continue_epochs), "--seed", str(comparison.seeds[0])]
    ours += [*_CONSTRAINT[start.kind], *(["--head-groups", str(start.groups)] if start.groups else [])]
    return _train(comparison, f"{start.title}: trained on", comparison.checkpoint, start.model.checkpoint, *ours)


def take_vote(comparison: Comparison, vote: Vote) -> Command:
    out = vote.voted.checkpoint
    if isinstance(vote.size, str):
        choice = ["--budget", vote.size, *UNDER_BUDGET[vote.method]]
    else:
        choice = ["--keep-heads", vote.method, "--vote-heads", str(vote.size), "--vote-budget", comparison.vote_budget]
    choice += ["--refit", vote.refit, "--seed", str(vote.seed), *_machine(comparison)]
    return Command(
        f"{vote.described}: vote",
        ["ghat-vote", str(vote.start.model.checkpoint), comparison.data, str(out)],
        {"given": comparison.vote_args, "": choice},  # ours come last, so that they hold
        log=out.with_name("vote.log"),
        results=[out],
        finish=partial(_check_heads, out, vote.size),
    )


def fine_tune(comparison: Comparison, vote: Vote) -> Command:
    ours = ["--max-epoch", str(comparison.epochs), "--seed", str(vote.seed)]
    stage, origin = f"{vote.described}: fine-tuning", str(vote.voted.checkpoint)
    return _train(comparison, stage, origin, vote.tuned.checkpoint, *ours)


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


def _train(comparison: Comparison, stage: str, origin: str, trained: Path, *ours: str) -> Command:
    folder = str(trained.parent)
    always = ["--finetune-from-model", origin, "--save-dir", folder, "--no-epoch-checkpoints", "--log-format", "simple"]
    # Ours come last, so that they hold.
    options = {"given": ["--user-dir", "fairseq_ghat", *comparison.train]}
    options[""] = [*ours, *always, *_machine(comparison)]
    program, log = ["fairseq-train", comparison.data], trained.with_name("train.log")
    return Command(stage, program, options, log=log, results=[trained])


def _machine(comparison: Comparison) -> List[str]:
    return ["--cpu"] if comparison.cpu else []


def _check_heads(voted: Path, keep: Size) -> None:
    """Rows of one size are compared with each other: each must have kept to it. Raises ValueError."""
    if isinstance(keep, str):
        return  # a share is met by ghat-vote as closely as whole units allow
    kept = heads_in_checkpoint(read_checkpoint(voted))
    if sum(kept.values()) != keep * len(kept):
        raise ValueError(f"{voted}: keeps {sum(kept.values())} heads, not {keep} for each of {len(kept)} attentions")
