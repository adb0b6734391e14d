"""`ghat-vote CHECKPOINT DATA OUT`: lets the heads of a trained model vote which of them stay, after the fact."""

import argparse
import logging
import sys
import tempfile
from pathlib import Path
from typing import Optional

from fairseq import checkpoint_utils, utils

from fairseq_ghat.checkpoints.files import CheckpointError, read_checkpoint, write_checkpoint
from fairseq_ghat.checkpoints.model_options import for_inference
from fairseq_ghat.checkpoints.stock_conversion import NotGroupable, as_grouped_checkpoint
from fairseq_ghat.cli.console import add_run_options, quiet_libraries
from fairseq_ghat.cli.measured_models import NotMeasurable, check_data, measuring_device
from fairseq_ghat.cli.out_file import check_out
from fairseq_ghat.core.head_budget import BUDGETS
from fairseq_ghat.core.hidden_units import DISTANCES
from fairseq_ghat.core.voting import VOTE_BY
from fairseq_ghat.criterions.group_constrained import OBJECTIVES
from fairseq_ghat.modules.group_classifiers import GroupClassifiers
from fairseq_ghat.modules.grouped_attention import grouped_attentions, grouping_of, is_voted
from fairseq_ghat.modules.grouping import FEATURES
from fairseq_ghat.pruning.calibration import calibration_of
from fairseq_ghat.pruning.importance.registry import IMPORTANCES
from fairseq_ghat.pruning.options import REFITS
from fairseq_ghat.pruning.vote import vote
from fairseq_ghat.training.schedule import VotingToStayConfig, check_removable, check_selection


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="ghat-vote", description=__doc__.split("`: ")[1])
    found.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="of fairseq's transformer or language model, or of ours"
    )
    found.add_argument("data", metavar="DATA", help="folder that fairseq-preprocess made")
    found.add_argument("out", metavar="OUT", help="the voted checkpoint to write; ghat-slim OUT removes the heads")
    found.add_argument("--subset", default="train", help="split that votes (default: train)")
    found.add_argument("--head-groups", type=int, metavar="C", help="default: as the checkpoint, else 2")
    found.add_argument("--group-feature", choices=FEATURES, help="default: as the checkpoint, else value")
    found.add_argument("--group-distance", choices=DISTANCES, help="default: as the checkpoint, else euclidean")
    found.add_argument("--group-objective", choices=OBJECTIVES, default="metric", help="pattern score of the vote")
    found.add_argument("--vote-by", choices=VOTE_BY, default="count", help="default: count")
    found.add_argument(
        "--select",
        "--keep-heads",
        dest="keep_heads",
        choices=list(IMPORTANCES),
        default="pillars",
        help="way of choosing heads (default: pillars). "
        + "; ".join(f"{name}: {kind.summary} ({kind.paper})" for name, kind in IMPORTANCES.items()),
    )
    found.add_argument("--vote-heads", type=int, metavar="K", help="heads that stay in each attention (default: C)")
    found.add_argument(
        "--vote-budget",
        choices=BUDGETS,
        default="layer",
        help="layer: K in every attention (default); model: K on average, wherever they are worth most",
    )
    found.add_argument(
        "--remove-sublayers",
        action="store_true",
        help="with --vote-budget model: an attention may lose all its heads, then its sublayer is gone",
    )
    found.add_argument(
        "--select-batches", type=int, metavar="N", help="batches to look at, at random (default: the split once)"
    )
    found.add_argument("--gate-lr", type=float, help="of learned gates (default: 0.1 for l0, 0.2 for subset)")
    found.add_argument("--refit", choices=REFITS, default="output", help="default: output")
    found.add_argument("--seed", type=int, help="of random choices and of the batches (default: as the checkpoint)")
    found.add_argument("--max-tokens", type=int, help="in a batch; each batch votes (default: as the checkpoint)")
    found.add_argument("--batch-size", type=int, help="sentences in a batch (default: as the checkpoint)")
    found.add_argument("--source-lang", help="default: as the checkpoint")
    found.add_argument("--target-lang", help="default: as the checkpoint")
    found.add_argument("--num-workers", type=int, default=0, help="processes that load data (default: 0)")
    add_run_options(found)
    return found


