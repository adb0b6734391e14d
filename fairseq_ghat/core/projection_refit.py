"""Refit of a projection to the input features that stay, by least squares, and the error that is left.

Attention and feed-forward layers end alike: a projection y = W x + b, of the concatenated head outputs or of the
activations of the neurons. Removing heads or neurons keeps only W_S x_S + b of the kept features S. What those can say
about the removed ones R,

    min over D, c of  E || W_R x_R - D x_S - c ||^2 + r || D ||^2   =>   D = W_R Cov(x_R, x_S) (Cov(x_S, x_S) + r I)^-1,
                                                                         c = W_R E[x_R] - D E[x_S],

is added to the projection: W_S + D and b + c. Only the second moments and the mean of x are needed; they add
up over batches and workers. The paper does not have this step.
"""

from typing import List, Optional, Tuple

import torch
from torch import Tensor

# r, as a part of the mean variance of the kept features, by what they belong to. Heads have directions with next to no
# variance. Along them D could grow large for nothing: 1e-3 is hardly better right after the vote, and D then amplifies
# the noise of attention dropout, so that the model ends worse where training goes on. Neurons are chosen by theirs too:
# a larger one would keep some that are never on.
HEAD_RIDGE, NEURON_RIDGE = 3e-2, 1e-3
# Features up to which products of a batch are taken in float64. A wide layer would spend most of the pass on them.
EXACT_FEATURES = 1024
# Rows of a matrix of moments that are added at a time, from the diagonal on: below it are the same numbers.
_ROWS = 256


class SingularRefit(ValueError):
    """The least squares have no reliable solution; the message says why."""


class InputMoments:
    """Count, sum and second moments of the input features of one projection, in float64.

    Attributes:
        count: positions seen, ().
        total: sum of x, (F,).
        second: sum of x x^T, (F, F).
    """

    def __init__(self, features: int, device: Optional[torch.device] = None):
        self.count = torch.zeros((), dtype=torch.float64, device=device)
        self.total = torch.zeros(features, dtype=torch.float64, device=device)
        self._second = torch.zeros(features, features, dtype=torch.float64, device=device)
        self._half = False  # whether numbers far below the diagonal are out of date

    def add(self, inputs: Tensor) -> None:
        """Adds N positions, without padding, (N, F)."""
        if inputs.size(1) <= EXACT_FEATURES:
            inputs = inputs.double()
        elif inputs.dtype != torch.float64:
            inputs = inputs.float()
        self.count += inputs.size(0)
        self.total += inputs.sum(0, dtype=torch.float64)
        for first in range(0, inputs.size(1), _ROWS):
            self._second[first : first + _ROWS, first:] += inputs[:, first : first + _ROWS].T @ inputs[:, first:]
        self._half = True

    @property
    def second(self) -> Tensor:
        """As the attribute."""
        if self._half:
            for first in range(_ROWS, self._second.size(0), _ROWS):
                rows = slice(first, first + _ROWS)
                self._second[rows, :first] = self._second[:first, rows].T
            self._half = False
        return self._second

    def sums(self) -> List[Tensor]:
        """The tensors that add up over workers, to be reduced in place."""
        return [self.count, self.total, self.second]

    def mean(self) -> Tensor:
        """Mean of x, (F,)."""
        return self.total / self.count

    def variance(self) -> Tensor:
        """Variance of each feature of x, (F,)."""
        return (self.second.diagonal() / self.count - self.mean().square()).clamp_min(0)

    def covariance(self) -> Tensor:
        """Covariance of x, (F, F)."""
        mean = self.mean()
        return (self.second / self.count).sub_(mean[:, None] * mean[None, :])


def ridge_for(unit_features: int) -> float:
    """The ridge of a refit. unit_features: D of a head; 1 of a neuron."""
    return NEURON_RIDGE if unit_features == 1 else HEAD_RIDGE


def refit_projection(weight: Tensor, moments: InputMoments, kept: Tensor, ridge: float) -> Tuple[Tensor, Tensor]:
    """Projection of the kept features that best reproduces the output of all features.

    Args:
        weight: of the full projection, (E, F).
        moments: of its input over the data.
        kept: features that stay, (F,) bool.
        ridge: r over the mean variance of the kept features, see ridge_for; draws D towards 0, which is plain dropping.

    Returns:
        New weights of the kept features, (E, K), and what to add to the bias, (E,); float64.

    Raises:
        SingularRefit: with no more positions than kept features, or if the kept features do not span their
            space even with the regularisation.
    """
    weight = weight.double()
    kept_weight, removed_weight = weight[:, kept], weight[:, ~kept]
    if moments.count <= kept.sum():
        raise SingularRefit(f"{int(moments.count)} positions are too few for {int(kept.sum())} kept features")
    covariance = moments.covariance()
    regularised = covariance[kept][:, kept]
    penalty = ridge * regularised.diagonal().mean()
    regularised.diagonal().add_(penalty)
    factor, failed = torch.linalg.cholesky_ex(regularised)
    if failed or not torch.isfinite(factor).all():
        raise SingularRefit("the kept features are linearly dependent or not finite")
    removed_to_output = covariance[kept][:, ~kept] @ removed_weight.transpose(0, 1)  # (K, E)
    carried = torch.cholesky_solve(removed_to_output, factor).transpose(0, 1)  # (E, K)
    mean = moments.mean()
    return kept_weight + carried, removed_weight @ mean[~kept] - carried @ mean[kept]


def mean_into_bias(weight: Tensor, moments: InputMoments, kept: Tensor) -> Tuple[Tensor, Tensor]:
    """As refit_projection with D = 0: the weights that stay are not changed, the bias takes W_R E[x_R]."""
    weight = weight.double()
    return weight[:, kept], weight[:, ~kept] @ moments.mean()[~kept]


def dropped_error(weight: Tensor, second: Tensor, kept: Tensor) -> float:
    """E ||W_R x_R||^2: the mean squared error of plain removal (He et al. 2017, Eq. 1).

    That of no kept feature is the power of the output.

    Args:
        weight: of the projection, (E, F).
        second: second moments of its input, (F, F); the covariance where the bias takes the mean of what is removed.
        kept: features that stay, (F,) bool.
    """
    return _power(weight.double()[:, ~kept], second[~kept][:, ~kept])


def refitted_error(weight: Tensor, moments: InputMoments, kept: Tensor, ridge: float) -> float:
    """E ||W_R x_R - D x_S - c||^2: the mean squared error of removal with the refit's D and c.

    Args:
        weight: of the projection, (E, F).
        moments: of its input over the data.
        kept: features that stay, (F,) bool.
        ridge: as refit_projection.

    Raises:
        SingularRefit: as refit_projection.
    """
    refitted, _ = refit_projection(weight, moments, kept, ridge)
    # The error of position x is the full output minus the refitted one, a linear map of x without mean.
    lost = weight.double().clone()
    lost[:, kept] -= refitted
    return _power(lost, moments.covariance())


def _power(weight: Tensor, second: Tensor) -> float:
    """tr(W M W^T)."""
    return float(((weight @ second) * weight).sum())
