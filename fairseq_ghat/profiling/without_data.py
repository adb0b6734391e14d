"""Builds a model without the data it was made for: from an arch and a vocabulary size, or from a checkpoint alone."""

import copy
from argparse import Namespace
from typing import Any, Dict, Mapping

from fairseq.data import Dictionary
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY

from fairseq_ghat.checkpoints.model_options import model_options
from fairseq_ghat.checkpoints.stock_conversion import as_grouped_checkpoint
from fairseq_ghat.models.ghat_transformer import GHATTransformerModel
from fairseq_ghat.models.ghat_transformer_lm import GHATTransformerLanguageModel
from fairseq_ghat.modules.grouped_attention import grouped_attentions, remove_heads

_OURS = (GHATTransformerModel, GHATTransformerLanguageModel)
_SPECIAL_SYMBOLS = 4


class OnlyDictionaries:
    """What a model asks of its task."""

    def __init__(self, source: int, target: int):
        self.source_dictionary, self.target_dictionary = (_numbered(size) for size in (source, target))


def _numbered(size: int) -> Dictionary:
    """A dictionary of so many types."""
    dictionary = Dictionary()
    for number in range(size - len(dictionary)):
        dictionary.add_symbol(f"type{number}")
    return dictionary


def build_arch(arch: str, vocabulary: int, keep: int = 0):
    """A model of one of our archs with fairseq's defaults.

    Args:
        arch: its name.
        vocabulary: types on each side, fairseq's 4 special ones included.
        keep: heads that stay in each attention layer, the others removed; 0 for all.

    Raises:
        ValueError: for another arch, or numbers it cannot have; says what is allowed.
    """
    allowed = sorted(name for name, kind in ARCH_MODEL_REGISTRY.items() if kind in _OURS)
    if arch not in allowed:
        raise ValueError(f"--arch {arch}: allowed are {', '.join(allowed)}")
    if vocabulary <= _SPECIAL_SYMBOLS:
        raise ValueError(f"--vocab {vocabulary}: allowed is more than the {_SPECIAL_SYMBOLS} special symbols")
    # What fairseq-train takes from its other groups of options.
    args = Namespace(tokens_per_sample=512, max_target_positions=None, add_bos_token=False, tpu=False)
    if ARCH_MODEL_REGISTRY[arch] is GHATTransformerModel:
        args.max_source_positions = args.max_target_positions = 1024
    ARCH_CONFIG_REGISTRY[arch](args)
    cutoffs = [int(c) for c in (getattr(args, "adaptive_softmax_cutoff", None) or "0").split(",")]
    if cutoffs[-1] >= vocabulary:
        raise ValueError(f"--vocab {vocabulary}: --arch {arch} has adaptive softmax cutoffs up to {cutoffs[-1]}")
    model = ARCH_MODEL_REGISTRY[arch].build_model(args, OnlyDictionaries(vocabulary, vocabulary))
    if keep:
        layers = grouped_attentions(model)
        most = min(layer.num_heads for layer in layers.values())
        if not 1 <= keep <= most:
            raise ValueError(f"--keep {keep}: allowed is 1 to {most}, the heads of {arch}")
        remove_heads(model, {name: list(range(keep)) for name in layers})
    return model


def build_from_checkpoint(state: Mapping[str, Any]):
    """The model of a checkpoint with its weights and masks; fairseq's own transformers become grouped ones.

    Raises:
        NotGroupable: if it holds another model.
    """
    grouped = as_grouped_checkpoint(state)
    options = copy.deepcopy(model_options(grouped))
    weights = dict(grouped["model"])
    sides = [_types(weights, side) for side in ("encoder", "decoder")]
    model = ARCH_MODEL_REGISTRY[options.arch].build_model(options, OnlyDictionaries(sides[0] or sides[1], sides[1]))
    model.load_state_dict(weights, model_cfg=options)
    return model


def _types(weights: Dict[str, Any], side: str) -> int:
    """Size of the vocabulary of one side: rows of its embedding, or of the parts of an adaptive one."""
    prefix = f"{side}.embed_tokens."
    return sum(
        tensor.size(0)
        for name, tensor in weights.items()
        if name == f"{prefix}weight" or (name.startswith(f"{prefix}embeddings.") and name.endswith(".0.weight"))
    )
