"""Voting-to-Stay (paper, Algorithm 1), and a random member of each group in its place (ablation of Table 3)."""

from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Iterable, Optional

import torch
from torch import Tensor

from fairseq_ghat.core.group_constraint import own_group_probability
from fairseq_ghat.core.hidden_units import check_groups
from fairseq_ghat.core.voting import VoteTally, random_in_group
from fairseq_ghat.modules.feature_collectors import FeatureGrams, PooledFeatures, stacks_by_heads
from fairseq_ghat.modules.grouped_attention import GroupedAttention
from fairseq_ghat.pruning.importance.base import Masks, Selector


class Pillars(Selector):
    """The winner of each group; the budget is the number of groups. `classifiers`: then p(z | e) is the pattern score
    (Eq. 4 A), not the cosine."""

    watches = True

    def __init__(self, model, rules, classifiers=None):
        super().__init__(model, rules, classifiers)
        self.stacks = stacks_by_heads(self.layers)
        self.tallies = []
        for stack in self.stacks:
            grouping, device = stack[0].grouping, stack[0].head_mask.device
            check_groups(grouping.groups, stack[0].heads_computed)
            tally = VoteTally(len(stack), stack[0].heads_computed, grouping.groups, grouping.distance, device)
            self.tallies.append(tally)

    @contextmanager
    def watching(self, padding: Optional[Tensor]):
        pooled = None if self.classifiers is None else PooledFeatures(self.model, padding)
        with FeatureGrams(self.model, padding) as grams, pooled or nullcontext():
            yield
        for layers, tally, gram in zip(self.stacks, self.tallies, grams.stacks()):
            scores = None
            if pooled is not None:
                logits = self.classifiers([self.names[layer] for layer in layers], pooled.pooled(layers))
                scores = partial(own_group_probability, logits)
            tally.add(gram, scores)

    def sums(self) -> Iterable[Tensor]:
        return [tensor for tally in self.tallies for tensor in tally.sums()]

    def choose(self) -> Masks:
        masks = [self._elect(tally) for tally in self.tallies]
        by_layer = {
            layer: mask for layers, of_stack in zip(self.stacks, masks) for layer, mask in zip(layers, of_stack)
        }
        return {layer: by_layer[layer] for layer in self.layers}

    def _elect(self, tally: VoteTally) -> Tensor:
        return tally.elect(self.rules.by)

    def remark(self, layer: GroupedAttention) -> str:
        for layers, tally in zip(self.stacks, self.tallies):
            if layer in layers:
                votes = [int(count) for count in tally.votes[layers.index(layer)]]
                return f"; votes {votes} of {int(tally.batches)} batches"
        raise KeyError(self.names[layer])


class RandomInGroup(Pillars):
    """A random member of each group."""

    def choose(self) -> Masks:
        self._generator = torch.Generator().manual_seed(self.rules.seed)
        return super().choose()

    def _elect(self, tally: VoteTally) -> Tensor:
        return random_in_group(tally.final_labels(), tally.groups, self._generator)

    def remark(self, layer: GroupedAttention) -> str:
        return f" ({self.rules.keep}){super().remark(layer)}"
