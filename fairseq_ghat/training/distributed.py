"""Sums over data-parallel workers, and the check that they agree."""

from typing import Dict, Iterable, List, Tuple

import torch
from fairseq.distributed import utils as distributed_utils
from torch import Tensor, nn

from fairseq_ghat.modules.grouped_attention import grouped_attentions


def share_of_data() -> Tuple[int, int]:
    """Number of data-parallel workers, and the number of this one from 0."""
    workers = distributed_utils.get_data_parallel_world_size()
    return workers, distributed_utils.get_data_parallel_rank() if workers > 1 else 0


def add_up_over_workers(tensor: Tensor) -> None:
    """Sums a tensor over all workers, in place; every worker must call it. Alone, does nothing."""
    if distributed_utils.get_data_parallel_world_size() > 1:
        # NCCL reduces nothing that lies on the CPU.
        group = distributed_utils.get_data_parallel_group()
        shared = tensor.cuda() if torch.distributed.get_backend(group) == "nccl" else tensor
        distributed_utils.all_reduce(shared, group=group)
        tensor.copy_(shared)


@torch.no_grad()
def agree_on(parameters: Iterable[Tensor]) -> None:
    """Gives parameters their mean over all workers, which are then equal to the last bit; alone, does nothing.

    Workers on different hardware may solve the same equations to different last bits, and data-parallel
    training, which exchanges gradients alone, would keep the difference.
    """
    workers, _ = share_of_data()
    if workers > 1:
        for parameter in parameters:
            mean = parameter.double()
            add_up_over_workers(mean)
            parameter.copy_(mean / workers)


def check_same_masks(model: nn.Module) -> None:
    """Checks that all workers kept the same heads; every worker must call it.

    Raises:
        RuntimeError: on every worker, if the head masks of the workers differ; names a layer.
    """
    workers, _ = share_of_data()
    if workers == 1:
        return
    differing: List[str] = []
    masks: Dict[str, Tensor] = {name: layer.head_mask for name, layer in grouped_attentions(model).items()}
    for name, mask in masks.items():
        total, square = mask.double().clone(), mask.double().square()
        add_up_over_workers(total)
        add_up_over_workers(square)
        if not torch.allclose(total.square(), square * workers):
            differing.append(name)
    if differing:
        raise RuntimeError(
            f"the workers voted differently in {', '.join(differing)}: they do not hold the same weights. "
            "Restart from the last checkpoint"
        )
