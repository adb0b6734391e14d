"""Chooses the neurons of feed-forward layers that stay: those that cost the layer's output least to be without."""

from typing import Any, Dict, Sequence, Tuple

import torch
from torch import Tensor

from fairseq_ghat.core.backward_elimination import eliminate_features, eliminate_without_refit
from fairseq_ghat.core.projection_refit import RIDGE, InputMoments, SingularRefit
from fairseq_ghat.modules.feed_forward import FeedForward
from fairseq_ghat.pruning.calibration import Calibration

# Most neurons of a layer that are eliminated one by one with the refit; the time grows with their third power.
MOST_ELIMINATED = 4096


def neurons_to_keep(asked: str, neurons: int) -> int:
    """The number of neurons that --ffn-neurons asks for, of a layer that has some.

    Args:
        asked: a number such as 256, or a share such as 0.5.
        neurons: F, of the layer.

    Raises:
        ValueError: if it is neither, or if it removes no neuron; says what is allowed.
    """
    try:
        number = round(float(asked) * neurons) if "." in asked else int(asked)
    except ValueError:
        number = 0
    if not 1 <= number < neurons:
        raise ValueError(
            f"--ffn-neurons {asked}: allowed is a number from 1 to {neurons - 1} or a share such as 0.5 that removes "
            f"some of the {neurons} neurons and leaves some"
        )
    return number


def choose_neurons(calibration: Calibration, layers: Sequence[FeedForward], options: Any) -> Dict[FeedForward, Tensor]:
    """The neurons that stay in each layer.

    Args:
        calibration: the model and the data.
        layers: feed-forward layers of the model.
        options: VoteOptions, or options that hold the same.

    Returns:
        (F,) bool on the CPU, by layer.

    Raises:
        ValueError: if the data are none, or if the refit of a layer has no solution; names the layer.
    """
    masks = {}
    for part in calibration.moments(layers):
        for layer, moments in part.items():
            if not moments.count:
                raise ValueError("cannot choose neurons: the pass saw no data")
            try:
                order, _ = elimination(layer.projection.weight.detach(), moments, str(options.refit))
            except SingularRefit as error:
                told = f"--refit {options.refit}: {calibration.names[layer]}: {error}"
                raise ValueError(f"{told}; use --refit none") from None
            mask = torch.ones(layer.units, dtype=torch.bool)
            mask[order[: layer.units - neurons_to_keep(options.ffn_neurons, layer.units)].cpu()] = False
            masks[layer] = mask
    return masks


def elimination(weight: Tensor, moments: InputMoments, refit: str) -> Tuple[Tensor, Tensor]:
    """The order in which the input features of a projection go, and the error of its output after each.

    Args:
        weight: of the projection, (E, F).
        moments: of its input.
        refit: what makes up for a removal: "output", "bias" or "none".

    Returns:
        Indexes, (F,), and mean squared errors, (F,).

    Raises:
        SingularRefit: if the least squares have no solution.
    """
    if refit == "none":
        return eliminate_without_refit(weight, moments.second / moments.count)
    covariance = moments.covariance()
    if refit == "bias" or weight.size(1) > MOST_ELIMINATED:
        return eliminate_without_refit(weight, covariance)
    return eliminate_features(weight, covariance, RIDGE * float(covariance.diagonal().mean()))
