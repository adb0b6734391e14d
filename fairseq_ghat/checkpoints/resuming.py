"""What grouped models do with the checkpoint they will load: built slim where it is, loaded with an explanation."""

import copy
import logging
from argparse import Namespace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch
from fairseq.file_io import PathManager
from torch import nn

from fairseq_ghat.checkpoints.file_to_restore import FileToRestore, file_to_restore
from fairseq_ghat.checkpoints.files import CheckpointError, newest_whole_checkpoint, read_checkpoint
from fairseq_ghat.checkpoints.kept_units import RECORD, cut_to_record, record_in_model
from fairseq_ghat.checkpoints.model_options import KEPT_HEADS, NotGroupable, flat_options, is_stock
from fairseq_ghat.checkpoints.stock_comparison import check_against_fairseq
from fairseq_ghat.modules.attention_layers import grouped_attentions
from fairseq_ghat.modules.feed_forward import feed_forwards
from fairseq_ghat.modules.grouping import Grouping, check_grouping_args
from fairseq_ghat.modules.removable_layers import removable_layers
from fairseq_ghat.modules.transformer_layers import name_dropouts_as_fairseq
from fairseq_ghat.modules.unit_slices import SECOND_LINEAR

logger = logging.getLogger(__name__)

# Options that change what a model computes, but not the shapes of its weights, so that no loading error tells.
SHAPELESS = (
    "encoder_attention_heads",
    "decoder_attention_heads",
    "activation_fn",
    "no_scale_embedding",
    "no_token_positional_embeddings",
)


class CheckpointedModel:
    """Mixin of grouped models, before fairseq's model class.

    Attributes:
        grouping: how the heads of the model are grouped.
    """

    grouping: Grouping
    # torch.jit.trace would compile the class of each attribute that it knows how to.
    __jit_ignored_attributes__ = ["grouping"]

    @classmethod
    def hub_models(cls):
        return {}

    @classmethod
    def build_model(cls, args, task):
        """Builds the model; slim if the checkpoint it will be loaded from is slim.

        Raises:
            ValueError: for a group count, feature or distance, or another option, that is not allowed; names the flag.
            CheckpointError: if the checkpoint to restore from cannot be used; names the file.
        """
        check_grouping_args(args)
        if getattr(args, "base_layers", 0):
            raise ValueError(
                f"--base-layers {args.base_layers}: not with grouped attention, of which every worker would write a "
                "checkpoint of its own; allowed is 0"
            )
        _keep_layers_of_both_sides(args)
        # fairseq-train builds from the command line, which knows nothing of a slim file's shapes; a model
        # that comes from a checkpoint brings its own record.
        restored, trains = None, not hasattr(args, KEPT_HEADS)
        if trains:
            restored = state_to_restore(args)
            trained = flat_options(restored) if restored else Namespace()
            vars(args).update({name: getattr(trained, name, None) for name in RECORD})
            _take_narrower_layers(args, trained)
        model = super().build_model(args, task)
        model.grouping = Grouping.from_options(args)
        name_dropouts_as_fairseq(model)
        cut_to_record(model, args)
        if trains and (getattr(args, "quant_noise_pq", 0) or 0) > 0:
            _check_noise_blocks(model, args.quant_noise_pq_block_size)
        if restored and is_stock(restored):
            model.check_restored(restored)
        return model

    def check_restored(self, state: Mapping[str, Any]) -> None:
        """Checks that the model computes, with the weights of a stock checkpoint, what fairseq's own class does.

        Raises:
            CheckpointError: if it does not; names the options in which the two differ.
        """
        filled = copy.deepcopy(self)
        try:
            super(CheckpointedModel, filled).load_state_dict(dict(state["model"]))
        except (RuntimeError, KeyError):
            return  # the trainer will load them too, and then says which layers do not fit
        try:
            check_against_fairseq(filled.eval(), state)
        except NotGroupable as error:
            raise CheckpointError(f"the checkpoint to go on from is another model than asked for: {error}") from error

    def load_state_dict(self, state_dict, strict=True, model_cfg=None, args=None):
        """As fairseq's, but says first which attention layers do not fit: the trainer hides the reason."""
        record = record_in_model(model_cfg)
        try:
            check_tied_weights(self, state_dict)
            result = super().load_state_dict(state_dict, strict, model_cfg, args)
        except (RuntimeError, KeyError, CheckpointError) as error:
            for line in explain_mismatch(self, state_dict) or [str(error)]:
                logger.error(line)
            raise
        for name, kept in record.items():  # fairseq has taken the layers to keep out of the options
            setattr(model_cfg, name, kept)
        return result


def _take_narrower_layers(args: Namespace, trained: Namespace) -> None:
    """Gives feed-forward layers the width in the checkpoint where it is less: that of a vote leaves no other record."""
    for name in ("encoder_ffn_embed_dim", "decoder_ffn_embed_dim"):
        there, here = getattr(trained, name, None), getattr(args, name, None)
        if there and here and there < here:
            logger.info(f"--{name.replace('_', '-')}: {there} as in the checkpoint to go on from, not {here}")
            setattr(args, name, there)


