"""Sums over data-parallel workers, the check that they agree, and the buffers they exchange gradients through."""

from typing import Any, Iterable, List, Mapping, Tuple

import torch
from fairseq.distributed import LegacyDistributedDataParallel
from fairseq.distributed import utils as distributed_utils
from torch import Tensor
from torch.distributed.algorithms import ddp_comm_hooks
from torch.nn.parallel import DistributedDataParallel

from fairseq_ghat.modules.removable_layers import KeptUnits


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


def check_same_units(kept: Mapping[str, KeptUnits]) -> None:
    """Checks that all workers kept the same heads and neurons; every worker must call it.

    Args:
        kept: what the vote of this worker left of each layer, by layer name.

    Raises:
        RuntimeError: on every worker, if what the workers kept differs; names the layers.
    """
    workers, _ = share_of_data()
    if workers == 1:
        return
    differing: List[str] = []
    for name, (units, of) in kept.items():
        keepers = torch.zeros(of, dtype=torch.float64)
        keepers[units] = 1
        add_up_over_workers(keepers)
        if bool(((keepers != 0) & (keepers != workers)).any()):
            differing.append(name)
    if differing:
        raise RuntimeError(
            f"the workers voted differently in {', '.join(differing)}: they do not hold the same weights. "
            "Restart from the last checkpoint"
        )


def renew_gradient_buffers(model: Any, comm_hook: str = "none") -> None:
    """Gives the wrapper of data-parallel training buffers of the present shapes of the parameters; in place, since
    fairseq may be within its no_sync(). Every worker must call it. Does nothing to a model without a wrapper.

    Args:
        model: as fairseq hands it to the task in training.
        comm_hook: --ddp-comm-hook, none or fp16.
    """
    wrapper = model
    while hasattr(wrapper, "module"):
        if isinstance(wrapper, LegacyDistributedDataParallel):
            wrapper.buffer = None  # made when gradients are exchanged next
            wrapper.buffer_size = min(wrapper.buffer_size, sum(p.numel() for p in wrapper.parameters()))
        elif isinstance(wrapper, DistributedDataParallel):
            _build_anew(wrapper)
            if comm_hook == "fp16":
                ddp_comm_hooks.register_ddp_comm_hook(ddp_comm_hooks.DDPCommHookType.FP16_COMPRESS, wrapper)
        wrapper = wrapper.module


def _build_anew(wrapper: DistributedDataParallel) -> None:
    """Builds torch's wrapper once more with the options it has."""
    names = ("module", "device_ids", "output_device", "process_group", "broadcast_buffers", "find_unused_parameters")
    options = {name: getattr(wrapper, name) for name in (*names, "gradient_as_bucket_view", "static_graph")}
    options["bucket_cap_mb"] = wrapper.bucket_bytes_cap / 2**20
    exchanging = wrapper.require_backward_grad_sync
    # The old buckets keep nodes of autograd alive that expect gradients of the old shapes.
    del wrapper.reducer, wrapper.logger
    DistributedDataParallel.__init__(wrapper, **options)
    wrapper.require_backward_grad_sync = exchanging
