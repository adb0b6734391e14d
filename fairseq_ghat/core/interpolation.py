"""Values between measured points."""

from typing import Sequence

import torch
from torch import Tensor


def interpolate(at: Tensor, points: Sequence[float], values: Sequence[float]) -> Tensor:
    """Values on the line from each measured point to the next; beyond the outermost points, their values.

    Args:
        at: where values are wanted, any shape.
        points: increasing, N of them.
        values: at the points, N of them; they need not increase.

    Returns:
        float64, of the shape of `at`.
    """
    known, measured = (torch.tensor(list(given), dtype=torch.float64) for given in (points, values))
    inside = at.to(torch.float64).clamp(known[0], known[-1])
    if len(known) == 1:
        return measured.expand(at.shape)
    right = torch.searchsorted(known, inside).clamp(min=1)
    share = (inside - known[right - 1]) / (known[right] - known[right - 1])
    return measured[right - 1] + share * (measured[right] - measured[right - 1])
