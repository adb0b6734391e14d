"""Gates on the heads that are learned by gradients while the weights stay as they are; the most open ones stay."""

import logging
from typing import List

import torch
from torch import Tensor

from fairseq_ghat.core.stochastic_gates import gumbel, hard_concrete, open_probability, relaxed_subset
from fairseq_ghat.modules.head_gates import HeadGates
from fairseq_ghat.pruning.calibration import Passes, frozen_weights
from fairseq_ghat.pruning.importance.base import Selector

logger = logging.getLogger(__name__)


class LearnedGates(Selector):
    """One parameter for each head, learned by Adam on the task loss per token; they are the scores.

    Every worker draws the same noise, and gradients are added up over the workers.
    """

    default_lr: float

    def explore(self, passes: Passes) -> None:
        device = self.layers[0].head_mask.device
        self.location = [torch.zeros(layer.heads_held, device=device, requires_grad=True) for layer in self.layers]
        generator = torch.Generator().manual_seed(self.rules.seed)
        optimizer = torch.optim.Adam(self.location, lr=self.rules.gate_lr or self.default_lr)
        updates = passes.updates_planned()
        logger.info("%s: %d updates of the gates", self.rules.keep, updates)
        learned = torch.zeros((), dtype=torch.float64, device=device)
        with frozen_weights(self.model), HeadGates(self.model) as gated:
            for update, sample in enumerate(passes.updates()):
                noise = [torch.rand(layer.heads_held, generator=generator).to(device) for layer in self.layers]
                gates = self.gates(noise, update / updates)
                gated.gates = dict(zip(self.layers, gates))
                tokens = torch.zeros((), dtype=torch.float64, device=device)
                gradients = [torch.zeros_like(location) for location in self.location]
                if sample:
                    loss, count = passes.loss(self.model, sample)
                    gradients = torch.autograd.grad(loss, self.location)
                    tokens += count
                for tensor in (tokens, *gradients):
                    passes.add_up(tensor)
                learned += tokens
                for location, gradient in zip(self.location, gradients):
                    location.grad = gradient / tokens.clamp_min(1).to(gradient)
                self.add_penalty()
                optimizer.step()
        if not learned:
            raise ValueError(f"cannot choose by {self.rules.keep}: the pass saw no data")

    def gates(self, noise: List[Tensor], progress: float) -> List[Tensor]:
        """Gates (H,) of each layer. noise: uniform, (H,) of each; progress: share of the updates that are done."""
        raise NotImplementedError

    def add_penalty(self) -> None:
        """Adds the gradient of what the loss has beside the task's."""

    def scores(self) -> List[Tensor]:
        return [location.detach().cpu() for location in self.location]


class StochasticGates(LearnedGates):
    """Hard-concrete gates with a penalty on the expected number of open ones (Voita et al. 2019, section 5.1).

    Their penalty has a fixed weight lambda, which decides how many heads stay. Here a number of heads is given, so
    lambda is found: it rises while more gates are expected to be open than the budget allows, and falls again. One
    lambda for each layer, or one for all with a budget over the model.
    """

    default_lr = 0.1
    # What lambda changes by in an update, per share of heads too many; the task loss is per token.
    lambda_lr = 0.02

    def explore(self, passes: Passes) -> None:
        self._lambdas = torch.zeros(len(self.layers) if self.budget.over == "layer" else 1)
        super().explore(passes)
        expected = float(sum(open_probability(location.detach()).sum() for location in self.location))
        logger.info(
            "%s: %.1f heads expected to be open, budget %d",
            self.rules.keep,
            expected,
            self.budget.total(len(self.layers)),
        )

    def gates(self, noise: List[Tensor], progress: float) -> List[Tensor]:
        return [hard_concrete(location, uniform) for location, uniform in zip(self.location, noise)]

    def add_penalty(self) -> None:
        if self.budget.over == "layer":
            groups = [[location] for location in self.location]
        else:
            groups = [self.location]
        for index, members in enumerate(groups):
            expected = sum(open_probability(location).sum() for location in members)
            heads = sum(location.numel() for location in members)
            for location, gradient in zip(members, torch.autograd.grad(expected, members)):
                location.grad += self._lambdas[index].to(gradient) * gradient
            surplus = (float(expected.detach()) - self.budget.heads * len(members)) / heads
            self._lambdas[index] = max(0.0, float(self._lambdas[index]) + self.lambda_lr * surplus)


class DifferentiableSubset(LearnedGates):
    """Relaxed subsets of exactly as many heads as the budget has (Li et al. 2021, section 3, pipelined): the
    temperature falls from `hot` to `cold`, evenly in its logarithm.

    The authors' own schedule for translation, 0.1 to 1e-8 within thousands of updates, leaves gates without gradient
    for most of a single pass: of 24 heads that matter in a toy model it finds 17 in 200 updates, this one 24.
    """

    default_lr = 0.2
    hot, cold = 1.0, 0.1

    def gates(self, noise: List[Tensor], progress: float) -> List[Tensor]:
        temperature = self.hot * (self.cold / self.hot) ** progress
        logits = [location + gumbel(uniform) for location, uniform in zip(self.location, noise)]
        if self.budget.over == "layer":
            return [relaxed_subset(of_layer, self.budget.heads, temperature) for of_layer in logits]
        sizes = [of_layer.numel() for of_layer in logits]
        return list(relaxed_subset(torch.cat(logits), self.budget.total(len(sizes)), temperature).split(sizes))