def main(argv=None) -> int:
    command = parser()
    args = command.parse_args(argv)
    quiet_libraries(logging.INFO)
    source, out = Path(args.checkpoint), Path(args.out)
    check_out(command, source, out)
    try:
        check_data(args.data)
        state = for_inference(
            as_grouped_checkpoint(
                read_checkpoint(source),
                head_groups=_groups(args),
                group_feature=args.group_feature,
                group_distance=args.group_distance,
            )
        )
        batching = _batching(state, args)
        check_selection(batching)
        task, model = load(state, args)
        classifiers = _classifiers(state, model) if args.group_objective == "classification" else None
        if is_voted(model):
            raise NotGroupable("it was voted on already")
        check_removable(batching, grouped_attentions(model), grouping_of(model).groups)
    except (CheckpointError, NotMeasurable) as error:
        command.error(str(error))
    except FileNotFoundError as error:
        command.error(f"--subset {args.subset}: not in DATA {args.data} ({error})")
    except (NotGroupable, ValueError) as error:
        command.error(f"CHECKPOINT {source}: {error}")

    device = measuring_device(args)
    for module in (model, classifiers):
        if module is not None:
            module.to(device)
    calibration = calibration_of(task, model, batching, args.data, args.subset)
    try:
        kept = vote(calibration, batching, classifiers)
    except ValueError as error:
        command.error(str(error))
    write_checkpoint({**state, "model": utils.move_to_cpu(model.state_dict())}, out)
    heads = {name: layer.num_heads for name, layer in grouped_attentions(model).items()}
    staying = sum(map(len, kept.values()))
    print(f"{out}: {staying} of {sum(heads.values())} heads stay; `ghat-slim {out} SLIM` removes the rest")
    return 0


def load(state, args):
    """Model and task of a grouped checkpoint, by fairseq's own loading, with the voting split."""
    # Gates are not reached in a forward pass that is run again.
    overrides = {"data": args.data, "checkpoint_activations": False}
    overrides.update({lang: getattr(args, lang) for lang in ("source_lang", "target_lang") if getattr(args, lang)})
    with tempfile.TemporaryDirectory(dir=Path(args.out).resolve().parent) as folder:
        grouped = Path(folder) / "grouped.pt"
        write_checkpoint(state, grouped)
        (model,), _, task = checkpoint_utils.load_model_ensemble_and_task([str(grouped)], overrides)
    task.load_dataset(args.subset, epoch=1)
    return task, model


def _batching(state, args) -> VotingToStayConfig:
    """Batches as in training, unless told otherwise: every batch has one vote per group."""
    cfg = state.get("cfg")
    trained = {**cfg["dataset"], "seed": cfg["common"]["seed"]} if cfg else vars(state["args"])
    sizes = {"max_tokens": args.max_tokens, "batch_size": args.batch_size}
    if not any(sizes.values()):
        sizes = {name: trained.get(name) for name in sizes}
        sizes["batch_size"] = sizes["batch_size"] or trained.get("max_sentences")  # its name before fairseq 0.10
    if not any(sizes.values()):
        sizes["max_tokens"] = 4096
    return VotingToStayConfig(
        vote_epoch=1,
        vote_by=args.vote_by,
        keep_heads=args.keep_heads,
        refit=args.refit,
        vote_heads=args.vote_heads,
        vote_budget=args.vote_budget,
        remove_sublayers=args.remove_sublayers,
        select_batches=args.select_batches,
        gate_lr=args.gate_lr,
        required_batch_size_multiple=trained.get("required_batch_size_multiple", 8),
        num_workers=args.num_workers,
        seed=trained.get("seed", 1) if args.seed is None else args.seed,
        log_format=None,
        log_interval=100,
        no_progress_bar=args.no_progress_bar,
        **sizes,
    )


def _groups(args) -> Optional[int]:
    """Groups of the vote: as many as heads stay, for a way of choosing that keeps one of each."""
    if args.head_groups is None and IMPORTANCES[args.keep_heads].one_per_group:
        return args.vote_heads
    return args.head_groups


def _classifiers(state, model) -> GroupClassifiers:
    """The group classifiers that were trained with the checkpoint."""
    prefix = "classifiers."
    saved = {k[len(prefix) :]: v for k, v in (state.get("criterion") or {}).items() if k.startswith(prefix)}
    if not saved:
        raise NotGroupable("--group-objective classification: it was not trained with it, it holds no classifiers")
    classifiers = GroupClassifiers.for_layers(grouped_attentions(model), grouping_of(model).groups)
    classifiers.load_state_dict(saved)
    return classifiers


if __name__ == "__main__":
    sys.exit(main())
