"""How much of an attention layer's output is lost when only some of its heads stay (He et al. 2017, Eq. 1).

With o the concatenated head outputs of a position, kept features S and removed ones R, the lost part is W_R o_R
where nothing replaces it, and what the refit leaves of it where the output projection is refitted
(core/output_refit).
"""

from torch import Tensor

from fairseq_ghat.core.output_refit import OutputMoments, refit_output_projection


def dropped_error(weight: Tensor, moments: OutputMoments, kept: Tensor) -> float:
    """E ||W_R o_R||^2: the mean squared error of plain removal; that of all features is the power of the output.

    Args:
        weight: (E, F) of the output projection; moments: of the head outputs; kept: (F,) bool.
    """
    second = moments.second / moments.count
    return _power(weight.double()[:, ~kept], second[~kept][:, ~kept])


def refitted_error(weight: Tensor, moments: OutputMoments, kept: Tensor) -> float:
    """E ||W_R o_R - D o_S - c||^2: the mean squared error of removal with the refit's D and c.

    Args: as dropped_error.

    Raises:
        SingularRefit: as refit_output_projection.
    """
    refitted, _ = refit_output_projection(weight, moments, kept)
    # The error of position o is the full output minus the refitted one, a linear map of o without mean.
    lost = weight.double().clone()
    lost[:, kept] -= refitted
    return _power(lost, moments.covariance())


def _power(weight: Tensor, second: Tensor) -> float:
    """tr(W M W^T)."""
    return float(((weight @ second) * weight).sum())
