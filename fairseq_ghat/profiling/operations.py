"""Operations that torch dispatches: what a small or middle model costs on a GPU, where launches bound its time.

The count is exact, and nearly the same for every size of model and batch; a CPU is enough to take it.
"""

from dataclasses import dataclass
from typing import Any, Callable

import torch
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass(frozen=True)
class Operations:
    """Operations below autograd, backward passes included; a view moves no data and launches nothing on a GPU."""

    total: int
    views: int

    @property
    def without_views(self) -> int:
        """Operations that compute or copy."""
        return self.total - self.views


class _Counter(TorchDispatchMode):
    total = views = 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.total += 1
        self.views += operation.is_view or operation is torch.ops.aten._unsafe_view.default
        return operation(*args, **(kwargs or {}))


def count_operations(work: Callable[[], object]) -> Operations:
    """Counts the operations of a function call.

    Args:
        work: called twice, and counted the second time: the first may fill tables that later calls share.
    """
    work()
    with _Counter() as counter:
        work()
    return Operations(counter.total, counter.views)
