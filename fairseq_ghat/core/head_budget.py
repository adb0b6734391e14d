"""Budgets of heads, and the decision which heads stay within one, given a score for each."""

from dataclasses import dataclass
from typing import List, Optional, Sequence

import torch
from torch import Tensor

BUDGETS = ("layer", "model")


@dataclass(frozen=True)
class HeadBudget:
    """How many heads stay.

    Attributes:
        heads: that stay in each attention layer; over the whole model, on average.
        over: "layer", the same number in every attention, or "model", as many in all as that makes.
        may_empty: whether a budget over the model may take every head of an attention, whose sublayer is then gone.
    """

    heads: int
    over: str = "layer"
    may_empty: bool = False

    def total(self, layers: int) -> int:
        """Heads that stay in a number of attention layers."""
        return self.heads * layers

    def floor(self) -> int:
        """Fewest heads that an attention layer keeps."""
        if self.over == "layer":
            return self.heads
        return 0 if self.may_empty else 1

    def check(self, sizes: Sequence[int]) -> None:
        """Raises ValueError if it removes no head, or more than there are. sizes: heads of each attention layer."""
        if self.over not in BUDGETS:
            raise ValueError(f"a budget is over one of {', '.join(BUDGETS)}, got {self.over!r}")
        if self.may_empty and self.over == "layer":
            raise ValueError("only a budget over the whole model can take all heads of an attention")
        most = min(sizes) - 1 if self.over == "layer" else (sum(sizes) - 1) // len(sizes)
        if not 1 <= self.heads <= most:
            where = "of each attention" if self.over == "layer" else "on average"
            raise ValueError(f"a budget of {self.heads} heads {where}: allowed is 1 to {most}")


def remove_lowest(
    scores: List[Tensor], alive: List[Tensor], budget: HeadBudget, at_most: Optional[int] = None
) -> List[Tensor]:
    """The heads left when those with the lowest scores are taken away, down to the budget and no further.

    Of equal scores the head with the higher index goes first, in the later layer.

    Args:
        scores: of the heads of each attention layer, (H,); H may differ between layers.
        alive: heads still there in each layer, (H,) bool.
        budget: what stays in the end.
        at_most: heads to take away now; all down to the budget if None.

    Returns:
        Heads left in each layer, (H,) bool, on the CPU.

    Raises:
        ValueError: if a score is not a number.
    """
    if any(bool(torch.isnan(layer_scores).any()) for layer_scores in scores):
        raise ValueError("the score of a head is not a number")
    left = [mask.cpu().clone() for mask in alive]
    counts = [int(mask.sum()) for mask in left]
    if budget.over == "layer":
        to_go = sum(max(count - budget.heads, 0) for count in counts)
    else:
        to_go = sum(counts) - budget.total(len(counts))
    if at_most is not None:
        to_go = min(to_go, at_most)
    order = sorted(
        (score, -layer, -head)
        for layer, layer_scores in enumerate(scores)
        for head, score in enumerate(layer_scores.double().tolist())
        if left[layer][head]
    )
    for _, layer, head in order:
        if to_go == 0:
            break
        if counts[-layer] > budget.floor():
            left[-layer][-head] = False
            counts[-layer] -= 1
            to_go -= 1
    return left


def top_heads(scores: List[Tensor], budget: HeadBudget) -> List[Tensor]:
    """The heads with the highest scores, (H,) bool of each layer, on the CPU. scores: (H,) of each layer."""
    return remove_lowest(scores, [torch.ones_like(row, dtype=torch.bool) for row in scores], budget)
