"""Heads and neurons under one budget of the model, or under one error of every layer."""

import logging
import math
from typing import Any, Dict, List, Sequence, Tuple

import torch
from torch import Tensor, nn

from fairseq_ghat.core.joint_budget import RemovalPath, remove_within_budget
from fairseq_ghat.modules.attention_layers import grouped_attentions
from fairseq_ghat.modules.feed_forward import FeedForward, feed_forwards
from fairseq_ghat.modules.removable_layers import removable_layers
from fairseq_ghat.modules.removable_units import RemovableUnits
from fairseq_ghat.pruning.calibration import Calibration
from fairseq_ghat.pruning.costs import COSTS, LATENCY, Savings, latency_savings, linear_savings, table_of_model
from fairseq_ghat.pruning.importance.base import Ranking, way_of_heads
from fairseq_ghat.pruning.importance.registry import IMPORTANCES, RANKS_UNITS

logger = logging.getLogger(__name__)

# Layers that give up equally many units.
Group = List[RemovableUnits]


def read_budget(asked: str) -> Tuple[str, float]:
    """What --budget asks for: the name of a cost, and the share of it that stays.

    Raises:
        ValueError: if it is not such a thing; says what is allowed.
    """
    cost, _, share = asked.partition("=")
    try:
        stays = float(share)
    except ValueError:
        stays = 0.0
    if cost not in (*COSTS, LATENCY) or not 0 < stays < 1:
        allowed = " or ".join(f"{name}=0.6" for name in (*COSTS, LATENCY))
        raise ValueError(f"--budget {asked}: allowed is {allowed}, with a share between 0 and 1")
    return cost, stays


def over_latency(options: Any) -> bool:
    """Whether the budget is of measured time."""
    return options.budget is not None and read_budget(options.budget)[0] == LATENCY


def over_model(options: Any) -> bool:
    """Whether heads and neurons are chosen together, by --budget or --max-error."""
    return options.budget is not None or options.max_error is not None


def removes_neurons(options: Any) -> bool:
    """Whether the vote is over neurons too."""
    return options.ffn_neurons is not None or (over_model(options) and str(options.keep_neurons) != "all")


def check_model_budget(options: Any) -> None:
    """Refuses options of a budget that cannot work, or do not go together.

    Raises:
        ValueError: names the flag, the value found and what is allowed.
    """
    heads, neurons = way_of_heads(options), str(options.keep_neurons)
    if over_latency(options) and options.latency_table is None:
        made = "a file that ghat-bench --latency-table wrote on the machine that is to translate"
        raise ValueError(f"--budget {options.budget}: --latency-table is missing, {made}")
    if options.latency_table is not None and not over_latency(options):
        raise ValueError(f"--latency-table {options.latency_table}: allowed only with --budget {LATENCY}=SHARE")
    if not over_model(options):
        if options.ffn_per_layer:
            raise ValueError("--ffn-per-layer: allowed only with --budget or --max-error")
        if neurons == "all" and options.ffn_neurons is not None:
            raise ValueError("--keep-neurons all: not with --ffn-neurons, which removes some")
        return
    flag = f"--budget {options.budget}" if options.max_error is None else f"--max-error {options.max_error}"
    if options.budget is not None:
        read_budget(options.budget)
        if options.max_error is not None:
            raise ValueError(f"--max-error {options.max_error}: not with --budget; allowed is one of them")
    elif not 0 < options.max_error < 1:
        raise ValueError(f"{flag}: allowed is a number between 0 and 1")
    for other, given in (("--vote-heads", options.vote_heads), ("--ffn-neurons", options.ffn_neurons)):
        if given is not None:
            raise ValueError(f"{other} {given}: not with {flag}, which decides how many stay")
    if str(options.vote_budget) != "layer":
        raise ValueError(f"--vote-budget {options.vote_budget}: not with {flag}, which is over the whole model")
    ways = RANKS_UNITS if options.max_error is None else ("reconstruction",)
    for of, way in (("--keep-heads", heads), ("--keep-neurons", neurons)):
        if way not in (*ways, "all"):
            raise ValueError(f"{of} {way}: not with {flag}; allowed is {', '.join(ways)} or all")
    if heads == neurons == "all":
        raise ValueError(f"--keep-heads all: not with --keep-neurons all, {flag} could remove nothing")
    if "all" not in (heads, neurons) and heads != neurons:
        raise ValueError(f"--keep-neurons {neurons}: allowed with {flag} is that of --keep-heads, {heads}, or all")


def check_reachable(options: Any, model: nn.Module) -> None:
    """Refuses a budget that is less than what must stay of a model, or whose table is not of such a model.

    Args:
        options: VoteOptions, or options that hold the same.
        model: that was not voted on yet.

    Raises:
        ValueError: names the flag, the value and what is allowed, or the file and what differs.
    """
    if options.budget is None:
        return
    name, stays = read_budget(options.budget)
    savings, saved = _savings(model, options), 0.0
    for layer in layers_of_budget(model, options):
        saved += float(savings.saved[layer][: _most(layer, options.remove_sublayers) + 1].max())
    if saved < _wanted(stays, savings):
        least = math.ceil(1000 * (1 - saved / savings.whole)) / 1000  # so that what is named is allowed
        where = "the least time that the table knows of" if name == LATENCY else "where one unit is left"
        raise ValueError(f"--budget {options.budget}: allowed is {name}={least:.3f} or more, {where}")


