"""One budget over layers of several kinds: how many units each gives up, so that the outputs lose least."""

from typing import List, NamedTuple, Tuple

import torch
from torch import Tensor


class RemovalPath(NamedTuple):
    """The units of a layer, or of layers that give up equally many, in the order they go.

    Attributes:
        errors: relative error of the output without the first k of them, for k = 0 .. U, (U + 1,); the first is 0.
        savings: what is saved then, such as parameters, (U + 1,); the first is 0.
    """

    errors: Tensor
    savings: Tensor


def remove_within_budget(paths: List[RemovalPath], wanted: float) -> List[int]:
    """How many units of each path go until enough is saved.

    Units go in the order of the error that they add for each unit of what they save, and where fewer units cost more
    than some further ones along, together with these: along the lower convex hull of each path.

    Args:
        paths: with no more units than may go.
        wanted: what must be saved in all.

    Returns:
        A number for each path.

    Raises:
        ValueError: if all paths together do not save enough.
    """
    steps: List[Tuple[float, int, int, int]] = []
    for number, path in enumerate(paths):
        corners = lower_hull(path.savings, path.errors)
        for begin, end in zip(corners, corners[1:]):
            saved = float(path.savings[end] - path.savings[begin])
            steps.append((float(path.errors[end] - path.errors[begin]) / saved, number, begin, end))
    gone, saved = [0] * len(paths), 0.0
    for _, number, begin, end in sorted(steps):
        if saved >= wanted:
            break
        savings = paths[number].savings
        missing = wanted - saved + float(savings[begin])
        enough = (savings[begin : end + 1] >= missing).nonzero()
        gone[number] = begin + int(enough[0]) if len(enough) else end
        saved += float(savings[gone[number]] - savings[begin])
    if saved < wanted:
        raise ValueError(f"at most {saved:.4g} can be saved, wanted are {wanted:.4g}")
    return gone


def lower_hull(savings: Tensor, errors: Tensor) -> List[int]:
    """The points of a path on its lower convex hull, from its first point on, in the order of what they save.

    Args:
        savings: (U + 1,).
        errors: (U + 1,).

    Returns:
        Increasing indexes; along them savings increase, and the error added for each saving does not decrease.
    """
    points = torch.stack([savings, errors], 1).double().tolist()
    corners = [0]
    for index in range(1, len(points)):
        if points[index][0] <= points[corners[-1]][0]:
            continue
        while len(corners) > 1 and _slope(points, corners[-2], corners[-1]) >= _slope(points, corners[-1], index):
            corners.pop()
        corners.append(index)
    return corners


def _slope(points: List[List[float]], first: int, second: int) -> float:
    (saved, lost), (saved_later, lost_later) = points[first], points[second]
    return (lost_later - lost) / (saved_later - saved)
