"""FLOPs of one forward pass, counted by fvcore: a multiplication and its addition are one, as in the paper."""

import logging
from dataclasses import dataclass
from typing import Any, List

import torch
from fvcore.nn import FlopCountAnalysis
from fvcore.nn.jit_handles import get_shape
from torch import nn


@dataclass(frozen=True)
class Flops:
    """FLOPs of one sentence, or pair of sentences of equal length; the output layer is the one over the vocabulary."""

    total: int
    without_output_layer: int


def count_flops(model: nn.Module, length: int = 30) -> Flops:
    """Counts the FLOPs of a translation or language model by running it on one sentence.

    fvcore counts layer norms, but not softmax, activations and additions.

    Args:
        model: grouped model, whose attention computes only the heads that stay; on any device but meta.
        length: tokens on each side; 30 in the paper.

    Raises:
        ValueError: if the model has fewer positions.
    """
    positions = model.max_positions()
    most = min(positions) if isinstance(positions, tuple) else positions
    if length > most:
        raise ValueError(f"--length {length}: the model has {most} positions; allowed is no more")
    model.eval()
    device = next(model.parameters()).device
    tokens = torch.full((1, length), model.decoder.dictionary.eos() + 1, device=device)
    inputs = (tokens, torch.tensor([length], device=device), tokens) if hasattr(model, "encoder") else (tokens,)
    return Flops(*(_count(_Forward(model, features_only), inputs) for features_only in (False, True)))


class _Forward(nn.Module):
    """The model's forward pass, up to the logits or up to the features before the output layer."""

    def __init__(self, model: nn.Module, features_only: bool):
        super().__init__()
        self.model, self.features_only = model, features_only

    def forward(self, *inputs):
        out = self.model(*inputs, features_only=self.features_only)[0]
        adaptive = getattr(self.model.decoder, "adaptive_softmax", None)
        if adaptive is not None and not self.features_only:
            return adaptive.get_log_prob(out, None)
        return out


def _count(module: nn.Module, inputs) -> int:
    for name in ("fvcore.nn.jit_analysis", "torch.jit"):  # they warn of what this module intends
        logging.getLogger(name).setLevel(logging.ERROR)
    analysis = FlopCountAnalysis(module, inputs)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    analysis.set_op_handle("aten::scaled_dot_product_attention", _attention_flops)
    return int(analysis.total())


def _attention_flops(inputs: List[Any], outputs: List[Any]) -> int:
    """Scores and weighted sum of (B, K, T, D) queries and (B, K, S, D) keys and values: 2 B K T S D."""
    batch, heads, queries, features = get_shape(inputs[0])
    return 2 * batch * heads * queries * get_shape(inputs[1])[2] * features
