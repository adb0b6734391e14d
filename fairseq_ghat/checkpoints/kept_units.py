"""The record of a vote among the options of a model: what it left, so that a model of those shapes can be built."""

import copy
from typing import Any, Dict, List

from fairseq import checkpoint_utils
from torch import nn

from fairseq_ghat.checkpoints.model_options import KEPT_HEADS
from fairseq_ghat.modules.attention_layers import remove_heads
from fairseq_ghat.modules.feed_forward import remove_neurons
from fairseq_ghat.modules.removable_layers import Kept

# Option that tells, for every feed-forward layer that lost neurons, how many stay, and a checksum of their indexes.
KEPT_NEURONS = "kept_neurons"
# Options of the record, all of which a model of ours has.
RECORD = (KEPT_HEADS, KEPT_NEURONS)

KeptNeurons = Dict[str, List[int]]


def record_kept(options: Any, kept: Kept) -> None:
    """Writes what a vote left into the options of a model."""
    setattr(options, KEPT_HEADS, kept.head_indexes())
    neurons = {name: [len(layer.units), layer.checksum()] for name, layer in kept.neurons.items()}
    setattr(options, KEPT_NEURONS, neurons or None)


def record_in_model(options: Any) -> Dict[str, Any]:
    """The options of the record, where they hold something, with layers by their names in the model.

    --encoder-layers-to-keep and --decoder-layers-to-keep leave out layers and number the others anew, in the model as
    in the weights that are loaded into it.

    Args:
        options: of the model.
    """
    record = {}
    for option in RECORD:
        by_weight = {f"{layer}.weight": units for layer, units in (getattr(options, option, None) or {}).items()}
        if by_weight:
            renumbered = checkpoint_utils.prune_state_dict(by_weight, copy.copy(options))
            record[option] = {name.rpartition(".")[0]: units for name, units in renumbered.items()}
    return record


def cut_to_record(model: nn.Module, options: Any) -> None:
    """Cuts a model that was just built down to the shapes of the record in its options, if there is one.

    Raises:
        ValueError: if the record does not fit the model; names the layer.
    """
    record = record_in_model(options)
    remove_heads(model, record.get(KEPT_HEADS, {}))
    neurons: KeptNeurons = record.get(KEPT_NEURONS, {})
    remove_neurons(model, {name: count for name, (count, _) in neurons.items()})
