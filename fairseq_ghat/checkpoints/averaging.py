"""Averages the weights of several checkpoints, as fairseq's own script does, which pip does not install."""

from typing import Any, Dict, List, Sequence

import torch

from fairseq_ghat.checkpoints.files import CheckpointError, read_checkpoint
from fairseq_ghat.checkpoints.kept_units import RECORD
from fairseq_ghat.checkpoints.model_options import model_options, options_by_name
from fairseq_ghat.modules.grouped_attention import HEAD_MASK

# What all refusals of other heads end with.
_OTHER_HEADS = "voted and unvoted checkpoints, or ones that keep other heads or neurons, cannot be averaged"


def average_checkpoints(paths: Sequence[str]) -> Dict[str, Any]:
    """The first checkpoint with the mean of all models' weights; without optimizer state.

    Sums are kept in float64 in the order of the paths, so the same files give the same result
    (facebookresearch/fairseq#602).

    Raises:
        CheckpointError: if a file cannot be read, or if the models differ in their parameters, their
            shapes, or the heads they keep; names both files.
    """
    first = read_checkpoint(paths[0])
    reference, record = first["model"], _kept_units(first)
    sums = {
        k: v.to(torch.float64)
        for k, v in reference.items()
        if v.is_floating_point() and k.rpartition(".")[2] != HEAD_MASK
    }
    for path in paths[1:]:
        state = read_checkpoint(path)
        model = state["model"]
        if model.keys() != reference.keys():
            odd = sorted(model.keys() ^ reference.keys())[0]
            raise CheckpointError(f"{path}: not the same model as {paths[0]} ({odd} is only in one of them)")
        for key, value in model.items():
            if value.shape != reference[key].shape:
                raise CheckpointError(
                    f"{path}: {key} is {tuple(value.shape)}, in {paths[0]} {tuple(reference[key].shape)}; "
                    f"{_OTHER_HEADS}"
                )
            if key in sums:
                sums[key] += value
            elif not torch.equal(value.to(reference[key].dtype), reference[key]):
                raise CheckpointError(f"{path}: {key} differs from {paths[0]}: {_OTHER_HEADS}")
        for layer, units in _kept_units(state).items():
            if units != record.get(layer, units):
                raise CheckpointError(f"{path}: {layer} keeps {units}, in {paths[0]} {record[layer]}; {_OTHER_HEADS}")
    averaged = {k: v for k, v in first.items() if k != "last_optimizer_state"}
    averaged["model"] = {k: (sums[k] / len(paths)).to(v.dtype) if k in sums else v for k, v in reference.items()}
    # Tied embeddings stay tied in the file, hence as large as they were.
    storages = {}
    for key, value in reference.items():
        tied = storages.setdefault((value.data_ptr(), value.shape), key)
        averaged["model"][key] = averaged["model"][tied]
    return averaged


def _kept_units(state: Dict[str, Any]) -> Dict[str, List[int]]:
    """The record of what a vote left in the model of a checkpoint, by layer name; empty where it has none."""
    options = options_by_name(model_options(state))
    return {layer: units for name in RECORD for layer, units in (options.get(name) or {}).items()}
