"""Stochastic gates on heads, differentiable: hard-concrete gates, and relaxed subsets of a given size."""

import math

import torch
from torch import Tensor

# Temperature beta and stretch limits gamma, zeta of Louizos et al.
BETA, GAMMA, ZETA = 2 / 3, -0.1, 1.1


def hard_concrete(log_alpha: Tensor, uniform: Tensor) -> Tensor:
    """Gates that are exactly 0 or 1 much of the time (Louizos et al. 2018, section 4).

    Voita et al. (2019, section 5.1) put one on every head.

    Args:
        log_alpha: location of the gates, (...).
        uniform: noise in (0, 1), (...).

    Returns:
        (...) in [0, 1]; gradients flow where a gate is neither closed nor open.
    """
    uniform = uniform.clamp(1e-6, 1 - 1e-6)
    concrete = torch.sigmoid((uniform.log() - (-uniform).log1p() + log_alpha) / BETA)
    return (concrete * (ZETA - GAMMA) + GAMMA).clamp(0, 1)


def open_probability(log_alpha: Tensor) -> Tensor:
    """Probability, (...), that a hard-concrete gate at a location, (...), is not exactly 0 (Louizos et al., Eq. 12)."""
    return torch.sigmoid(log_alpha - BETA * math.log(-GAMMA / ZETA))


def gumbel(uniform: Tensor) -> Tensor:
    """Standard Gumbel noise, (...), from uniform noise in (0, 1), (...)."""
    return -(-uniform.clamp(1e-9, 1 - 1e-9).log()).log()


def relaxed_subset(logits: Tensor, size: int, temperature: float) -> Tensor:
    """Gates that add up to the size of the subset, and become its members as the temperature goes to 0.

    The K members are drawn one after the other (Li et al. 2021, section 3): each draw is a softmax of the logits, and
    what it took is left out of the next one, r <- r + log(1 - p).

    Args:
        logits: importance of each head plus Gumbel noise, (..., H).
        size: K.
        temperature: of the softmax, > 0.

    Returns:
        (..., H), differentiable; sums to K over the last dimension.
    """
    gates = torch.zeros_like(logits)
    for _ in range(size):
        drawn = torch.softmax(logits / temperature, -1)
        gates = gates + drawn
        logits = logits + (1 - drawn).clamp_min(1e-20).log()
    return gates
