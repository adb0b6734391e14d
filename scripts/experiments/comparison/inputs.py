"""Reads what a comparison is asked to do, and checks it before any work."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

import torch
from fairseq import utils
from fairseq.criterions import CRITERION_REGISTRY
from fairseq.data import data_utils
from fairseq.models import ARCH_MODEL_REGISTRY
from fairseq.tasks import TASK_REGISTRY
from fairseq.tasks.language_modeling import LanguageModelingTask
from fairseq.tasks.translation import TranslationTask

from experiments.checks import BadInput, check_further, check_least, claim, parsed
from experiments.commands import DONE
from experiments.comparison.commands import choosing_command
from experiments.comparison.plan import (
    BASELINE,
    DISAGREEMENT,
    FROM_START,
    METHODS,
    UNDER_BUDGET,
    Comparison,
    selectable,
    votes,
)
from experiments.corpora.folders import sha256_of
from fairseq_ghat.checkpoints.files import read_checkpoint
from fairseq_ghat.checkpoints.model_options import model_options
from fairseq_ghat.checkpoints.resuming import CheckpointedModel
from fairseq_ghat.checkpoints.stock_conversion import as_grouped_checkpoint
from fairseq_ghat.cli.loading import check_data, load_checkpoint
from fairseq_ghat.criterions.group_constrained import GroupConstraintMixin
from fairseq_ghat.evaluation.bleu import bleu_metric
from fairseq_ghat.evaluation.scoring import read_references
from fairseq_ghat.profiling.model_building import build_from_checkpoint
from fairseq_ghat.profiling.parameters import heads_in_checkpoint
from fairseq_ghat.pruning.model_budget import check_model_budget, check_reachable, read_budget
from fairseq_ghat.tasks.voting_to_stay import VotingToStayMixin

_TASKS = {"translation": TranslationTask, "language_modeling": LanguageModelingTask}
# Options that the comparison sets itself, by what further ones are given with.
_OURS: Dict[str, str] = {
    "train": "--user-dir --save-dir --finetune-from-model --restore-file --max-epoch --seed --vote-epoch "
    "--vote-tolerance --no-save --no-last-checkpoints",
    "vote_args": "--select --keep-heads --vote-heads --head-groups --vote-budget --refit --seed --keep-neurons "
    "--ffn-neurons --budget --max-error",
    "generate_args": "--path --user-dir --results-path --quiet --required-batch-size-multiple --json",
}
_OURS["from_start_args"] = f"{_OURS['train']} {_OURS['vote_args']}"


def read_comparison(args: argparse.Namespace) -> Comparison:
    """What the command line asks for, where it fits the checkpoint and the data.

    Args:
        args: of compare_pruning.py; train has the options of fairseq-train.

    Raises:
        BadInput: names flag, value and what is allowed.
        CheckpointError, ValueError: if the checkpoint or the data cannot be used.
    """
    options = {**vars(args), "methods": args.methods or _allowed(args)}
    del options["dry_run"]
    _check_choices(args, options["methods"])
    gct_methods = args.gct_methods or [method for method in options["methods"] if method == BASELINE]
    options["gct_methods"] = gct_methods if args.continue_epochs else []
    for name in ("methods", "gct_methods", "seeds", "refit"):
        options[name] = list(dict.fromkeys(options[name]))
    options["keep"], options["budget"] = sorted(set(args.keep)), sorted(set(args.budget))
    options["cpu"] = args.cpu or not torch.cuda.is_available()
    comparison = Comparison(**options, **_trained(args.checkpoint, args.data))
    check_fits(comparison)
    return comparison


def check_fits(comparison: Comparison) -> None:
    """Budgets, split, language and references beside the checkpoint and the data. Raises ValueError, most by name."""
    fewest, most = comparison.fewest_heads or comparison.heads, comparison.heads
    for keep in () if comparison.budget else comparison.keep:
        if keep >= fewest:
            raise BadInput(f"--keep {keep}: allowed is 1 to {fewest - 1} of {fewest} heads in an attention")
    if comparison.continue_epochs and DISAGREEMENT in comparison.methods and fewest != most:
        raise BadInput(
            f"--methods {DISAGREEMENT} with --continue-epochs: its regularisation takes as many groups as heads, and "
            f"CHECKPOINT has {fewest} to {most}; allowed is --continue-epochs 0, or without it"
        )
    if FROM_START in comparison.methods and comparison.trained_epochs is None:
        told = "does not say for how many epochs it was trained, and the small model is trained as long"
        raise BadInput(f"--methods {FROM_START}: CHECKPOINT {comparison.checkpoint} {told}; leave {FROM_START} out")
    if "," in comparison.subset:
        raise BadInput(f"--generate-args --gen-subset {comparison.subset}: allowed is one split")
    if not comparison.translates:
        for flag, given in (("--reference", comparison.reference), ("--lowercase", comparison.lowercase)):
            if given:
                raise BadInput(f"{flag}: allowed for translation, CHECKPOINT is a language model")
        return
    bleu_metric([], target_lang=comparison.languages[1])  # raises ValueError if it lacks its tokenizer
    sentences = _sentences(comparison)
    if comparison.reference is not None:
        lines = len(read_references(comparison.reference)[0])
        if lines != sentences:
            raise BadInput(
                f"--reference {comparison.reference}: has {lines} lines; allowed is {sentences}, the sentences of "
                f"{comparison.subset} in DATA {comparison.data}"
            )


def check_shares(comparison: Comparison) -> None:
    """Looks whether each method can keep to each budget, which is less where it leaves heads or neurons alone.

    Raises:
        BadInput: names the method, the budget and the least share.
        NotGroupable: if CHECKPOINT holds another model than for translation or of language.
    """
    if not comparison.budget:
        return
    model = build_from_checkpoint(read_checkpoint(comparison.checkpoint))
    for vote in votes(replace(comparison, seeds=comparison.seeds[:1], refit=comparison.refit[:1])):
        try:
            options = parsed(choosing_command(comparison, vote).argv)
            check_model_budget(options)
            check_reachable(options, model)
        except ValueError as error:
            raise BadInput(f"--methods {vote.method} with {error}") from None


def check_training(comparison: Comparison) -> None:
    """Looks at the model, task and criterion to be trained. Raises BadInput."""
    if not comparison.epochs and not comparison.continue_epochs:
        return
    args = parsed(["fairseq-train", comparison.data, *comparison.train])
    if not issubclass(ARCH_MODEL_REGISTRY.get(args.arch, object), CheckpointedModel):
        raise BadInput(f"-- --arch {args.arch}: allowed is ghat_transformer, ghat_transformer_lm, or an arch of theirs")
    kind = comparison.kind
    if FROM_START in comparison.methods and not issubclass(TASK_REGISTRY[args.task], VotingToStayMixin):
        raise BadInput(f"-- --task {args.task}: allowed with --methods {FROM_START} is {kind}_v2s")
    if not issubclass(TASK_REGISTRY[args.task], _TASKS[kind]):
        raise BadInput(f"-- --task {args.task}: CHECKPOINT was trained for {kind}; allowed is {kind}(_v2s)")
    if comparison.continue_epochs and not issubclass(CRITERION_REGISTRY[args.criterion], GroupConstraintMixin):
        raise BadInput(
            f"-- --criterion {args.criterion}: allowed with --continue-epochs is one with the group constraint, "
            f"as group_constrained_{args.criterion}"
        )


def claim_folder(comparison: Comparison) -> Dict[str, Any]:
    """Checks the settings of the folder of results, or writes there what it is made with; returns the settings.

    These are all that every row depends on: methods, budgets, refits and seeds may be added.

    Raises:
        BadInput: if the folder holds results of other settings, or of unknown ones.
    """
    given, out = comparison, comparison.out
    settings = {
        "DATA": given.data,
        "CHECKPOINT": given.checkpoint,
        "SHA-256 of CHECKPOINT": sha256_of(Path(given.checkpoint)),
        "--vote-budget": given.vote_budget,
        "--continue-epochs": given.continue_epochs,
        "--epochs": given.epochs,
        "--reference": str(given.reference) if given.reference else None,
        "SHA-256 of --reference": sha256_of(given.reference) if given.reference else None,
        "--lowercase": given.lowercase,
        "--vote-args": list(given.vote_args),
        "--generate-args": list(given.generate_args),
        "options of fairseq-train": list(given.train),
    }
    if given.continue_epochs:
        settings["first of --seeds, which the starts are trained on with"] = given.seeds[0]
    made = (path for folder in ("starts", "keep-*") for path in out.glob(f"{folder}/**/*"))
    begun, record = any(path.name.endswith((".pt", DONE)) for path in made), out / "settings.json"
    if begun and not record.is_file():
        raise BadInput(f"OUT {out}: holds checkpoints, but no {record.name} that tells of what; give another folder")
    claim(record, settings, begun, f"OUT {out}")
    if FROM_START in given.methods:  # which may be added to a folder that was made without it
        differing = {"--from-start-args": list(given.from_start_args)}
        trained = any(out.glob(f"keep-*/{FROM_START}/**/*.pt"))
        claim(out / f"{FROM_START}.json", differing, trained, f"OUT {out}")
        settings.update(differing)
    return settings


def _check_choices(args: argparse.Namespace, methods: Sequence[str]) -> None:
    """Methods, numbers and files that need no look into the checkpoint. Raises BadInput."""
    gct_methods = args.gct_methods or []
    check_least(args, keep=1, seeds=1, epochs=0, continue_epochs=0)
    _check_budgets(args)
    for flag, named in (("--methods", methods), ("--gct-methods", gct_methods)):
        for method in named:
            if method not in _allowed(args) and not (flag == "--methods" and method == FROM_START):
                one = method in METHODS and METHODS[method].one_per_group
                why = " keeps one head of each group, as many in every attention;" if one else ""
                allowed = [*_allowed(args), *([FROM_START] if flag == "--methods" else [])]
                raise BadInput(f"{flag} {method}:{why} allowed{_with_budget(args)} is {', '.join(allowed)}")
    if FROM_START in methods and not args.epochs:
        raise BadInput(f"--methods {FROM_START}: is compared after fine-tuning; allowed with --epochs 1 or more")
    if args.from_start_args and FROM_START not in methods:
        raise BadInput(f"--from-start-args: allowed with --methods {FROM_START}")
    if gct_methods and not args.continue_epochs:
        raise BadInput(f"--gct-methods {' '.join(gct_methods)}: allowed with --continue-epochs 1 or more")
    further = ("vote_args", "from_start_args", "generate_args")
    for name, flag in (("train", "--"), *((name, f"--{name.replace('_', '-')}") for name in further)):
        check_further(flag, getattr(args, name), _OURS[name].split())
    for flag, path in (("--reference", args.reference), ("CHECKPOINT", Path(args.checkpoint))):
        if path is not None and not path.is_file():
            raise BadInput(f"{flag} {path}: no such file")


def _check_budgets(args: argparse.Namespace) -> None:
    """The sizes of --budget, and what does not go with them. Raises BadInput."""
    try:
        costs = {read_budget(asked)[0] for asked in args.budget}
    except ValueError as error:
        raise BadInput(str(error)) from None
    if len(costs) > 1:
        raise BadInput(f"--budget {' '.join(args.budget)}: allowed are several shares of one cost")
    for flag, given in (("--vote-budget model", args.vote_budget == "model"), ("--gct-methods", args.gct_methods)):
        if args.budget and given:
            raise BadInput(f"{flag}: not with --budget, which is over heads and neurons of the whole model")


def _allowed(args: argparse.Namespace) -> List[str]:
    """The methods that go with the sizes that are asked for."""
    return list(UNDER_BUDGET) if args.budget else selectable(args.vote_budget)


def _with_budget(args: argparse.Namespace) -> str:
    if args.budget:
        return " with --budget"
    return " with --vote-budget model" if args.vote_budget == "model" else ""


def _trained(checkpoint: str, data: str) -> Dict[str, Any]:
    """What a checkpoint says of itself: kind, languages and heads of the comparison."""
    check_data(data)
    folder = Path(utils.split_paths(data)[0])
    if not any(folder.glob("dict*.txt")):
        perhaps = f"; {folder / 'bin'} has them" if any(folder.glob("bin/dict*.txt")) else ""
        raise BadInput(f"DATA {folder}: has no dictionaries, such as fairseq-preprocess writes, dict.LANG.txt{perhaps}")
    state = load_checkpoint(checkpoint, tuple(_TASKS.values()), "translation(_v2s) or language_modeling(_v2s)")
    task, state = state["cfg"].task, as_grouped_checkpoint(state)
    heads, config = heads_in_checkpoint(state), model_options(state)
    if any(count < getattr(config, f"{name.split('.')[0]}_attention_heads") for name, count in heads.items()):
        raise BadInput(f"CHECKPOINT {checkpoint}: it was voted on already; allowed is one with all its heads")
    described = {"heads": max(heads.values()), "fewest_heads": min(heads.values()), "trained_epochs": _epochs(state)}
    if not issubclass(TASK_REGISTRY[task._name], TranslationTask):
        return {**described, "kind": "language_modeling"}
    pair = (task.source_lang, task.target_lang)
    if None in pair:
        pair = data_utils.infer_language_pair(str(folder))
    return {**described, "kind": "translation", "languages": tuple(pair)}


def _epochs(state: Mapping[str, Any]) -> Optional[int]:
    """Epochs that a checkpoint was trained for, one that was begun among them; None where it does not say."""
    iterator = (state.get("extra_state") or {}).get("train_iterator") or {}
    # At the end of an epoch fairseq names the next one. What converters write is often 0 or 1.
    epochs = iterator.get("epoch", 0) - (0 if iterator.get("iterations_in_epoch") else 1)
    return epochs if epochs > 0 else None


def _sentences(comparison: Comparison) -> int:
    """Sentences of the split that is translated. Raises BadInput if it is not in the data."""
    folder, (source, target) = Path(utils.split_paths(comparison.data)[0]), comparison.languages
    for pair in (f"{source}-{target}", f"{target}-{source}"):
        prefix = folder / f"{comparison.subset}.{pair}.{target}"
        if prefix.with_name(f"{prefix.name}.idx").is_file():
            return len(data_utils.load_indexed_dataset(str(prefix), None))
    raise BadInput(
        f"--generate-args --gen-subset {comparison.subset}: DATA {folder} has no {comparison.subset}.{source}-{target}"
    )
