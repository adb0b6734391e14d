"""L1 norm of a head's projections, a score that needs no data (Li et al. 2017, section 3.1, for filters)."""

from torch import Tensor


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
