"""Agreement between the heads of a layer (Li et al. 2018, section 3.2: disagreement regularisation)."""

from torch import Tensor

from fairseq_ghat.core.feature_gram import cosine_gram


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
