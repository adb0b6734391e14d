"""Scores of heads that need no gradients: how much they agree, how much of the output varies by them."""

from typing import List

from torch import Tensor

from fairseq_ghat.core.gram_matrix import cosine_gram


def agreement(gram: Tensor, kept: Tensor) -> float:
    """Mean cosine between the feature maps of the kept heads, each with itself included.

    It is the negative of the disagreement of Li et al. (2018, section 3.2), which the constraint with one group for
    each head maximises.

    Args:
        gram: feature Gram matrix, (H, H).
        kept: heads that stay, (H,) bool.
    """
    return float(cosine_gram(gram[kept][:, kept]).mean())


def redundancy_scores(gram: Tensor) -> Tensor:
    """Scores of heads taken away one by one, each time the one that agrees most with the others left.

    Args:
        gram: feature Gram matrix, (H, H).

    Returns:
        (H,) float64, minus the mean cosine with the heads that were left, made to rise from each head to the next one
        taken; comparable between layers. The last head has 2, more than any other can.
    """
    cosines = cosine_gram(gram.double())
    left: List[int] = list(range(gram.size(-1)))
    scores = cosines.new_full((len(left),), 2.0)
    highest = -float("inf")
    while len(left) > 1:
        among_left = cosines[left][:, left]
        mean = (among_left.sum(1) - among_left.diagonal()) / (len(left) - 1)
        most = int(mean.argmax())
        highest = max(highest, -float(mean[most]))
        scores[left.pop(most)] = highest
    return scores


def variance_shares(weight: Tensor, covariance: Tensor, heads: int) -> Tensor:
    """Share of each head in the variance of the attention's output, y = sum over heads of W_h o_h + b.

    It is tr Cov(W_h o_h, y) / tr Cov(y). The shares sum to 1; that of a head which works against the others is below 0.

    Args:
        weight: W of the output projection, (E, H*D).
        covariance: of the outputs of the heads, (H*D, H*D).
        heads: H.

    Returns:
        (H,) float64; not a number where the output does not vary.
    """
    weight = weight.double()
    parts = (weight.T @ weight * covariance).sum(1).view(heads, -1).sum(1)
    return parts / parts.sum()
