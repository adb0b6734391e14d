"""Checks what a comparison is asked to do, before any work."""

import argparse
import contextlib
import importlib.util
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from fairseq import options, utils
from fairseq.criterions import CRITERION_REGISTRY
from fairseq.data import data_utils
from fairseq.models import ARCH_MODEL_REGISTRY
from fairseq.tasks import TASK_REGISTRY
from fairseq.tasks.language_modeling import LanguageModelingTask
from fairseq.tasks.translation import TranslationTask

from experiments.comparison.plan import DISAGREEMENT, Comparison
from experiments.comparison.steps import Step
from fairseq_ghat.checkpoints.checkpointed_model import CheckpointedHeads
from fairseq_ghat.checkpoints.stock_conversion import as_grouped_checkpoint
from fairseq_ghat.cli import perplexity, vote
from fairseq_ghat.cli.loading import check_data, load_checkpoint
from fairseq_ghat.criterions.group_constrained import GroupConstraintMixin
from fairseq_ghat.evaluation.scoring import read_references
from fairseq_ghat.profiling.parameters import heads_in_checkpoint
from fairseq_ghat.pruning.importance.registry import SELECTIONS
from fairseq_ghat.pruning.slimming import model_config

KINDS = {"translation": TranslationTask, "language_modeling": LanguageModelingTask}
# Options that the comparison sets itself, by the flag that further ones are given with.
_OURS = {
    "--": (
        *("--user-dir", "--save-dir", "--finetune-from-model", "--restore-file", "--max-epoch", "--seed"),
        *("--vote-epoch", "--vote-tolerance", "--no-save", "--no-last-checkpoints"),
    ),
    "--vote-args": ("--select", "--keep-heads", "--vote-heads", "--head-groups", "--vote-budget", "--refit", "--seed"),
    "--generate-args": (
        *("--path", "--user-dir", "--results-path", "--quiet", "--required-batch-size-multiple", "--json"),
    ),
}

# Parsers of the programs, and the flag that their further options are given with.
_PROGRAMS = {
    "fairseq-train": (options.get_training_parser, "--"),
    "fairseq-generate": (options.get_generation_parser, "--generate-args"),
    "ghat-perplexity": (perplexity.build_parser, "--generate-args"),
    "ghat-vote": (vote.build_parser, "--vote-args"),
}


class BadInput(ValueError):
    """Something that cannot be compared; the message names flag, value and what is allowed."""


@dataclass(frozen=True)
class Trained:
    """What a checkpoint says of itself. heads: of each attention layer, by its name."""

    kind: str
    languages: Optional[Tuple[str, str]]
    heads: Dict[str, int]


def read_trained(checkpoint: str, data: str) -> Trained:
    """Task, languages and heads of the checkpoint that heads are chosen from.

    Raises:
        BadInput: if it was voted on already.
        CheckpointError, InputError, NotGroupable, ValueError: if it or the data cannot be used.
    """
    check_data(data)
    state = load_checkpoint(checkpoint, tuple(KINDS.values()), "translation(_v2s) or language_modeling(_v2s)")
    task, state = state["cfg"].task, as_grouped_checkpoint(state)
    heads, config = heads_in_checkpoint(state), model_config(state)
    if any(count < getattr(config, f"{name.split('.')[0]}_attention_heads") for name, count in heads.items()):
        raise BadInput(f"CHECKPOINT {checkpoint}: it was voted on already; allowed is one with all its heads")
    if not issubclass(TASK_REGISTRY[task._name], TranslationTask):
        return Trained("language_modeling", None, heads)
    pair = (task.source_lang, task.target_lang)
    if None in pair:
        pair = data_utils.infer_language_pair(utils.split_paths(data)[0])
    return Trained("translation", tuple(pair), heads)


def selectable(budget: str) -> List[str]:
    """Methods that can keep to a budget: those that keep one head of each group know none over the whole model."""
    return [name for name, of in SELECTIONS.items() if budget == "layer" or not of.groups]


def check_choices(args: argparse.Namespace) -> None:
    """Methods, numbers and files that need no look into the checkpoint. Raises BadInput."""
    for flag, named in (("--methods", args.methods), ("--gct-methods", args.gct_methods or [])):
        for method in named:
            if method not in SELECTIONS:
                raise BadInput(f"{flag} {method}: allowed is {', '.join(SELECTIONS)}")
    for flag, values, least in (
        ("--keep", args.keep, 1),
        ("--seeds", args.seeds, 1),
        ("--epochs", [args.epochs], 0),
        ("--continue-epochs", [args.continue_epochs], 0),
    ):
        for value in values:
            if value < least:
                raise BadInput(f"{flag} {value}: allowed is {least} or more")
    if args.gct_methods and not args.continue_epochs:
        raise BadInput(f"--gct-methods {' '.join(args.gct_methods)}: allowed with --continue-epochs 1 or more")
    for method in (*args.methods, *(args.gct_methods or [])):
        if method not in selectable(args.budget):
            raise BadInput(
                f"--methods {method}: keeps one head of each group, as many in every attention; allowed with "
                f"--budget model is {', '.join(selectable(args.budget))}"
            )
    for flag, given in (("--", args.train), ("--vote-args", args.vote_args), ("--generate-args", args.generate_args)):
        for word in given:
            if word.split("=")[0] in _OURS[flag]:
                raise BadInput(f"{flag} {word}: is set by the comparison itself; leave it out")
    if args.reference is not None and not args.reference.is_file():
        raise BadInput(f"--reference {args.reference}: no such file")
    if not Path(args.checkpoint).is_file():
        raise BadInput(f"CHECKPOINT {args.checkpoint}: no such file")


