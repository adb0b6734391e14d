"""Voting-to-Stay (paper, Algorithm 1): which head of each group is its pillar of strength."""

from functools import partial
from typing import Callable, List, Optional

import torch
from torch import Tensor

from fairseq_ghat.core.gram_matrix import group_membership, head_centre_cosines
from fairseq_ghat.core.hidden_units import hidden_unit_labels

VOTE_BY = ("count", "score")


class VoteTally:
    """Votes of the batches of one pass over the training set, for one stack of layers.

    In every batch each group's most typical head, the one with the highest pattern score eta, gets one vote.
    The groups that decide are those of the whole pass, found on the sum of the Gram matrices. Sums are
    kept in float64, so neither the order of the batches nor their spread over workers matters.

    Attributes:
        votes: (L, H) votes; scores: (L, H) summed pattern scores of all heads; gram: (L, H, H); batches: ().
    """

    def __init__(
        self, layers: int, heads: int, groups: int, distance: str = "euclidean", device: Optional[torch.device] = None
    ) -> None:
        self.groups = groups
        self.distance = distance
        zeros = partial(torch.zeros, dtype=torch.float64, device=device)
        self.batches, self.votes, self.scores = zeros(()), zeros(layers, heads), zeros(layers, heads)
        self.gram = zeros(layers, heads, heads)

    @torch.no_grad()
    def add(self, gram: Tensor, pattern_scores: Optional[Callable[[Tensor], Tensor]] = None) -> None:
        """Counts the votes of one batch.

        Args:
            gram: (L, H, H) feature Gram matrices of the batch.
            pattern_scores: from the groups (L, H) of the batch to eta (L, H); default is the metric form
                -phi(e_i, z_i), the cosine with the hidden unit of the own group.
        """
        labels = hidden_unit_labels(gram, self.groups, self.distance)
        if pattern_scores is None:
            scores = head_centre_cosines(gram, labels, self.groups)
        else:
            scores = pattern_scores(labels)
        self.gram += gram
        self.scores += scores
        self.votes += group_winners(scores, labels, self.groups)
        self.batches += 1

    def sums(self) -> List[Tensor]:
        """The tensors that add up over workers, to be reduced in place."""
        return [self.batches, self.votes, self.scores, self.gram]

    def final_labels(self) -> Tensor:
        """Groups of the whole pass, (L, H).

        Raises:
            ValueError: if no batch was counted.
        """
        if not self.batches:
            raise ValueError("cannot decide a vote over no batches: the voting pass saw no data")
        return hidden_unit_labels(self.gram, self.groups, self.distance)

    def elect(self, by: str = "count") -> Tensor:
        """Heads that stay: in each final group the one with most votes, or with the highest summed score.

        Ties go to the other of the two, then to the lower index.

        Args:
            by: "count" of votes, or "score", the sum of pattern scores (footnote to Algorithm 1).

        Returns:
            (L, H) bool with exactly C heads kept in each layer.

        Raises:
            ValueError: if no batch was counted, or for another `by`.
        """
        labels = self.final_labels()
        if by == "count":
            return elect(self.votes, self.scores, labels, self.groups)
        if by == "score":
            return elect(self.scores, self.votes, labels, self.groups)
        raise ValueError(f"a vote is decided by one of {', '.join(VOTE_BY)}, got {by!r}")


def group_winners(scores: Tensor, labels: Tensor, groups: int) -> Tensor:
    """The head with the highest score in every group, lower index first. (L, H), (L, H) -> (L, H) bool."""
    member = group_membership(labels, groups, torch.bool)  # (L, H, C)
    per_group = scores.unsqueeze(-1).masked_fill(~member, -float("inf"))
    highest = per_group == per_group.max(-2, keepdim=True).values
    first = highest & (highest.cumsum(-2) == 1)
    return (first & member).any(-1)


def elect(first: Tensor, second: Tensor, labels: Tensor, groups: int) -> Tensor:
    """Winner of each group by the first criterion, then the second, then lower index. (L, H) -> (L, H) bool."""
    tied_best = torch.zeros_like(labels, dtype=torch.bool)
    for group in range(groups):
        member = labels == group
        most = first.masked_fill(~member, -float("inf")).max(-1, keepdim=True).values
        tied_best |= member & (first == most)
    return group_winners(second.masked_fill(~tied_best, -float("inf")), labels, groups)


def random_in_group(labels: Tensor, groups: int, generator: torch.Generator) -> Tensor:
    """A random member of every group (ablation of Table 3). labels (L, H) -> (L, H) bool; drawn on the CPU."""
    draws = torch.rand(labels.shape, generator=generator, dtype=torch.float64).to(labels.device)
    return group_winners(draws, labels, groups)
