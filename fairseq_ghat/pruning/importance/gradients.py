"""Head importance by gradients (Michel et al. 2019): how much the loss would change if a head were gated."""

import logging
import math
from typing import Dict, List

import torch
from torch import Tensor

from fairseq_ghat.core.head_budget import remove_lowest
from fairseq_ghat.modules.grouped_attention import GroupedAttention
from fairseq_ghat.modules.head_gates import HeadGates
from fairseq_ghat.pruning.calibration import Passes, frozen_weights
from fairseq_ghat.pruning.importance.base import Masks, Selector

logger = logging.getLogger(__name__)

# Share of all heads that go in each round of the iterative schedule (Michel et al., section 4.2).
SHARE_OF_A_ROUND = 0.1


class GradientImportance(Selector):
    """All heads are scored once: I_h = E_x |dL(x) / d xi_h| with the gate xi_h of head h at 1 (Eq. 2), by sentence,
    divided by the L2 norm of the layer's scores."""

    def explore(self, passes: Passes) -> None:
        self._scores = self._importance(passes, {})

    def scores(self) -> List[Tensor]:
        return self._scores

    def _importance(self, passes: Passes, alive: Dict[GroupedAttention, Tensor]) -> List[Tensor]:
        """(H,) float64 of each layer, on the CPU. alive: heads that are still there, all where a layer is missing."""
        device = self.layers[0].head_mask.device
        sums = {layer: torch.zeros(layer.heads_held, dtype=torch.float64, device=device) for layer in self.layers}
        sentences = torch.zeros((), dtype=torch.float64, device=device)
        with frozen_weights(self.model), HeadGates(self.model) as gated:
            for sample in passes.samples():
                if not sample:
                    continue
                count = sample["net_input"]["src_tokens"].size(0)
                for layer in self.layers:
                    gate = torch.ones(count, layer.heads_held, device=device)
                    if layer in alive:
                        gate *= alive[layer].to(gate)
                    gated.gates[layer] = gate.requires_grad_()
                loss, _ = passes.loss(self.model, sample)
                gradients = torch.autograd.grad(loss, list(gated.gates.values()))
                for layer, gradient in zip(gated.gates, gradients):
                    sums[layer] += gradient.double().abs().sum(0)
                sentences += count
        for tensor in (sentences, *sums.values()):
            passes.add_up(tensor)
        if not sentences:
            raise ValueError("cannot choose by gradients: the pass saw no data")
        return [(total / total.square().sum().sqrt().clamp_min(1e-30)).cpu() for total in sums.values()]


class IterativeGradientImportance(GradientImportance):
    """The same, in rounds: in each, those 10 % of the heads that matter least go, then the others are scored anew."""

    def explore(self, passes: Passes) -> None:
        alive = {layer: torch.ones(layer.heads_held, dtype=torch.bool) for layer in self.layers}
        total = sum(layer.heads_held for layer in self.layers)
        of_a_round = max(1, round(SHARE_OF_A_ROUND * total))
        to_go = total - self.budget.total(len(self.layers))
        rounds = math.ceil(to_go / of_a_round)
        for number in range(1, rounds + 1):
            scores = self._importance(passes, alive)
            left = remove_lowest(scores, list(alive.values()), self.budget, of_a_round)
            alive = dict(zip(alive, left))
            logger.info(
                "gradient importance: round %d of %d, %d of %d heads left",
                number,
                rounds,
                sum(int(mask.sum()) for mask in left),
                total,
            )
        self._alive = alive

    def choose(self) -> Masks:
        return self._alive
