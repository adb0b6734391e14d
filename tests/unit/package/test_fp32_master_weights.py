"""Weights changed at the vote reach the float32 copies of mixed-precision optimizers (microsoft/nni#4521)."""

from argparse import Namespace

import pytest
import torch
from fairseq.optim.adam import FairseqAdam, FairseqAdamConfig
from fairseq.optim.fp16_optimizer import FP16Optimizer
from omegaconf import OmegaConf

from fairseq_ghat.training.fp32_master_weights import renew_master_weights


def adam(parameters, lr=0.0):
    betas = "(0.9, 0.999)"
    cfg = FairseqAdamConfig(lr=[lr], adam_betas=betas, fp16_adam_stats=False, use_old_adam=True, tpu=False)
    return FairseqAdam(cfg, parameters)


def optimizer_of(parameters, flat):
    """fairseq's FP16Optimizer with copies built as it builds them; the flat kind by hand, it asks for a GPU."""
    cfg = OmegaConf.create(
        {"common": {"fp16_scale_window": 100, "bf16": True}, "optimization": {"update_freq": [1]}, "optimizer": {}}
    )
    if flat:
        copies = {0: torch.nn.Parameter(torch.cat([p.detach().float().flatten() for p in parameters]))}
        copies[0].grad = torch.zeros_like(copies[0])
        trained = list(copies.values())
    else:
        copies = FP16Optimizer.build_fp32_params(Namespace(), parameters, flatten=False)
        trained = copies
    return FP16Optimizer(cfg, parameters, adam(trained), copies)


def update_without_gradient(optimizer, parameters):
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer._needs_sync = True
    optimizer.step()


@pytest.mark.parametrize("flat", [False, True])
def test_nni_4521_the_next_update_keeps_the_changed_weights(flat):
    parameters = [torch.nn.Parameter(torch.randn(3, 2).bfloat16()), torch.nn.Parameter(torch.randn(4).bfloat16())]
    optimizer = optimizer_of(parameters, flat)
    with torch.no_grad():
        parameters[0].fill_(5.0)
    renew_master_weights(optimizer)
    if flat:
        assert optimizer.fp32_params[0][:6].tolist() == [5.0] * 6
        assert torch.equal(optimizer.fp32_params[0][6:], parameters[1].float())
    else:
        assert torch.equal(optimizer.fp32_params[0], torch.full((3, 2), 5.0))
        update_without_gradient(optimizer, parameters)
    assert parameters[0].flatten().tolist() == [5.0] * 6


def test_without_renewal_the_next_update_would_undo_the_change():
    """What the function is for."""
    parameters = [torch.nn.Parameter(torch.zeros(3, 2).bfloat16())]
    optimizer = optimizer_of(parameters, flat=False)
    with torch.no_grad():
        parameters[0].fill_(5.0)
    update_without_gradient(optimizer, parameters)
    assert parameters[0].abs().max() == 0


def test_optimizers_without_copies_are_left_alone():
    parameters = [torch.nn.Parameter(torch.randn(3))]
    before = parameters[0].clone()
    renew_master_weights(adam(parameters, lr=0.1))
    assert torch.equal(parameters[0], before)
