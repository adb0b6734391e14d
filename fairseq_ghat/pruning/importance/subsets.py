"""Ways to choose heads that weigh whole subsets of a layer: least reconstruction error, and most disagreement."""

from contextlib import contextmanager
from typing import Dict, Iterable, List, Optional

import torch
from torch import Tensor

from fairseq_ghat.core.head_scores import agreement, redundancy_scores
from fairseq_ghat.core.output_refit import SingularRefit, dropped_error, refitted_error
from fairseq_ghat.core.subset_search import best_subset, eliminate
from fairseq_ghat.modules.feature_collectors import FeatureGrams
from fairseq_ghat.modules.grouped_attention import GroupedAttention
from fairseq_ghat.pruning.importance.base import Masks, Selector


class _SubsetSelector(Selector):
    """The cheapest subset in each layer; over the whole model, heads that are taken away one by one in each."""

    def cost(self, layer: GroupedAttention, kept: Tensor) -> float:
        """What a subset of the heads of a layer costs. kept: (H,) bool."""
        raise NotImplementedError

    def choose(self) -> Masks:
        if self.budget.over == "model":
            return super().choose()
        return {
            layer: best_subset(layer.heads_held, self.budget.heads, lambda kept, layer=layer: self.cost(layer, kept))
            for layer in self.layers
        }


class Reconstruction(_SubsetSelector):
    """Heads from which the attention output of all heads is reconstructed with the least squared error: by plain
    removal under refit "none", by the refitted projection under "output"; over the whole model, relative to the power
    of the layer's output."""

    uses_moments = True

    def cost(self, layer: GroupedAttention, kept: Tensor) -> float:
        weight = layer.out_proj.weight.detach()
        features = kept.to(weight.device).repeat_interleave(layer.head_dim)
        moments = self.moments.moments[layer]
        if not moments.count:
            raise ValueError("cannot choose by reconstruction: the pass saw no data")
        if self.rules.refit == "none" or not kept.any():
            return dropped_error(weight, moments, features)
        try:
            return refitted_error(weight, moments, features)
        except SingularRefit as error:
            raise ValueError(f"--refit output: {self.names[layer]}: {error}; use --refit none") from None

    def scores(self) -> List[Tensor]:
        found = []
        for layer in self.layers:
            order, costs = eliminate(layer.heads_held, lambda kept, layer=layer: self.cost(layer, kept), down_to=0)
            share = torch.tensor(costs, dtype=torch.float64).cummax(0).values
            if costs[-1] > 0:  # of no head at all: the power of the layer's output
                share /= costs[-1]
            found.append(torch.empty_like(share).index_copy_(0, torch.tensor(order), share))
        return found


class Disagreement(_SubsetSelector):
    """Heads whose feature maps agree least with each other."""

    watches = True

    def __init__(self, model, rules, classifiers=None):
        super().__init__(model, rules, classifiers)
        self.grams: Dict[GroupedAttention, Tensor] = {
            layer: torch.zeros(layer.heads_held, layer.heads_held, dtype=torch.float64, device=layer.head_mask.device)
            for layer in self.layers
        }

    @contextmanager
    def watching(self, padding: Optional[Tensor]):
        with FeatureGrams(self.model, padding) as grams:
            yield
        for layers, stack in zip(grams.layer_stacks(), grams.stacks()):
            for layer, gram in zip(layers, stack):
                self.grams[layer] += gram

    def sums(self) -> Iterable[Tensor]:
        return self.grams.values()

    def cost(self, layer: GroupedAttention, kept: Tensor) -> float:
        return agreement(self.grams[layer].cpu(), kept)

    def scores(self) -> List[Tensor]:
        return [redundancy_scores(self.grams[layer].cpu()) for layer in self.layers]

    def choose(self) -> Masks:
        if not any(gram.any() for gram in self.grams.values()):
            raise ValueError("cannot choose by disagreement: the pass saw no data")
        return super().choose()
