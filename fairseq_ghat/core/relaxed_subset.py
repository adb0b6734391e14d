"""A differentiable subset of exactly K heads (Li et al. 2021, section 3: Gumbel top-K and its relaxation)."""

import torch
from torch import Tensor


def gumbel(uniform: Tensor) -> Tensor:
    """Standard Gumbel noise from uniform noise in (0, 1)."""
    return -(-uniform.clamp(1e-9, 1 - 1e-9).log()).log()


def relaxed_subset(logits: Tensor, size: int, temperature: float) -> Tensor:
    """Gates that add up to the size of the subset, and become its members as the temperature goes to 0.

    The K members are drawn one after the other: each draw is a softmax of the logits, and what it took is
    left out of the next one, r <- r + log(1 - p).

    Args:
        logits: (..., H), importance of each head plus Gumbel noise.
        size: K. temperature: of the softmax, > 0.

    Returns:
        (..., H), differentiable; sums to K over the last dimension.
    """
    gates = torch.zeros_like(logits)
    for _ in range(size):
        drawn = torch.softmax(logits / temperature, -1)
        gates = gates + drawn
        logits = logits + (1 - drawn).clamp_min(1e-20).log()
    return gates