def check_tools() -> None:
    """Raises BadInput if the picture could not be drawn hours later, or if commands would not find their files."""
    if not Path("scripts/with_log.py").is_file() or not Path("fairseq_ghat").is_dir():
        raise BadInput(f"{Path.cwd()}: is not the root of the repository; start it there")
    if importlib.util.find_spec("matplotlib") is None:
        raise BadInput("matplotlib is not installed: pip install matplotlib")


def check_fits(what: Comparison, trained: Trained) -> None:
    """Budgets, split and references beside the checkpoint and the data. Raises BadInput."""
    fewest, most = min(trained.heads.values()), max(trained.heads.values())
    for keep in what.keeps:
        if keep >= fewest:
            raise BadInput(f"--keep {keep}: allowed is 1 to {fewest - 1} of {fewest} heads in an attention")
    if what.continue_epochs and DISAGREEMENT in what.methods and fewest != most:
        raise BadInput(
            f"--methods {DISAGREEMENT} with --continue-epochs: its regularisation takes as many groups as heads, and "
            f"CHECKPOINT has {fewest} to {most}; allowed is --continue-epochs 0, or without it"
        )
    if "," in what.subset:
        raise BadInput(f"--generate-args --gen-subset {what.subset}: allowed is one split")
    if not what.translates:
        for flag, given in (("--reference", what.reference), ("--lowercase", what.lowercase)):
            if given:
                raise BadInput(f"{flag}: allowed for translation, CHECKPOINT is a language model")
        return
    sentences = _sentences(what)
    if what.reference is not None:
        lines = len(read_references(what.reference)[0])
        if lines != sentences:
            raise BadInput(
                f"--reference {what.reference}: has {lines} lines; allowed is {sentences}, the sentences of "
                f"{what.subset} in DATA {what.data}"
            )


def check_commands(what: Comparison, steps: Sequence[Step]) -> None:
    """Looks at the model and criterion to be trained, then lets each program's own parser read its commands.

    Raises:
        BadInput: with what the parser says.
    """
    if what.epochs or what.continue_epochs:
        _check_training(what, _parsed("fairseq-train", [what.data, *what.train], "--"))
    # Commands of the same options differ in files and numbers only.
    forms = {tuple(word for word in step.command.argv if word.startswith("--")): step.command.argv for step in steps}
    for argv in forms.values():
        program, *arguments = argv[2:] if argv[0] == "python" else argv
        _parsed(program, arguments, _PROGRAMS[program][1])


def split_of(arguments: Sequence[str]) -> str:
    """--gen-subset of the arguments of fairseq-generate or ghat-perplexity; both have the same default."""
    found = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    found.add_argument("--gen-subset", default="test")
    return found.parse_known_args(list(arguments))[0].gen_subset


def _parsed(program: str, arguments: Sequence[str], flag: str) -> argparse.Namespace:
    """Arguments as a program takes them. flag: that they were given with."""
    parser = _PROGRAMS[program][0]()
    words = list(arguments)
    if "--user-dir" in words:  # the package is imported already
        place = words.index("--user-dir")
        del words[place : place + 2]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            fairseqs = program.startswith("fairseq-")
            return options.parse_args_and_arch(parser, words) if fairseqs else parser.parse_args(words)
    except (SystemExit, Exception) as error:
        told = (said.getvalue().strip().splitlines() or [f"{type(error).__name__}: {error}"])[-1]
        raise BadInput(f"{flag}: {program} does not take them: {told.split('error: ')[-1]}") from error


def _check_training(what: Comparison, args: argparse.Namespace) -> None:
    if not issubclass(ARCH_MODEL_REGISTRY.get(args.arch, object), CheckpointedHeads):
        raise BadInput(f"-- --arch {args.arch}: allowed is ghat_transformer, ghat_transformer_lm, or an arch of theirs")
    if not issubclass(TASK_REGISTRY[args.task], KINDS[what.kind]):
        raise BadInput(f"-- --task {args.task}: CHECKPOINT was trained for {what.kind}; allowed is {what.kind}(_v2s)")
    if what.continue_epochs and not issubclass(CRITERION_REGISTRY[args.criterion], GroupConstraintMixin):
        raise BadInput(
            f"-- --criterion {args.criterion}: allowed with --continue-epochs is one with the group constraint, "
            f"as group_constrained_{args.criterion}"
        )


def _sentences(what: Comparison) -> int:
    """Sentences of the split that is translated. Raises BadInput if it is not in the data."""
    folder, (source, target) = Path(utils.split_paths(what.data)[0]), what.languages
    for pair in (f"{source}-{target}", f"{target}-{source}"):
        prefix = folder / f"{what.subset}.{pair}.{target}"
        if prefix.with_name(f"{prefix.name}.idx").is_file():
            return len(data_utils.load_indexed_dataset(str(prefix), None))
    raise BadInput(f"--generate-args --gen-subset {what.subset}: DATA {folder} has no {what.subset}.{source}-{target}")
