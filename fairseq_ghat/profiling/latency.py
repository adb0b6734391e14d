"""Measures what translation saves where the layers of one kind hold fewer heads or neurons."""

import copy
from statistics import median
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

import torch
from torch import nn

from fairseq_ghat.profiling.interleaved_runs import run_by_turns
from fairseq_ghat.pruning.latency_table import layers_by_kind, layers_shape

# Shares of the units that the layers of the measured models keep, one unit at least.
SHARES = (0.75, 0.5, 0.25, 0.0625)
_TOGETHER = "all layers"
# How often a round measures the whole model, and each cut of all kinds together: every figure rests on them.
_TIMES = 3


class Cut(NamedTuple):
    """What was cut of a model. kind: None for all kinds together."""

    kind: Optional[str]
    share: float


def units_left(units: int, share: float) -> int:
    """Units that a layer keeps."""
    return max(1, round(units * share))


def cut_models(model: nn.Module) -> Dict[Cut, nn.Module]:
    """Copies of a model of which layers are cut; what is not cut is shared with it."""
    return {
        Cut(kind, share): _cut_copy(model, kind, share) for kind in (*layers_by_kind(model), None) for share in SHARES
    }


def _cut_copy(model: nn.Module, kind: Optional[str], share: float) -> nn.Module:
    goes = [layer for name, layers in layers_by_kind(model).items() if kind in (name, None) for layer in layers]
    own = {id(parameter) for layer in goes for parameter in layer.holder.parameters()}
    shared = {id(parameter): parameter for parameter in model.parameters() if id(parameter) not in own}
    cut = copy.deepcopy(model, shared)
    for name, layers in layers_by_kind(cut).items():
        if kind in (name, None):
            for layer in layers:
                layer.remove_units(range(units_left(layer.units, share)))
    return cut


def seconds_of_cuts(
    cuts: Mapping[Cut, Callable[[int], float]],
    whole: Callable[[int], float],
    counts: Tuple[int, int, int],
    progress: Callable[[str], None],
) -> Dict[Optional[Cut], float]:
    """Seconds of all batches for each cut model and, by None, the whole one, as if the machine's speed had not changed.

    In a round every model translates one batch. Its time is divided by the median of all models in the round, which
    tells the speed of the machine; of the ratios of a batch the median counts.

    Args:
        cuts: functions that take the number of a batch, translate it and return the seconds.
        whole: the same of the whole model.
        counts: batches, rounds of each that count, rounds of each before them.
        progress: as in run_by_turns.
    """
    batches, repeats, warm_up = counts
    names: Dict[Optional[Cut], List[str]] = {None: [f"whole model, {time}" for time in range(1, 1 + _TIMES)]}
    for cut in cuts:
        times = _times(cut)
        names[cut] = [f"{cut.kind or _TOGETHER}, {cut.share:g}, {time}" for time in range(1, 1 + times)]
    turns = [(name, cuts[cut] if cut else whole) for cut, several in names.items() for name in several]
    runs = {name: lambda number, run=run: run(number % batches) for name, run in turns}
    measured = run_by_turns(runs, repeats * batches, warm_up * batches, progress)
    speed = [median(times) for times in zip(*measured.values())]

    def of_all_batches(sides: List[str]) -> float:
        seconds = 0.0
        for batch in range(batches):
            rounds = range(batch, len(speed), batches)
            relative = median(measured[side][number] / speed[number] for side in sides for number in rounds)
            seconds += relative * median(speed[number] for number in rounds)
        return seconds

    return {cut: of_all_batches(several) for cut, several in names.items()}


def _times(cut: Optional[Cut]) -> int:
    return _TIMES if cut is None or cut.kind is None else 1


def fit_savings(seconds: Mapping[Optional[Cut], float]) -> Tuple[float, Dict[Cut, float]]:
    """The whole model's seconds and what each cut of one kind saves, so that savings of several kinds add up.

    Each cut alone is a small difference of two measured times, and an error in the time of the whole model is in all of
    them. The cuts of all kinds together say what the sum is. So all times are fitted at once, by least squares weighted
    with how often each was measured. Between its neighbours each saving is drawn to the line through them, as by a
    measurement: a budget would otherwise run after the one size that happened to look quick.

    Args:
        seconds: from seconds_of_cuts.
    """
    single = [cut for cut in seconds if cut is not None and cut.kind is not None]
    system = [
        [1.0] + [-float(cut is not None and cut in (one, Cut(None, one.share))) for one in single] for cut in seconds
    ]
    measured = [*seconds.values()]
    weights = [float(_times(cut)) for cut in seconds]
    for kind in dict.fromkeys(cut.kind for cut in single):
        for fewer, share, more in zip((1.0, *SHARES), SHARES, SHARES[1:]):
            near = (share - more) / (fewer - more)
            line = {Cut(kind, fewer): near, Cut(kind, share): -1.0, Cut(kind, more): 1 - near}
            system.append([0.0] + [line.get(one, 0.0) for one in single])
            measured.append(0.0)
            weights.append(_TIMES)
    root = torch.tensor(weights, dtype=torch.float64).sqrt()
    weighted = torch.tensor(system, dtype=torch.float64) * root[:, None]
    whole, *saved = torch.linalg.lstsq(weighted, torch.tensor(measured, dtype=torch.float64) * root).solution.tolist()
    return whole, dict(zip(single, saved))


def table_of(model: nn.Module, seconds: Mapping[Optional[Cut], float]) -> Dict[str, Any]:
    """What is measured of a model, as read_latency_table reads it. seconds: from seconds_of_cuts."""
    whole, savings = fit_savings(seconds)
    kinds = {}
    for kind, layers in layers_by_kind(model).items():
        units = layers[0].units
        saved = {units_left(units, share): savings[Cut(kind, share)] / len(layers) for share in SHARES}
        saved[units] = 0.0
        left = sorted(saved, reverse=True)
        kinds[kind] = {"shape": layers_shape(layers), "units": left, "saved": [saved[count] for count in left]}
    together = [{"share": share, "saved": seconds[None] - seconds[Cut(None, share)]} for share in SHARES]
    return {"seconds": whole, "kinds": kinds, "together": together}


def rows(table: Mapping[str, Any]) -> List[Dict[str, str]]:
    """A row of a table for each kind: title -> cell; the time that stays where its layers keep a share of units."""
    whole = table["seconds"]
    cells = []
    for kind, figures in table["kinds"].items():
        units, layers = figures["units"], figures["shape"]["layers"]
        for left, saved in zip(units[1:], figures["saved"][1:]):
            cells.append((f"{layers} x {kind}", f"{left} of {units[0]}", 1 - layers * saved / whole))
    cells += [(_TOGETHER, f"{row['share']:.0%}", 1 - row["saved"] / whole) for row in table["together"]]
    return [{"layers": layers, "stay": left, "time": f"{time:.3f}"} for layers, left, time in cells]
