"""What each head is worth to the loss: the loss of a model without it, without refit or training."""

from dataclasses import dataclass
from math import log
from typing import Callable, Dict, List

import torch

from fairseq_ghat.modules.unit_gates import UnitGates
from fairseq_ghat.pruning.calibration import Calibration, frozen


@dataclass
class DroppedHeads:
    """Losses in bits per target token, without label smoothing, as fairseq's nll_loss.

    Attributes:
        loss: of the model with all its heads.
        increase: by how much it is higher without each head, by name of the attention layer.
    """

    loss: float
    increase: Dict[str, List[float]]


def drop_heads(
    calibration: Calibration, progress: Callable[[int, int], None] = lambda batches, heads: None
) -> DroppedHeads:
    """Measures the loss with all heads, then without each of them alone; as many passes as there are heads, and one.

    Args:
        calibration: a model that computes all heads it holds, the data and the loss.
        progress: called with the number of batches that are done, and of heads in the next one.

    Raises:
        ValueError: if the data are none.
    """
    layers = {calibration.names[layer]: layer for layer in calibration.layers}
    heads = [(name, head) for name, layer in layers.items() for head in range(layer.heads_held)]
    totals = torch.zeros(1 + len(heads), dtype=torch.float64)
    tokens = 0
    with frozen(calibration.model), UnitGates(layers.values()) as gated:
        for done, sample in enumerate(filter(None, calibration.samples())):
            for index, dropped in enumerate([None, *heads]):
                progress(done, index)
                gated.gates = {}
                if dropped is not None:
                    name, head = dropped
                    gate = torch.ones(layers[name].heads_held, device=layers[name].head_mask.device)
                    gate[head] = 0
                    gated.gates[layers[name]] = gate
                loss, count = calibration.loss(calibration.model, sample)
                totals[index] += float(loss)
            tokens += int(count)
    if not tokens:
        raise ValueError("cannot tell losses: the pass saw no data")
    whole, *without = (totals / tokens / log(2)).tolist()
    increase: Dict[str, List[float]] = {name: [] for name in layers}
    for (name, _), loss in zip(heads, without):
        increase[name].append(loss - whole)
    return DroppedHeads(whole, increase)
