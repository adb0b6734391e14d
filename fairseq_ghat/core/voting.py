"""Voting-to-Stay (paper, Algorithm 1): which head of each group is its pillar of strength."""

import torch
from torch import Tensor

from fairseq_ghat.core.feature_gram import group_membership, head_centre_cosines
from fairseq_ghat.core.hidden_units import hidden_unit_labels


class VoteTally:
    """Votes of the batches of one pass over the training set, for one stack of layers.

    In every batch each group's most typical head, the one with the highest pattern score
    eta = -phi(e_i, z_i), gets one vote. The groups that decide are those of the whole pass, found on the
    sum of the Gram matrices. Sums are kept in float64, so the order of the batches does not matter.

    Attributes:
        votes: (L, H) votes; scores: (L, H) summed pattern scores of the votes; gram: (L, H, H); batches.
    """

    def __init__(self, groups: int, distance: str = "euclidean"):
        self.groups = groups
        self.distance = distance
        self.batches = 0
        self.votes = self.scores = self.gram = None

    @torch.no_grad()
    def add(self, gram: Tensor) -> None:
        """Counts the votes of one batch. gram: (L, H, H)."""
        labels = hidden_unit_labels(gram, self.groups, self.distance)
        scores = head_centre_cosines(gram, labels, self.groups)
        winners = group_winners(scores, labels, self.groups)
        if self.gram is None:
            self.gram = torch.zeros_like(gram, dtype=torch.float64)
            self.scores = torch.zeros_like(scores, dtype=torch.float64)
            self.votes = torch.zeros_like(scores, dtype=torch.float64)
        self.gram += gram
        self.scores += scores
        self.votes += winners
        self.batches += 1

    def elect(self) -> Tensor:
        """Heads that stay: in each final group the one with most votes.

        Ties go to the higher summed score, then to the lower index.

        Returns:
            (L, H) bool with exactly C heads kept in each layer.

        Raises:
            ValueError: if no batch was counted.
        """
        if self.gram is None:
            raise ValueError("cannot decide a vote over no batches: the voting pass saw no data")
        labels = hidden_unit_labels(self.gram, self.groups, self.distance)
        return elect(self.votes, self.scores, labels, self.groups)


def group_winners(scores: Tensor, labels: Tensor, groups: int) -> Tensor:
    """The head with the highest score in every group, lower index first. (L, H), (L, H) -> (L, H) bool."""
    member = group_membership(labels, groups, torch.bool)  # (L, H, C)
    per_group = scores.unsqueeze(-1).masked_fill(~member, -float("inf"))
    highest = per_group == per_group.max(-2, keepdim=True).values
    first = highest & (highest.cumsum(-2) == 1)
    return (first & member).any(-1)


def elect(votes: Tensor, scores: Tensor, labels: Tensor, groups: int) -> Tensor:
    """Winner of each group by votes, then score, then lower index. All (L, H) -> (L, H) bool."""
    tied_best = torch.zeros_like(labels, dtype=torch.bool)
    for group in range(groups):
        member = labels == group
        most = votes.masked_fill(~member, -1).max(-1, keepdim=True).values
        tied_best |= member & (votes == most)
    return group_winners(scores.masked_fill(~tied_best, -float("inf")), labels, groups)
