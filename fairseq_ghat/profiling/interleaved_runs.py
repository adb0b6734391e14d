"""Measures several sides by turns in one process: a machine that slows down for a while hits all of them alike."""

import statistics
from dataclasses import dataclass
from math import comb
from typing import Callable, Dict, List, Mapping, Sequence, TypeVar

Measured = TypeVar("Measured")
_CONFIDENCE = 0.95
_FEWEST = 6


@dataclass(frozen=True)
class Spread:
    """Median of repeated measurements, and an interval around it: see describe_interval."""

    median: float
    low: float
    high: float

    def describe(self, digits: int) -> str:
        """Median (low to high), with so many decimal places."""
        return f"{self.median:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


def describe_interval(count: int) -> str:
    """What the interval of so many values is: fewer than 6 cannot bound a median with 95 % confidence."""
    return "smallest to largest" if count < _FEWEST else "95 % interval of the median"


def spread(values: Sequence[float]) -> Spread:
    """Median and its interval, from order statistics: nothing is assumed of the distribution.

    Raises:
        ValueError: without values.
    """
    if not values:
        raise ValueError("a median needs at least one value")
    ordered, count = sorted(values), len(values)
    # The number of values below the true median is that of heads among so many tosses of a coin.
    cut, tail = 0, 0.0
    while cut < (count - 1) // 2:
        tail += comb(count, cut) / 2**count
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
    """Calls every side once in each round, each as often at every place as the number of rounds allows.

    Each order comes forwards and backwards, so that no side always follows the same other.

    Args:
        sides: by name; each is called with the number of the round and returns what it measured.
        rounds: rounds that count.
        warm_up: rounds before them that do not.
        progress: told before each call what comes now.

    Returns:
        What each side measured, in the order of the rounds.
    """
    measured: Dict[str, List[Measured]] = {name: [] for name in sides}
    names = list(sides)
    for number in range(warm_up + rounds):
        shift = number // 2 % len(names)
        order = names[shift:] + names[:shift]
        for name in reversed(order) if number % 2 else order:
            progress(f"round {number + 1} of {warm_up + rounds}, {name}")
            result = sides[name](number)
            if number >= warm_up:
                measured[name].append(result)
    return measured


def ratios(values: Sequence[float], base: Sequence[float]) -> Spread:
    """Spread of value / base within each round."""
    return spread([value / other for value, other in zip(values, base)])
