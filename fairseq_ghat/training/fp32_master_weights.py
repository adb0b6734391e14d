"""Brings the float32 copies that fairseq's mixed-precision optimizers hold in line with changed weights."""

import torch


@torch.no_grad()
def renew_master_weights(optimizer) -> None:
    """Copies the model's parameters into the optimizer's float32 copies; nothing to do where it has none.

    Under --fp16 and --bf16 the next update would otherwise write the weights of before a refit back into the
    model (the kind of fault of microsoft/nni#4521).

    Args:
        optimizer: a fairseq optimizer.
    """
    masters = getattr(optimizer, "fp32_params", None)
    parameters = getattr(optimizer, "fp16_params", None)
    if masters is None or parameters is None:
        return
    if not optimizer.has_flat_params:
        for master, parameter in zip(masters, parameters):
            master.copy_(parameter)
        return
    flats = masters if isinstance(masters, dict) else {None: masters}
    for device, flat in flats.items():
        offset = 0
        for parameter in parameters:
            if device is None or len(flats) == 1 or parameter.device.index == device:
                flat.data[offset : offset + parameter.numel()].copy_(parameter.reshape(-1))
                offset += parameter.numel()
