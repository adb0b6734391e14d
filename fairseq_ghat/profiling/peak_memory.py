"""Peak memory of a function call; exact also on a CPU, where torch keeps no such count."""

import json
import os
import tempfile
from pathlib import Path
from typing import Callable, Dict

import torch
from torch.profiler import ProfilerActivity, profile


def peak_bytes(work: Callable[[], object], device: torch.device) -> int:
    """Largest memory of tensors during a function call, beyond the memory held before it, in bytes.

    On a CPU it follows from the allocations that torch's profiler reports. Memory of other libraries does not count
    there, and memory from before that the function frees is not deducted, as it is on a GPU.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's own messages
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "trace.json")
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
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
    """Memory of the parameters and buffers of a module in bytes; a shared storage counts once."""
    tensors = [*module.parameters(), *module.buffers()]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())
