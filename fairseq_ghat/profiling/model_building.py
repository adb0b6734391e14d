"""Builds models without data: from an arch and the size of a vocabulary, or from a checkpoint alone."""

import copy
from argparse import Namespace
from typing import Any, Mapping

from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY, BaseFairseqModel

from fairseq_ghat.checkpoints.dictionary_task import DictionaryTask
from fairseq_ghat.checkpoints.model_options import compute_once, model_options
from fairseq_ghat.checkpoints.stock_conversion import as_grouped_checkpoint
from fairseq_ghat.models.ghat_transformer import GHATTransformerModel
from fairseq_ghat.models.ghat_transformer_lm import GHATTransformerLanguageModel
from fairseq_ghat.modules.attention_layers import grouped_attentions, remove_heads

_OURS = (GHATTransformerModel, GHATTransformerLanguageModel)
_SPECIAL_SYMBOLS = 4


def build_arch(arch: str, vocabulary: int, keep: int = 0) -> BaseFairseqModel:
    """Builds a model of one of our archs with fairseq's defaults.

    Args:
        arch: name of the arch.
        vocabulary: number of types on each side, fairseq's 4 special ones included.
        keep: number of heads that stay in each attention layer; 0 for all.

    Raises:
        ValueError: if the arch is not ours, or if a number does not fit it; says what is allowed.
    """
    allowed = sorted(name for name, kind in ARCH_MODEL_REGISTRY.items() if kind in _OURS)
    if arch not in allowed:
        raise ValueError(f"--arch {arch}: allowed are {', '.join(allowed)}")
    if vocabulary <= _SPECIAL_SYMBOLS:
        raise ValueError(f"--vocab {vocabulary}: allowed is more than the {_SPECIAL_SYMBOLS} special symbols")
    # Options that fairseq-train takes from elsewhere.
    args = Namespace(tokens_per_sample=512, max_target_positions=None, add_bos_token=False, tpu=False)
    if ARCH_MODEL_REGISTRY[arch] is GHATTransformerModel:
        args.max_source_positions = args.max_target_positions = 1024
    ARCH_CONFIG_REGISTRY[arch](args)
    cutoff = int((getattr(args, "adaptive_softmax_cutoff", None) or "0").split(",")[-1])
    if cutoff >= vocabulary:
        raise ValueError(f"--vocab {vocabulary}: --arch {arch} has adaptive softmax cutoffs up to {cutoff}")
    model = ARCH_MODEL_REGISTRY[arch].build_model(args, DictionaryTask(vocabulary, vocabulary))
    if keep:
        layers = grouped_attentions(model)
        most = min(layer.num_heads for layer in layers.values())
        if not 1 <= keep <= most:
            raise ValueError(f"--keep {keep}: allowed is 1 to {most}, the heads of {arch}")
        remove_heads(model, {name: list(range(keep)) for name in layers})
    return model


def build_from_checkpoint(state: Mapping[str, Any]) -> BaseFairseqModel:
    """Builds the model of a checkpoint with its weights and masks; fairseq's own transformers become grouped ones.

    Raises:
        NotGroupable: if it holds another model than for translation or of language.
    """
    grouped = as_grouped_checkpoint(state)
    options, weights = copy.deepcopy(model_options(grouped)), dict(grouped["model"])
    compute_once(options)
    model = ARCH_MODEL_REGISTRY[options.arch].build_model(options, DictionaryTask.of_weights(weights))
    model.load_state_dict(weights, model_cfg=options)
    return model
