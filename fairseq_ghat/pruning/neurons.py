"""The neurons of feed-forward layers that stay, where their number is given."""

from typing import Any, Dict, Sequence

import torch
from torch import Tensor

from fairseq_ghat.modules.feed_forward import FeedForward
from fairseq_ghat.pruning.calibration import Calibration
from fairseq_ghat.pruning.importance.registry import IMPORTANCES


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
    """The neurons that stay in each layer, as many as --ffn-neurons says, by the way of --keep-neurons.

    Args:
        calibration: the model and the data.
        layers: feed-forward layers of the model.
        options: VoteOptions, or options that hold the same.

    Returns:
        (F,) bool on the CPU, by layer.

    Raises:
        ValueError: if the data are none, or if no choice can be made from them.
    """
    importance = IMPORTANCES[str(options.keep_neurons)](options)
    rankings = importance.ranks(calibration, layers)
    masks: Dict[FeedForward, Tensor] = {}
    for layer in layers:
        gone = layer.units - neurons_to_keep(options.ffn_neurons, layer.units)
        masks[layer] = torch.ones(layer.units, dtype=torch.bool).index_fill_(0, rankings[layer].order[:gone], False)
    return importance.rearranged(calibration, masks)
