"""What the commands share that pass over a split with a grouped model: options, loading, batches."""

from argparse import ArgumentParser, Namespace
from typing import Any, Dict, Mapping, Tuple

import numpy as np
from fairseq import utils
from fairseq.models import BaseFairseqModel
from fairseq.tasks import FairseqTask

from fairseq_ghat.cli.loading import InputError, load_checkpoint, load_split, load_task_and_grouped_model


def add_data_options(parser: ArgumentParser, of_a_batch: str = "") -> None:
    """Adds the options of languages and batches. of_a_batch: what more the help says of a batch."""
    add = parser.add_argument
    add("--max-tokens", type=int, help=f"in a batch{of_a_batch} (default: as the checkpoint)")
    add("--batch-size", type=int, help="sentences in a batch (default: as the checkpoint)")
    add("--source-lang", help="default: as the checkpoint")
    add("--target-lang", help="default: as the checkpoint")
    add("--num-workers", type=int, default=0, help="processes that load data (default: 0)")


def load_for_pass(args: Namespace, grouping: Mapping[str, Any]) -> Tuple[FairseqTask, BaseFairseqModel]:
    """Task, with the split of --subset, and grouped model of a command line.

    Args:
        args: with CHECKPOINT, DATA and the options of add_data_options.
        grouping: of as_grouped_checkpoint.

    Raises:
        InputError: if the training diverged, among others.
    """
    state = load_checkpoint(args.checkpoint, FairseqTask, "one of fairseq's or ours")
    for name, weight in state["model"].items():
        if not weight.isfinite().all():
            told = "has values that are not finite numbers: the training diverged"
            raise InputError(f"CHECKPOINT {args.checkpoint}: {name} {told}; give an earlier checkpoint")
    languages = {name: getattr(args, name) for name in ("source_lang", "target_lang") if getattr(args, name)}
    task, model = load_task_and_grouped_model(args.checkpoint, state, args.data, grouping, **languages)
    combine = args.subset == _train_subset(state["cfg"])
    load_split(task, args.data, "--subset", args.subset, combine, with_targets=True)
    return task, model


def trained_batches(state: Mapping[str, Any], args: Namespace) -> Dict[str, Any]:
    """Sizes and seed of batches, and the split, as in training, unless the command line tells otherwise.

    Args:
        state: the checkpoint.
        args: with the options of add_data_options.
    """
    cfg = state.get("cfg")
    trained = {**cfg["dataset"], "seed": cfg["common"]["seed"]} if cfg else vars(state["args"])
    sizes = {"max_tokens": args.max_tokens, "batch_size": args.batch_size}
    if not any(sizes.values()):
        sizes = {name: trained.get(name) for name in sizes}
        sizes["batch_size"] = sizes["batch_size"] or trained.get("max_sentences")  # its name before fairseq 0.10
    if not any(sizes.values()):
        sizes["max_tokens"] = 4096
    multiple = trained.get("required_batch_size_multiple", 8)
    return {
        **sizes,
        "required_batch_size_multiple": multiple,
        "seed": trained.get("seed", 1),
        "train_subset": _train_subset(cfg),
    }


def _train_subset(cfg: Any) -> str:
    """The split that a checkpoint was trained on, all shards and parts of it; fairseq has one part of any other."""
    return str(cfg["dataset"].get("train_subset") or "train") if cfg else "train"


def check_sizes(task: FairseqTask, model: BaseFairseqModel, max_tokens: int, subset: str) -> None:
    """Refuses a split without a sentence that a batch and the model take: fairseq would end in an IndexError."""
    dataset = task.dataset(subset)
    positions = utils.resolve_max_positions(task.max_positions(), model.max_positions(), max_tokens)
    fitting, _ = dataset.filter_indices_by_size(np.arange(len(dataset)), positions)
    if not len(fitting):
        allowed = f"allowed are up to {positions} tokens, by the model and --max-tokens {max_tokens}"
        raise InputError(f"--subset {subset}: none of its {len(dataset)} sentences fits; {allowed}")
