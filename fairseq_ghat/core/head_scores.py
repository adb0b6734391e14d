"""Scores of heads that need no training: the size of their weights, and how much they agree with each other."""

from torch import Tensor

from fairseq_ghat.core.gram_matrix import cosine_gram


def projection_l1(query: Tensor, key: Tensor, value: Tensor, output: Tensor, heads: int) -> Tensor:
    """Sum of the absolute weights of each head in all four projections of an attention layer.

    Args:
        query, key, value: (H*D, E), the rows of a head are its own; output: (E, H*D), its columns.
        heads: H.

    Returns:
        (H,) float64.
    """
    rows = sum(weight.double().abs().sum(1) for weight in (query, key, value))
    return (rows + output.double().abs().sum(0)).view(heads, -1).sum(1)


def agreement(gram: Tensor, kept: Tensor) -> float:
    """Mean cosine between the feature maps of the kept heads, each with itself included: the negative of Li et al.'s
    disagreement, which the constraint with one group for each head maximises.

    Args:
        gram: (H, H) feature Gram matrix; kept: (H,) bool.
    """
    return float(cosine_gram(gram[kept][:, kept]).mean())


def redundancy_scores(gram: Tensor) -> Tensor:
    """How early each head goes when the one that agrees most with the others left is taken away each time.

    Args:
        gram: (H, H).

    Returns:
        (H,) float64: minus the mean cosine with the heads that were left, made to rise from each head to the next one
        taken; comparable between layers. The last head has 2, more than any other can.
    """
    cosines = cosine_gram(gram.double())
    left = list(range(gram.size(-1)))
    scores = cosines.new_full((len(left),), 2.0)
    highest = -float("inf")
    while len(left) > 1:
        of_left = cosines[left][:, left]
        mean = (of_left.sum(1) - of_left.diagonal()) / (len(left) - 1)
        most = int(mean.argmax())
        highest = max(highest, -float(mean[most]))
        scores[left.pop(most)] = highest
    return scores
