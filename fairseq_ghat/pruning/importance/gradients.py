"""Head importance by gradients (Michel et al. 2019): how much the loss would change if a head were gated."""

import logging
import math
from typing import Iterator, List, Mapping, Sequence

import torch
from torch import Tensor

from fairseq_ghat.core.head_budget import remove_lowest
from fairseq_ghat.modules.grouped_attention import GroupedAttention
from fairseq_ghat.modules.unit_gates import UnitGates
from fairseq_ghat.pruning.calibration import Calibration, Layer, frozen_weights
from fairseq_ghat.pruning.importance.base import Importance, Masks

logger = logging.getLogger(__name__)

# Share of all heads that go in each round of the iterative schedule (Michel et al., section 4.2).
SHARE_OF_A_ROUND = 0.1


class GradientImportance(Importance):
    """All heads are scored once: I_h = E_x |dL(x) / d xi_h| with the gate xi_h of head h at 1 (Eq. 2), by sentence,
    divided by the L2 norm of the layer's scores."""

    paper = "Michel et al. 2019, Eq. 2"
    summary = "gradient of the loss by the head's gate"
    uses_loss = True

    def scores(self, calibration: Calibration) -> List[Tensor]:
        return _gate_gradients(calibration, {})


class IterativeGradientImportance(Importance):
    """The same, in rounds: in each, those 10 % of the heads that matter least go, then the others are scored anew."""

    paper = "Michel et al. 2019, section 4.2"
    summary = "the same, a tenth of the heads at a time"
    uses_loss = True

    def select(self, calibration: Calibration) -> Masks:
        alive = {layer: torch.ones(layer.heads_held, dtype=torch.bool) for layer in calibration.layers}
        budget, total = self.budget(calibration), sum(layer.heads_held for layer in calibration.layers)
        heads_a_round = max(1, round(SHARE_OF_A_ROUND * total))
        rounds = math.ceil((total - budget.total(len(alive))) / heads_a_round)
        for number in range(1, rounds + 1):
            scores = _gate_gradients(calibration, alive)
            left = remove_lowest(scores, list(alive.values()), budget, heads_a_round)
            alive = dict(zip(alive, left))
            heads_left = sum(int(mask.sum()) for mask in left)
            logger.info("gradient importance: round %d of %d, %d of %d heads left", number, rounds, heads_left, total)
        return alive


def _gate_gradients(calibration: Calibration, alive: Mapping[GroupedAttention, Tensor]) -> List[Tensor]:
    """Importance of the heads of each layer (Michel et al., Eq. 2).

    Args:
        calibration: the model and the data.
        alive: as in sentence_gradients.

    Returns:
        (H,) float64 of each layer, of L2 norm 1, on the CPU.
    """
    layers = calibration.layers
    device = layers[0].head_mask.device
    sums = [torch.zeros(layer.heads_held, dtype=torch.float64, device=device) for layer in layers]
    sentences = torch.zeros((), dtype=torch.float64, device=device)
    for gradients in sentence_gradients(calibration, layers, alive):
        for total, gradient in zip(sums, gradients):
            total += gradient.double().abs().sum(0)
        sentences += len(gradients[0])
    calibration.add_up(sentences, *sums)
    if not sentences:
        raise ValueError("cannot choose by gradients: the pass saw no data")
    return [(total / total.square().sum().sqrt().clamp_min(1e-30)).cpu() for total in sums]


def sentence_gradients(
    calibration: Calibration, layers: Sequence[Layer], alive: Mapping[Layer, Tensor]
) -> Iterator[List[Tensor]]:
    """Gradients of each sentence's summed loss by the gates of units that are at one, in one pass over the data.

    Args:
        calibration: the model and the data.
        layers: with the units.
        alive: units whose gates are at one, (U,) bool, by layer, others are at zero; all of a layer that is missing.

    Yields:
        (B, U) of each layer, for each batch of B sentences.
    """
    with frozen_weights(calibration.model), UnitGates(layers) as gated:
        for sample in calibration.samples():
            if not sample:
                calibration.check_finite()
                continue
            count = sample["net_input"]["src_tokens"].size(0)
            for layer in layers:
                gate = torch.ones(count, layer.units, device=layer.projection.weight.device)
                if layer in alive:
                    gate *= alive[layer].to(gate)
                gated.gates[layer] = gate.requires_grad_()
            loss, _ = calibration.loss(calibration.model, sample)
            gradients = torch.autograd.grad(loss, [gated.gates[layer] for layer in layers])
            calibration.check_finite(*gradients)
            yield list(gradients)
