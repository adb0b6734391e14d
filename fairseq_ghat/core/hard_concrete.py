"""Hard-concrete gates: stochastic gates that are exactly 0 or 1 much of the time (Louizos et al. 2018, section 4).

Voita et al. (2019, section 5.1) put one on every head; the expected number of open gates is their L0 penalty.
"""

import math

import torch
from torch import Tensor

# Temperature beta and stretch limits gamma, zeta of Louizos et al.
BETA, GAMMA, ZETA = 2 / 3, -0.1, 1.1


def hard_concrete(log_alpha: Tensor, uniform: Tensor) -> Tensor:
    """Gates in [0, 1]; gradients flow where a gate is neither closed nor open.

    Args:
        log_alpha: location of the gates, any shape; uniform: noise in (0, 1) of the same shape.
    """
    uniform = uniform.clamp(1e-6, 1 - 1e-6)
    concrete = torch.sigmoid((uniform.log() - (-uniform).log1p() + log_alpha) / BETA)
    return (concrete * (ZETA - GAMMA) + GAMMA).clamp(0, 1)


def open_probability(log_alpha: Tensor) -> Tensor:
    """Probability that a gate is not exactly 0 (Louizos et al., Eq. 12)."""
    return torch.sigmoid(log_alpha - BETA * math.log(-GAMMA / ZETA))