def choose_within_budget(calibration: Calibration, options: Any) -> Dict[RemovableUnits, Tensor]:
    """The units that stay under --budget or --max-error, of attention and feed-forward layers.

    Args:
        calibration: the model and the data.
        options: VoteOptions, or options that hold the same.

    Returns:
        (U,) bool on the CPU, by layer.

    Raises:
        ValueError: if the data are none, or if the budget is less than what must stay; the latter before any pass.
    """
    check_reachable(options, calibration.model)
    if over_latency(options):
        logger.info("vote: the time of %s", table_of_model(options, calibration.model).setting)
    layers = layers_of_budget(calibration.model, options)
    importance = IMPORTANCES[way_of_budget(options)](options)
    rankings = importance.ranks(calibration, layers)
    groups = _groups(calibration, layers, options.ffn_per_layer)
    most = [_most(group[0], options.remove_sublayers) for group in groups]
    if options.max_error is not None:
        gone = [_within_error([rankings[layer] for layer in group], options.max_error) for group in groups]
        gone = [min(count, highest) for count, highest in zip(gone, most)]
    else:
        savings = _savings(calibration.model, options)
        gone = _within_budget(groups, rankings, most, savings, options.budget, importance.errors_per_cost)
    masks: Dict[RemovableUnits, Tensor] = {}
    for group, count in zip(groups, gone):
        for layer in group:
            order = rankings[layer].order[:count]
            masks[layer] = torch.ones(layer.units, dtype=torch.bool).index_fill_(0, order, False)
    return importance.rearranged(calibration, masks)


def layers_of_budget(model: nn.Module, options: Any) -> List[RemovableUnits]:
    """The layers that a budget is over: all but those of --keep-heads all or --keep-neurons all."""
    attentions = {} if way_of_heads(options) == "all" else grouped_attentions(model)
    with_neurons = {} if str(options.keep_neurons) == "all" else feed_forwards(model)
    return [*attentions.values(), *with_neurons.values()]


def way_of_budget(options: Any) -> str:
    """The one way by which heads and neurons are ranked."""
    heads = way_of_heads(options)
    return str(options.keep_neurons) if heads == "all" else heads


def _groups(calibration: Calibration, layers: Sequence[RemovableUnits], per_layer: bool) -> List[Group]:
    """Each attention alone; the feed-forward layers of a side together, unless each is alone too."""
    groups: Dict[Any, Group] = {}
    for layer in layers:
        together = isinstance(layer, FeedForward) and not per_layer
        groups.setdefault(calibration.names[layer].split(".")[0] if together else layer, []).append(layer)
    return list(groups.values())


def _most(layer: RemovableUnits, may_empty_attention: bool) -> int:
    """Most units that a layer gives up."""
    return layer.units if may_empty_attention and not isinstance(layer, FeedForward) else layer.units - 1


def _within_error(rankings: Sequence[Ranking], largest: float) -> int:
    """How many units each of some layers gives up without an error over the largest."""
    return min(int((ranking.errors <= largest).sum()) for ranking in rankings)


def _savings(model: nn.Module, options: Any) -> Savings:
    """What the layers save in the cost of --budget. The share is of all layers, also where one kind stays as it is."""
    if over_latency(options):
        return latency_savings(table_of_model(options, model), model)
    return linear_savings(COSTS[read_budget(options.budget)[0]], removable_layers(model).values())


def _wanted(stays: float, savings: Savings) -> float:
    """What must be saved, less what a float rounds up: a share that is met exactly is met."""
    return (1 - stays - 1e-9) * savings.whole


def _within_budget(
    groups: Sequence[Group],
    rankings: Dict[RemovableUnits, Ranking],
    most: Sequence[int],
    savings: Savings,
    asked: str,
    errors_per_cost: bool,
) -> List[int]:
    name, stays = read_budget(asked)
    paths = []
    for group, highest in zip(groups, most):
        errors = torch.zeros(highest + 1, dtype=torch.float64)
        for layer in group:
            added = rankings[layer].errors[:highest].diff(prepend=errors[:1])
            if errors_per_cost:
                added = added * savings.saved[layer][: highest + 1].diff().clamp_min(0)
            errors[1:] += added.cumsum(0)
        saved = torch.stack([savings.saved[layer][: highest + 1] for layer in group]).sum(0)
        paths.append(RemovalPath(errors, saved))
    gone = remove_within_budget(paths, _wanted(stays, savings))
    left = 1 - sum(float(path.savings[count]) for path, count in zip(paths, gone)) / savings.whole
    logger.info("vote: %.4f of the %s of the %s stay", left, name, "model" if name == LATENCY else "layers")
    return gone
