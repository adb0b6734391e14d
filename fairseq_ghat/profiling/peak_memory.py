"""Peak memory of a piece of work, exact also on a CPU, where torch keeps no such count."""

import json
import os
import tempfile
from typing import Callable, Dict

import torch
from torch.profiler import ProfilerActivity, profile


def peak_bytes(work: Callable[[], object], device: torch.device) -> int:
    """Most bytes that tensors took at once while the work ran, beyond those that were there before.

    On a CPU from the allocations that torch's profiler reports: memory of libraries beside torch does not count, and
    what the work frees of memory that was there before is not deducted, as it is on a GPU.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's own messages
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        work()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "trace.json")
        recorded.export_chrome_trace(path)
        with open(path, encoding="utf-8") as trace:
            events = json.load(trace)["traceEvents"]
    # A device type of 0 is the CPU. Frees come as negative bytes, those of older memory with a size that may be wrong.
    changes = [e for e in events if e.get("name") == "[memory]" and e["args"]["Device Type"] == 0]
    sizes: Dict[int, int] = {}
    held = most = 0
    for change in sorted(changes, key=lambda event: event["ts"]):
        address, size = change["args"]["Addr"], change["args"]["Bytes"]
        if size > 0:
            sizes[address] = size
            held += size
            most = max(most, held)
        else:
            held -= sizes.pop(address, 0)
    return most


def resident_bytes(module: torch.nn.Module) -> int:
    """Bytes of the parameters and buffers of a module, each storage once."""
    tensors = [*module.parameters(), *module.buffers()]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())
