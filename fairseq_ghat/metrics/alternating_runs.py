"""Measures several sides by turns in one process: a machine that slows down for a while hits all of them alike."""

import statistics
from dataclasses import dataclass
from math import comb
from typing import Callable, Dict, List, Mapping, Sequence, TypeVar

Measured = TypeVar("Measured")
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Spread:
    """Median of repeated measurements, and the interval that holds the true median with 95 % confidence."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Median and its interval, from order statistics: nothing is assumed of the distribution.

    Fewer than 6 values cannot bound a median with that confidence: their interval is that of the smallest and largest.

    Raises:
        ValueError: without values.
    """
    if not values:
        raise ValueError("a median needs at least one value")
    ordered, count = sorted(values), len(values)
    # The number of values below the true median is that of heads among so many tosses of a coin.
    cut, tail = 0, 0.0
    while cut < (count - 1) // 2:
        tail += comb(count, cut) * 0.5**count
        if tail > (1 - _CONFIDENCE) / 2:
            break
        cut += 1
    first = max(cut - 1, 0)
    return Spread(statistics.median(ordered), ordered[first], ordered[count - 1 - first])


def run_by_turns(
    sides: Mapping[str, Callable[[int], Measured]],
    rounds: int,
    warm_up: int = 1,
    progress: Callable[[str], None] = lambda text: None,
) -> Dict[str, List[Measured]]:
    """Calls every side once in each round, each of them first, second and last equally often.

    Args:
        sides: by name; each is called with the number of the round and returns what it measured.
        rounds: rounds that count.
        warm_up: rounds before them that do not.
        progress: told before each call what comes now.

    Returns:
        What each side measured, in the order of the rounds.
    """
    measured: Dict[str, List[Measured]] = {name: [] for name in sides}
    order = list(sides)
    for number in range(warm_up + rounds):
        for name in order:
            progress(f"round {number + 1} of {warm_up + rounds}, {name}")
            result = sides[name](number)
            if number >= warm_up:
                measured[name].append(result)
        order.append(order.pop(0))
    return measured


def ratios(values: Sequence[float], base: Sequence[float]) -> Spread:
    """Spread of value / base within each round."""
    return spread([value / other for value, other in zip(values, base)])