def _check_noise_blocks(model: nn.Module, block_size: int) -> None:
    """Raises ValueError if what stays of the layers does not divide into the blocks of --quant-noise-pq."""
    for name, layer in removable_layers(model).items():
        features = layer.projection.weight.size(1)
        if features % block_size:
            raise ValueError(
                f"--quant-noise-pq-block-size {block_size}: the vote left {name} {features} features; allowed are "
                "their divisors, or --quant-noise-pq 0"
            )


def _keep_layers_of_both_sides(args: Namespace) -> None:
    """Names all layers of a side whose layers to keep are not given; fairseq would load none of them."""
    layers = {side: getattr(args, f"{side}_layers", None) for side in ("encoder", "decoder")}
    if None not in layers.values() and any(getattr(args, f"{side}_layers_to_keep", None) for side in layers):
        for side, count in layers.items():
            kept = getattr(args, f"{side}_layers_to_keep", None) or ",".join(map(str, range(count)))
            setattr(args, f"{side}_layers_to_keep", kept)


def state_to_restore(args: Namespace) -> Optional[Dict[str, Any]]:
    """The checkpoint that fairseq-train is about to load, or None.

    Args:
        args: the flat command line.

    Raises:
        CheckpointError: if the checkpoint is missing, truncated or not fairseq's; names flag or file, and the
            newest whole checkpoint of the same folder. Also if it was trained with another number of heads or
            another option that no shape shows, or with one that this fairseq does not know.
    """
    file = file_to_restore(args)
    if file is None:
        return None
    path = file.path
    try:
        state = read_checkpoint(PathManager.get_local_path(path))
    except CheckpointError as error:
        whole = newest_whole_checkpoint(Path(path).parent)
        if whole is None:
            raise
        raise CheckpointError(f"{error}. Newest whole checkpoint: `cp {whole} {path}` goes on from it") from error
    try:
        trained = vars(flat_options(state))
    except NotGroupable as error:
        raise CheckpointError(f"{path}: {error}") from error
    _check_shapeless(args, trained, path)
    return state


def _check_shapeless(args: Namespace, trained: Mapping[str, Any], path: str) -> None:
    """Raises CheckpointError if an option that no shape shows is another than the checkpoint's."""
    for name in SHAPELESS:
        if name in trained and hasattr(args, name) and str(getattr(args, name)) != str(trained[name]):
            raise CheckpointError(
                f"--{name.replace('_', '-')}: {getattr(args, name)} here, but {path} was trained with {trained[name]}; "
                "its weights would fit, its results would be others"
            )


def task_state_to_resume(args: Namespace) -> Tuple[Dict[str, Any], Optional[FileToRestore]]:
    """State of the task in the checkpoint that fairseq-train will load, and how it goes on; empty without one."""
    file = file_to_restore(args)
    if file is None:
        return {}, None
    return read_checkpoint(PathManager.get_local_path(file.path)).get("task_state") or {}, file


def check_tied_weights(model, state_dict) -> None:
    """Raises CheckpointError if the model has one weight where the checkpoint holds two that differ.

    --share-all-embeddings on a checkpoint of separate embeddings: loading would keep the last of them, silently.
    """
    first_name: Dict[int, str] = {}
    for name, weight in model.state_dict(keep_vars=True).items():
        if name not in state_dict:
            continue
        first = first_name.setdefault(id(weight), name)
        one, other = state_dict[first], state_dict[name]
        if one.data_ptr() == other.data_ptr():  # a shadow model loads its own state at each update
            continue
        # Weights of a training that diverged are NaN, which torch.equal takes for different from itself.
        if one.shape == other.shape and not torch.allclose(one, other, rtol=0, atol=0, equal_nan=True):
            raise CheckpointError(
                f"{first} and {name} are one weight here and differ in the checkpoint; train with the "
                "--share-... and --tie-... options that it was trained with"
            )


def explain_mismatch(model, state_dict) -> List[str]:
    """Lines that name the layers whose heads or neurons differ between model and checkpoint."""
    lines = []
    for name, attention in grouped_attentions(model).items():
        weight = state_dict.get(f"{name}.q_proj.weight")
        if weight is None:
            lines.append(f"{name}: the model has {attention.heads_held} heads, the checkpoint has no such layer")
        elif weight.shape != attention.q_proj.weight.shape:
            features, width = weight.shape
            lines.append(
                f"{name}: the model expects {attention.heads_held} heads of {attention.head_dim} features "
                f"(query projection {tuple(attention.q_proj.weight.shape)}), "
                f"the checkpoint holds {features / attention.head_dim:g} (query projection ({features}, {width}))"
            )
    for name, layer in feed_forwards(model).items():
        weight = state_dict.get(f"{name}.{SECOND_LINEAR}.weight")
        if weight is not None and weight.size(1) != layer.units:
            lines.append(f"{name}: the model expects {layer.units} neurons, the checkpoint holds {weight.size(1)}")
    return lines
