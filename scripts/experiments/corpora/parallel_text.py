"""Two sides of a parallel text: equally long, and cleaned of pairs that cannot be translations."""

from typing import Callable, Dict, Iterable, Iterator, NamedTuple, Optional, Tuple

from experiments.corpora.text_files import CorpusError

Pair = Tuple[str, str]


class Limits(NamedTuple):
    """Lengths a pair may have on each side, and the largest ratio of the longer to the shorter side."""

    shortest: int
    longest: int
    ratio: float


class Side(NamedTuple):
    """One side of a parallel text: its lines and what to call it in an error."""

    lines: Iterable[str]
    name: str


def pairs(source: Side, target: Side, counted: Optional[Dict[str, int]] = None) -> Iterator[Pair]:
    """Lines of both sides.

    Args:
        source: the one side.
        target: the other.
        counted: holds the number of pairs, under "pairs", once all are read.

    Yields:
        A pair.

    Raises:
        CorpusError: if one side ends before the other; names both and their numbers of lines.
    """
    sources, targets = iter(source.lines), iter(target.lines)
    number = 0
    while True:
        line, other = next(sources, None), next(targets, None)
        if line is None or other is None:
            break
        number += 1
        yield line, other
    if line is not None or other is not None:
        longer = sources if line is not None else targets
        more = number + 1 + sum(1 for _ in longer)
        lengths = (more, number) if line is not None else (number, more)
        raise CorpusError(
            f"sides of unequal length: {source.name} has {lengths[0]:,} lines, {target.name} has {lengths[1]:,}"
        )
    if counted is not None:
        counted["pairs"] = number


def fits(source_length: int, target_length: int, limits: Limits) -> bool:
    """Whether both lengths are within the limits and neither is more than `ratio` times the other."""
    shorter, longer = sorted((source_length, target_length))
    return limits.shortest <= shorter and longer <= limits.longest and longer <= limits.ratio * shorter


def cleaned(rows: Iterable[Pair], limits: Limits, lengths: Callable[[Pair], Tuple[int, int]]) -> Iterator[Pair]:
    """The pairs whose lengths, as `lengths` measures them, are within the limits."""
    return (pair for pair in rows if fits(*lengths(pair), limits))
