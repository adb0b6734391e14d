"""`ghat-vote CHECKPOINT DATA OUT`: lets the heads of a trained model vote which of them stay, after the fact."""

import argparse
import logging
import sys
from dataclasses import fields
from typing import Any, Dict, Mapping

from fairseq import utils

from fairseq_ghat.checkpoints.files import CheckpointError, read_checkpoint
from fairseq_ghat.checkpoints.kept_units import record_kept
from fairseq_ghat.checkpoints.model_options import NotGroupable, for_inference, model_options
from fairseq_ghat.checkpoints.stock_comparison import check_against_fairseq
from fairseq_ghat.checkpoints.stock_conversion import as_grouped_checkpoint, as_stock_checkpoint
from fairseq_ghat.cli.console import (
    IS_STOCK,
    add_run_options,
    check_minimum,
    check_out,
    choose_device,
    quiet_libraries,
    write_out,
)
from fairseq_ghat.cli.loading import InputError, check_data, data_files
from fairseq_ghat.cli.passes import add_data_options, check_sizes, load_for_pass, trained_batches
from fairseq_ghat.core.head_budget import BUDGETS
from fairseq_ghat.core.hidden_units import DISTANCES
from fairseq_ghat.core.voting import VOTE_BY
from fairseq_ghat.criterions.group_constrained import OBJECTIVES
from fairseq_ghat.modules.attention_layers import grouped_attentions, grouping_of, is_voted
from fairseq_ghat.modules.group_classifiers import GroupClassifiers
from fairseq_ghat.modules.grouping import FEATURES
from fairseq_ghat.pruning.calibration_data import calibration_of
from fairseq_ghat.pruning.importance.base import way_of_heads
from fairseq_ghat.pruning.importance.registry import IMPORTANCES, KEEP_HEADS, RANKS_UNITS
from fairseq_ghat.pruning.model_budget import check_reachable, removes_neurons
from fairseq_ghat.pruning.options import REFITS
from fairseq_ghat.pruning.vote import vote
from fairseq_ghat.tasks.voting_to_stay import TASK_STATE
from fairseq_ghat.training.schedule import (
    VotingToStayConfig,
    check_neurons,
    check_removable,
    check_vote_options,
)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ghat-vote", description=__doc__.split("`: ")[1])
    add = parser.add_argument
    add("checkpoint", metavar="CHECKPOINT", help="of fairseq's transformer or language model, or of ours")
    add("data", metavar="DATA", help="folder that fairseq-preprocess made")
    add("out", metavar="OUT", help="the checkpoint to write, without the other heads; every fairseq command loads it")
    add("--subset", default="train", help="split that votes (default: train)")
    add("--head-groups", type=int, metavar="C", help="default: as the checkpoint, else 2")
    add("--group-feature", choices=FEATURES, help="default: as the checkpoint, else value")
    add("--group-distance", choices=DISTANCES, help="default: as the checkpoint, else euclidean")
    add("--group-objective", choices=OBJECTIVES, default="metric", help="pattern score of the vote")
    add("--vote-by", choices=VOTE_BY, default="count", help="default: count; score is experimental")
    ways = "; ".join(f"{name}: {kind.summary} ({kind.paper})" for name, kind in IMPORTANCES.items())
    choosing = {
        "choices": list(KEEP_HEADS),
        "help": f"way of choosing heads (default: pillars, with --budget or --max-error reconstruction). {ways}",
    }
    add("--select", "--keep-heads", dest="keep_heads", **choosing)
    add("--vote-heads", type=int, metavar="K", help="heads that stay in each attention (default: C)")
    budget = "layer: K in every attention (default); model: K on average, wherever they are worth most"
    add("--vote-budget", choices=BUDGETS, default="layer", help=budget)
    over_all = "with --vote-budget model, --budget or --max-error"
    gone = f"experimental, {over_all}: an attention may lose all its heads, then its sublayer is gone"
    add("--remove-sublayers", action="store_true", help=gone)
    share = "neurons that stay in each feed-forward layer, a number or a share such as 0.5 (default: all)"
    add("--ffn-neurons", metavar="N", help=share)
    add("--keep-neurons", choices=[*RANKS_UNITS, "all"], default="reconstruction", help="default: reconstruction")
    over_both = "share of the parameters or FLOPs of attention and feed-forward layers that stays, where it costs least"
    add("--budget", metavar="COST=SHARE", help=f"such as parameters=0.6: {over_both}; latency=0.7: of measured time")
    add("--latency-table", metavar="FILE", help="with --budget latency=SHARE: what ghat-bench --latency-table wrote")
    fewest = "instead of numbers: each layer keeps the fewest units that hold the error of its output under a share"
    add("--max-error", type=float, metavar="SHARE", help=fewest)
    add("--ffn-per-layer", action="store_true", help="with those: layers of a side may keep other numbers of neurons")
    add("--select-batches", type=int, metavar="N", help="batches to look at, at random (default: the split once)")
    add("--gate-lr", type=float, help="of learned gates (default: 0.1 for l0, 0.2 for subset)")
    add("--refit", choices=REFITS, default="output", help="default: output")
    add("--seed", type=int, help="of random choices and of the batches (default: as the checkpoint)")
    add_data_options(parser, of_a_batch="; each batch votes")
    add_run_options(parser)
    return parser


def main(argv=None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    quiet_libraries(logging.INFO, sys.stdout)
    source, out = args.checkpoint, args.out
    tables = [] if args.latency_table is None else [args.latency_table]
    check_out(parser, out, {"CHECKPOINT": [source], "DATA": data_files(args.data), "--latency-table": tables})
    if args.keep_heads == "all" and not removes_neurons(args):
        parser.error("--keep-heads all: allowed only with --ffn-neurons, --budget or --max-error; nothing is removed")
    check_minimum(parser, args, vote_heads=1, max_tokens=1, batch_size=1, num_workers=0)
    try:
        check_data(args.data)
        state = for_inference(as_grouped_checkpoint(read_checkpoint(source), **_grouping(args)))
        batching = _batching(state, args)
        check_vote_options(batching)
        task, model = load_for_pass(args, _grouping(args))
        classifiers = _classifiers(state, model) if args.group_objective == "classification" else None
        if is_voted(model):
            raise NotGroupable("it was voted on already")
        check_removable(batching, grouped_attentions(model), grouping_of(model).groups)
        check_neurons(batching, model)
        check_reachable(batching, model)
        check_sizes(task, model, batching.max_tokens, args.subset)
    except (CheckpointError, InputError) as error:
        parser.error(str(error))
    except ValueError as error:
        # Where only --vote-heads was given, it says how many groups there are.
        groups_given = args.head_groups is not None or args.vote_heads is None
        told = str(error) if groups_given else str(error).replace("--head-groups", "--vote-heads")
        parser.error(f"CHECKPOINT {source}: {told}")

    device = choose_device(args)
    model.to(device)
    if classifiers is not None:
        classifiers.to(device)
    calibration = calibration_of(task, model, batching, args.data, args.subset)
    try:
        kept = vote(calibration, batching, classifiers)
    except ValueError as error:
        parser.error(str(error))
    record_kept(model_options(state), kept)
    voted = {**_without_scores(state), "model": utils.move_to_cpu(model.state_dict())}
    stock = as_stock_checkpoint(voted)
    if stock is not None:
        check_against_fairseq(model.cpu().eval(), stock)
    write_out(parser, stock or voted, out)
    counts = {"heads": kept.heads, "neurons": kept.neurons}
    stay = " and ".join(
        f"{sum(len(units) for units, _ in layers.values())} of {sum(of for _, of in layers.values())} {kind}"
        for kind, layers in counts.items()
        if layers
    )
    print(f"{out}: {stay} stay, the others are removed{IS_STOCK if stock else ''}")
    return 0


def _grouping(args) -> Dict[str, Any]:
    """The options of the command line that say how heads are grouped."""
    groups = args.head_groups
    if groups is None and KEEP_HEADS[way_of_heads(args)].one_per_group:
        groups = args.vote_heads  # as many as heads stay
    return {"head_groups": groups, "group_feature": args.group_feature, "group_distance": args.group_distance}


def _batching(state, args) -> VotingToStayConfig:
    """Batches as in training, unless told otherwise: every batch has one vote per group."""
    derived = {**trained_batches(state, args), "vote_epoch": 1, "log_format": None, "log_interval": 100}
    if args.seed is not None:
        derived["seed"] = args.seed
    given = {field.name: getattr(args, field.name) for field in fields(VotingToStayConfig) if hasattr(args, field.name)}
    return VotingToStayConfig(**{**given, **derived})


def _without_scores(state: Mapping[str, Any]) -> Dict[str, Any]:
    """The checkpoint without best score, patience and history, which are of all heads: a run that goes on would never
    reach them (facebookresearch/fairseq#1302)."""
    extra = {name: value for name, value in state["extra_state"].items() if name not in ("best", "val_loss")}
    task_state = {name: value for name, value in (state.get("task_state") or {}).items() if name != TASK_STATE}
    return {**state, "extra_state": extra, "task_state": task_state}


def _classifiers(state, model) -> GroupClassifiers:
    """The group classifiers that were trained with the checkpoint."""
    prefix = "classifiers."
    saved = {k[len(prefix) :]: v for k, v in (state.get("criterion") or {}).items() if k.startswith(prefix)}
    if not saved:
        raise NotGroupable("--group-objective classification: it was not trained with it, it holds no classifiers")
    classifiers = GroupClassifiers.for_layers(grouped_attentions(model), grouping_of(model).groups)
    classifiers.load_state_dict(saved)
    return classifiers
