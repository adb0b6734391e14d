"""How far the hidden units moved from one epoch to the next, which decides --vote-tolerance."""

import copy
import math
from typing import Any, Dict, Optional, Tuple

import torch
from torch import Tensor

from fairseq_ghat.core.hidden_units import relative_change
from fairseq_ghat.training.distributed import add_up_over_workers


class HiddenUnitHistory:
    """Gram matrices of all layers, summed over the current epoch and over the one before.

    It is part of the task's state in every checkpoint, so a run that was killed goes on with the same sums.

    Args:
        heads: number of heads of each attention layer, by name.

    Attributes:
        change: largest relative change over the layers between the last two whole epochs, and its layer;
            None before there were two.
    """

    def __init__(self, heads: Dict[str, int]):
        self.heads = heads
        self.epoch: Optional[int] = None
        self.change: Optional[Tuple[float, str]] = None
        self._before: Optional[Dict[str, Tensor]] = None
        self._sums = self._zeros()

    def _zeros(self) -> Dict[str, Tensor]:
        return {name: torch.zeros(heads, heads, dtype=torch.float64) for name, heads in self.heads.items()}

    def add(self, grams: Dict[str, Tensor]) -> None:
        """Adds the Gram matrices of one batch, summed over all workers; every worker must call it.

        Args:
            grams: (H, H) by layer; layers that LayerDrop skipped, and batches that do not count, are left out.

        Raises:
            KeyError: for a layer that the model does not have.
        """
        unknown = sorted(set(grams) - set(self.heads))
        if unknown:
            raise KeyError(f"Gram matrices of unknown layers: {', '.join(unknown)}")
        if grams:
            device = next(iter(grams.values())).device
            self._sums = {name: total.to(device) for name, total in self._sums.items()}
        batch = [grams[name].double() if name in grams else torch.zeros_like(self._sums[name]) for name in self.heads]
        flat = torch.cat([gram.flatten() for gram in batch])
        add_up_over_workers(flat)
        for (name, heads), share in zip(self.heads.items(), flat.split([gram.numel() for gram in batch])):
            self._sums[name] += share.view(heads, heads)

    def begin_epoch(self, epoch: int) -> None:
        """Closes the epoch before this one, from 1; does nothing where a run resumes in the middle of an epoch."""
        if self.epoch is not None and epoch > self.epoch:
            if self._before is not None:
                changes = {
                    name: float(relative_change(self._before[name].to(total)[None], total[None]))
                    for name, total in self._sums.items()
                }
                # What is not a number, as of a batch that overflowed, has not settled.
                changes = {name: math.inf if math.isnan(change) else change for name, change in changes.items()}
                layer = max(changes, key=changes.get)
                self.change = (changes[layer], layer)
            self._before, self._sums = self._sums, self._zeros()
        self.epoch = epoch

    def state_dict(self) -> Dict[str, Any]:
        """Plain numbers and tensors."""
        return {"epoch": self.epoch, "change": self.change, "before": self._before, "sums": self._sums}

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """As state_dict gave it."""
        self.epoch = state["epoch"]
        # Copies: the tensors may be mapped from a checkpoint file that training is about to overwrite.
        self._before, self._sums = copy.deepcopy(state["before"]), copy.deepcopy(state["sums"])
        self.change = None if state["change"] is None else tuple(state["change"])
