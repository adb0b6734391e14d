"""How narrowly heads attend: entropy of their attention, and their confidence (Voita et al. 2019, section 3.1).

Letters: B sentences, H heads, T queries, S keys.
"""

import torch
from torch import Tensor


def total_entropy(attention: Tensor, queries: Tensor) -> Tensor:
    """Entropy of the attention of each head, in nats, summed over the queries that count.

    Args:
        attention: weights that sum to 1 over the keys, (B, H, T, S).
        queries: true where they count, (B, T).

    Returns:
        (H,) float64.
    """
    return _total(torch.special.entr(attention.float()).sum(-1), queries)


def total_confidence(attention: Tensor, queries: Tensor, keys: Tensor) -> Tensor:
    """Greatest attention weight of each head at keys that count, summed over the queries that count.

    Args:
        attention: (B, H, T, S).
        queries: true where they count, (B, T).
        keys: true where they count, (B, S).

    Returns:
        (H,) float64.
    """
    return _total((attention * keys[:, None, None]).amax(-1), queries)


def _total(values: Tensor, queries: Tensor) -> Tensor:
    """Sum over sentences and queries. values: (B, H, T); queries: (B, T)."""
    return values.double().masked_fill(~queries.unsqueeze(1), 0).sum((0, 2))
