"""Voting-to-Stay (paper, Algorithm 1), and a random member of each group in its place (ablation of Table 3)."""

from functools import partial
from typing import List

import torch
from torch import Tensor

from fairseq_ghat.core.group_constraint import own_group_probability
from fairseq_ghat.core.hidden_units import check_groups
from fairseq_ghat.core.voting import VoteTally, random_in_group
from fairseq_ghat.modules.grouped_attention import GroupedAttention
from fairseq_ghat.modules.head_features import RecordedFeatures, stacks_by_heads
from fairseq_ghat.pruning.calibration import Calibration
from fairseq_ghat.pruning.importance.base import Importance, Masks, way_of_heads


class Pillars(Importance):
    """The winner of each group. With classifiers p(z | e) is the pattern score (Eq. 4 A), not the cosine."""

    paper = "Ni et al. 2023, Algorithm 1"
    summary = "votes of the batches in each group"
    one_per_group = True

    def select(self, calibration: Calibration) -> Masks:
        self._stacks = stacks_by_heads(calibration.layers)
        self._tallies = [self._new_tally(layers, calibration) for layers in self._stacks]
        for features in calibration.features(pooled=self.classifiers is not None):
            self._count_votes(features)
        for tally in self._tallies:
            calibration.add_up(*tally.sums())
        elected: Masks = {}
        for layers, tally in zip(self._stacks, self._tallies):
            elected.update(zip(layers, self._elect(tally)))
        return {layer: elected[layer] for layer in calibration.layers}

    def _new_tally(self, layers: List[GroupedAttention], calibration: Calibration) -> VoteTally:
        grouping, heads = calibration.grouping, layers[0].heads_computed
        check_groups(grouping.groups, heads)
        return VoteTally(len(layers), heads, grouping.groups, grouping.distance, layers[0].head_mask.device)

    def _count_votes(self, features: RecordedFeatures) -> None:
        for layers, tally, gram in zip(self._stacks, self._tallies, features.stacks()):
            scores = None
            if self.classifiers is not None:
                logits = self.classifiers([features.names[layer] for layer in layers], features.pooled(layers))
                scores = partial(own_group_probability, logits)
            tally.add(gram, scores)

    def _elect(self, tally: VoteTally) -> Tensor:
        return tally.elect(str(self.options.vote_by))

    def remark(self, layer: GroupedAttention) -> str:
        for layers, tally in zip(self._stacks, self._tallies):
            if layer in layers:
                votes = [int(count) for count in tally.votes[layers.index(layer)]]
                return f"; votes {votes} of {int(tally.batches)} batches"
        raise KeyError(layer)


class RandomInGroup(Pillars):
    """A random member of each group."""

    paper = "Ni et al. 2023, Table 3"
    summary = "chance within each group"

    def select(self, calibration: Calibration) -> Masks:
        self._generator = torch.Generator().manual_seed(self.options.seed)
        return super().select(calibration)

    def _elect(self, tally: VoteTally) -> Tensor:
        return random_in_group(tally.final_labels(), tally.groups, self._generator)

    def remark(self, layer: GroupedAttention) -> str:
        return f" ({way_of_heads(self.options)}){super().remark(layer)}"
