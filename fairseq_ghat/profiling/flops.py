"""FLOPs of one forward pass, counted by fvcore: a multiplication and its addition are one, as in the paper."""

import logging
from dataclasses import dataclass
from typing import Any, List

import torch
from fvcore.nn import FlopCountAnalysis
from fvcore.nn.jit_handles import bmm_flop_jit, get_shape
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
    for name in ("fvcore.nn.jit_analysis", "torch.jit"):  # they warn of what this module intends
        logging.getLogger(name).setLevel(logging.ERROR)
    analysis = FlopCountAnalysis(_LogProbabilities(model), inputs)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    analysis.set_op_handle("aten::scaled_dot_product_attention", _attention_flops)
    analysis.set_op_handle("aten::baddbmm", lambda inputs, outputs: bmm_flop_jit(inputs[1:3], outputs))
    by_module = analysis.by_module()
    output_layer = by_module["model.decoder.output_projection"] + by_module["model.decoder.adaptive_softmax"]
    return Flops(int(analysis.total()), int(analysis.total() - output_layer))


class _LogProbabilities(nn.Module):
    """The log-probabilities of a model: an adaptive output layer is computed after its forward pass."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, *inputs):
        return self.model.get_normalized_probs(self.model(*inputs), log_probs=True)


def _attention_flops(inputs: List[Any], outputs: List[Any]) -> int:
    """Scores and weighted sum of (B, K, T, D) queries and (B, K, S, D) keys and values: 2 B K T S D."""
    batch, heads, queries, features = get_shape(inputs[0])
    return 2 * batch * heads * queries * get_shape(inputs[1])[2] * features
