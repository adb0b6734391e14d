"""Gates on the heads that are learned by gradients while the weights stay as they are; the most open ones stay."""

import logging
from typing import ClassVar, List

import torch
from torch import Tensor

from fairseq_ghat.core.head_budget import HeadBudget
from fairseq_ghat.core.stochastic_gates import gumbel, hard_concrete, open_probability, relaxed_subset
from fairseq_ghat.modules.unit_gates import UnitGates
from fairseq_ghat.pruning.calibration import Calibration, frozen_weights
from fairseq_ghat.pruning.importance.base import Importance, way_of_heads

logger = logging.getLogger(__name__)


class LearnedGates(Importance):
    """One parameter for each head, learned by Adam on the task loss per token; they are the scores.

    Every worker draws the same noise, and gradients are added up over the workers.

    Attributes:
        default_lr: learning rate unless --gate-lr is given.
    """

    uses_loss = True
    default_lr: ClassVar[float]

    def scores(self, calibration: Calibration) -> List[Tensor]:
        layers, name = calibration.layers, way_of_heads(self.options)
        device = layers[0].head_mask.device
        location = [torch.zeros(layer.heads_held, device=device, requires_grad=True) for layer in layers]
        generator = torch.Generator().manual_seed(self.options.seed)
        optimizer = torch.optim.Adam(location, lr=self.options.gate_lr or self.default_lr)
        budget, updates = self.budget(calibration), calibration.updates_planned()
        logger.info("%s: %d updates of the gates", name, updates)
        learned = torch.zeros((), dtype=torch.float64, device=device)
        with frozen_weights(calibration.model), UnitGates(layers) as gated:
            for update, sample in enumerate(calibration.updates()):
                noise = [torch.rand(layer.heads_held, generator=generator).to(device) for layer in layers]
                gates = self.gates(location, noise, budget, update / updates)
                gated.gates = dict(zip(layers, gates))
                tokens = torch.zeros((), dtype=torch.float64, device=device)
                gradients = [torch.zeros_like(parameter) for parameter in location]
                if sample:
                    loss, count = calibration.loss(calibration.model, sample)
                    gradients = list(torch.autograd.grad(loss, location))
                    tokens += count
                calibration.check_finite(*gradients)
                calibration.add_up(tokens, *gradients)
                learned += tokens
                for parameter, gradient in zip(location, gradients):
                    parameter.grad = gradient / tokens.clamp_min(1).to(gradient)
                self.add_penalty(location, budget)
                optimizer.step()
        if not learned:
            raise ValueError(f"cannot choose by {name}: the pass saw no data")
        return [parameter.detach().cpu() for parameter in location]

    def gates(self, location: List[Tensor], noise: List[Tensor], budget: HeadBudget, progress: float) -> List[Tensor]:
        """The gates of an update.

        Args:
            location: parameters of the gates of each layer, (H,).
            noise: uniform noise in (0, 1) for each layer, (H,).
            budget: how many heads stay.
            progress: share of the updates that are done.

        Returns:
            Gates of each layer, (H,).
        """
        raise NotImplementedError

    def add_penalty(self, location: List[Tensor], budget: HeadBudget) -> None:
        """Adds the gradient of a penalty to that of the task's loss."""


class StochasticGates(LearnedGates):
    """Hard-concrete gates with a penalty on the expected number of open ones (Voita et al. 2019, section 5.1).

    Their penalty has a fixed weight lambda, which decides how many heads stay. Here a number of heads is given, so
    lambda is searched for: it rises while more gates are expected to be open than the budget allows, and falls again.
    One lambda for each layer, or one for all with a budget over the model.
    """

    paper = "Voita et al. 2019, section 5.1"
    summary = "hard-concrete gates, learned with an L0 penalty"
    default_lr = 0.1
    # What lambda changes by in an update, per share of heads too many; the task loss is per token.
    lambda_lr = 0.02

    def scores(self, calibration: Calibration) -> List[Tensor]:
        budget, layers = self.budget(calibration), len(calibration.layers)
        self._lambdas = torch.zeros(layers if budget.over == "layer" else 1)
        scores = super().scores(calibration)
        expected = float(sum(open_probability(location).sum() for location in scores))
        name, total = way_of_heads(self.options), budget.total(layers)
        logger.info("%s: %.1f heads expected to be open, budget %d", name, expected, total)
        return scores

    def gates(self, location: List[Tensor], noise: List[Tensor], budget: HeadBudget, progress: float) -> List[Tensor]:
        return [hard_concrete(parameter, uniform) for parameter, uniform in zip(location, noise)]

    def add_penalty(self, location: List[Tensor], budget: HeadBudget) -> None:
        penalised = [[parameter] for parameter in location] if budget.over == "layer" else [location]
        for index, members in enumerate(penalised):
            expected = torch.stack([open_probability(parameter).sum() for parameter in members]).sum()
            heads = sum(parameter.numel() for parameter in members)
            for parameter, gradient in zip(members, torch.autograd.grad(expected, members)):
                assert parameter.grad is not None
                parameter.grad += self._lambdas[index].to(gradient) * gradient
            surplus = (float(expected.detach()) - budget.heads * len(members)) / heads
            self._lambdas[index] = max(0.0, float(self._lambdas[index]) + self.lambda_lr * surplus)


class DifferentiableSubset(LearnedGates):
    """Relaxed subsets of exactly as many heads as the budget has (Li et al. 2021, section 3, pipelined): the
    temperature falls from `hot` to `cold`, evenly in its logarithm.

    The authors' own schedule for translation, 0.1 to 1e-8 within thousands of updates, leaves gates without gradient
    for most of a single pass: of 24 heads that matter in a toy model it finds 17 in 200 updates, this one 24.
    """

    paper = "Li et al. 2021, section 3"
    summary = "Gumbel top-K gates, learned"
    default_lr = 0.2
    hot, cold = 1.0, 0.1

    def gates(self, location: List[Tensor], noise: List[Tensor], budget: HeadBudget, progress: float) -> List[Tensor]:
        temperature = self.hot * (self.cold / self.hot) ** progress
        logits = [parameter + gumbel(uniform) for parameter, uniform in zip(location, noise)]
        if budget.over == "layer":
            return [relaxed_subset(layer_logits, budget.heads, temperature) for layer_logits in logits]
        sizes = [layer_logits.numel() for layer_logits in logits]
        return list(relaxed_subset(torch.cat(logits), budget.total(len(sizes)), temperature).split(sizes))
