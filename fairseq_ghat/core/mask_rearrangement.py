"""Swaps of kept and removed units of a layer that lower what the removal costs by a quadratic form."""

import torch
from torch import Tensor


def rearrange(fisher: Tensor, kept: Tensor) -> Tensor:
    """Swaps units greedily (Kwon et al. 2022, section 5.2), so that r^T F r falls, r being 1 for removed units.

    Each kept unit, from the one with the least F_uu up, comes in turn: it goes, and that removed unit comes back
    without which r^T F r is least, itself if no swap lowers it.

    Args:
        fisher: F, symmetric, (U, U).
        kept: units that stay, (U,) bool.

    Returns:
        As many units that stay, (U,) bool.
    """
    removed = ~kept
    if not removed.any():
        return kept
    diagonal = fisher.diagonal()
    products = fisher[:, removed].sum(1)  # F r
    order = diagonal.argsort(stable=True)
    for unit in order[kept[order]].tolist():
        with_unit = products + fisher[unit]
        falls = 2 * with_unit - diagonal  # by as much r^T F r falls if a unit comes back
        back = int(falls.masked_fill(~removed, -torch.inf).argmax())
        if falls[back] > falls[unit]:
            removed[unit], removed[back] = True, False
            products = with_unit - fisher[back]
    return ~removed
