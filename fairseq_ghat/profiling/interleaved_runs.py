"""Measures several sides by turns in one process, so that a machine that slows down slows all of them alike."""

import statistics
from dataclasses import dataclass
from itertools import accumulate, takewhile
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
        """The text 'median (low to high)', with so many decimal places."""
        return f"{self.median:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


def describe_interval(count: int) -> str:
    """The kind of interval that so many values give: fewer than 6 cannot bound a median with 95 % confidence."""
    return "smallest to largest" if count < _FEWEST else "95 % interval of the median"


def spread(values: Sequence[float]) -> Spread:
    """Median of values and its interval from order statistics, which assume nothing of the distribution."""
    if not values:
        raise ValueError("a median needs at least one value")
    ordered, count = sorted(values), len(values)
    # Each value is below the true median with probability 1/2, so the number of such values is binomial.
    tails = accumulate(comb(count, below) / 2**count for below in range((count - 1) // 2))
    cut = len(list(takewhile(lambda tail: tail <= (1 - _CONFIDENCE) / 2, tails)))
    first = max(cut - 1, 0)
    return Spread(statistics.median(ordered), ordered[first], ordered[count - 1 - first])


def run_by_turns(
    sides: Mapping[str, Callable[[int], Measured]],
    rounds: int,
    warm_up: int = 1,
    progress: Callable[[str], None] = lambda text: None,
) -> Dict[str, List[Measured]]:
    """Calls every side once in each round, in an order that changes from round to round.

    The order is rotated and reversed, so that each side has every place about equally often, and no side always
    follows the same other.

    Args:
        sides: name -> function that takes the number of the round and returns a measurement.
        rounds: number of rounds that count.
        warm_up: number of rounds before them that do not.
        progress: called before each measurement with a text that describes it.

    Returns:
        Name -> measurements in the order of the rounds.
    """
    measured: Dict[str, List[Measured]] = {name: [] for name in sides}
    names = list(sides)
    for number in range(warm_up + rounds):
        shift = number // 2 % len(names)
        order = names[shift:] + names[:shift]
        for name in reversed(order) if number % 2 else order:
            progress(f"round {number + 1} of {warm_up + rounds}, {name}")
            measured[name].append(sides[name](number))
    return {name: measurements[warm_up:] for name, measurements in measured.items()}


def ratios(values: Sequence[float], base: Sequence[float]) -> Spread:
    """Spread of the ratio value / base of each round."""
    return spread([value / other for value, other in zip(values, base)])
