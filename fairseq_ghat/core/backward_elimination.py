"""Takes the input features of a projection away one by one, each time the one that costs the output least.

Keeping some features S with the refit of core/projection_refit.py costs, with H = Cov(x) + r I,

    min over W' of  tr((W - W') H (W - W')^T),   W' zero outside S,

the mean squared error of the output and the penalty. That is the problem of Optimal Brain Surgeon (Hassibi and Stork
1993): with P the inverse of H over S, and W' the best projection, removing feature j adds |W'_j|^2 / P_jj, and then

    W' <- W' - W'_j P_j / P_jj,   P <- P - P_j P_j^T / P_jj.

Nothing is solved again. Each step reads one column of P: the changes of a block of steps wait in thin matrices.
"""

from typing import Tuple

import torch
from torch import Tensor

from fairseq_ghat.core.projection_refit import SingularRefit

# Steps whose changes wait before they are made together, by one matrix product.
_BLOCK = 64


def eliminate_features(weight: Tensor, covariance: Tensor, penalty: float) -> Tuple[Tensor, Tensor]:
    """The order in which all features of a projection go, and what each number of them costs.

    Args:
        weight: W, of the full projection, (E, F).
        covariance: of its input, (F, F).
        penalty: r, for the change of the weights that stay; more than 0 if features depend on each other.

    Returns:
        Indexes of the features in the order they go, (F,), and the cost after each, (F,), increasing, the last one
        that of no feature at all; float64.

    Raises:
        SingularRefit: if Cov(x) + r I cannot be inverted.
    """
    regularised = covariance.double().clone()
    regularised.diagonal().add_(penalty)
    factor, failed = torch.linalg.cholesky_ex(regularised)
    if failed or not torch.isfinite(factor).all():
        raise SingularRefit("the input features are linearly dependent or not finite")
    inverse, projection = torch.cholesky_inverse(factor), weight.double().clone()
    left = torch.arange(weight.size(1), device=weight.device)
    order, costs = [], []
    while left.numel():
        gone, added, inverse, projection, stay = _remove_block(inverse, projection, min(_BLOCK, left.numel()))
        order.append(left[gone])
        costs.append(added)
        left = left[stay]
    return torch.cat(order), torch.cat(costs).cumsum(0)


def _remove_block(inverse: Tensor, projection: Tensor, steps: int) -> Tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Removes some features.

    Args:
        inverse: P, (S, S).
        projection: W', (E, S).
        steps: features to remove, at most S.

    Returns:
        Places of the features that go, in order, (steps,); the cost that each adds, (steps,); P and W' of the others;
        their places.
    """
    features = inverse.size(0)
    diagonal, norms = inverse.diagonal().clone(), projection.square().sum(0)
    alive = torch.ones(features, dtype=torch.bool, device=inverse.device)
    # P and W' are those of the beginning minus columns @ columns.T and rows @ columns.T.
    columns, rows = inverse.new_zeros(features, steps), projection.new_zeros(projection.size(0), steps)
    gone, added = [], []
    for step in range(steps):
        place = int((norms / diagonal).masked_fill(~alive, torch.inf).argmin())
        waiting = columns[place, :step]
        root = diagonal[place].sqrt()
        column = (inverse[:, place] - columns[:, :step] @ waiting) / root
        row = (projection[:, place] - rows[:, :step] @ waiting) / root
        products = projection.transpose(0, 1) @ row - columns[:, :step] @ (rows[:, :step].transpose(0, 1) @ row)
        added.append(row.square().sum())
        norms += column.square() * added[-1] - 2 * column * products
        diagonal -= column.square()
        columns[:, step], rows[:, step] = column, row
        alive[place] = False
        gone.append(place)
    stay = alive.nonzero().squeeze(1)
    inverse = inverse[stay][:, stay].addmm_(columns[stay], columns[stay].transpose(0, 1), alpha=-1)
    projection = projection[:, stay].addmm_(rows, columns[stay].transpose(0, 1), alpha=-1)
    return torch.tensor(gone, device=inverse.device), torch.stack(added), inverse, projection, stay


def eliminate_without_refit(weight: Tensor, moments: Tensor) -> Tuple[Tensor, Tensor]:
    """As eliminate_features where the weights that stay are not changed: removing R costs tr(W_R M_RR W_R^T).

    Args:
        weight: W, of the full projection, (E, F).
        moments: M, of its input, (F, F): second moments for plain removal, the covariance where the bias takes the
            mean of what is removed.

    Returns:
        Indexes of the features in the order they go, (F,), and the cost after each, (F,), the last one that of no
        feature at all; float64. A feature that takes an error of others away can lower the cost.
    """
    products = (weight.transpose(0, 1).double() @ weight.double()) * moments.double()
    added = products.diagonal().clone()  # by the removal of each feature, beside those that are gone
    order, costs = [], []
    for _ in range(weight.size(1)):
        feature = int(added.argmin())
        order.append(feature)
        costs.append(added[feature].clone())
        added += 2 * products[feature]
        added[feature] = torch.inf
    return torch.tensor(order, device=weight.device), torch.stack(costs).cumsum(0)
