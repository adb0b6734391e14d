"""How far the scores of several seeds are apart."""

import math
from statistics import stdev
from typing import Optional, Sequence


def deviation(scores: Sequence[float]) -> Optional[float]:
    """Standard deviation of a sample (n - 1): None of one score, NaN where one is no finite number, as of a training
    that diverged."""
    if len(scores) < 2:
        return None
    return stdev(scores) if all(map(math.isfinite, scores)) else math.nan
