"""Compares a model that was made of a stock checkpoint with fairseq's own class of the same checkpoint."""

import copy
from argparse import Namespace
from typing import Any, Dict, Mapping

import torch
from fairseq import models
from fairseq.data import Dictionary
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.models import BaseFairseqModel
from fairseq.models.transformer_lm import TransformerLanguageModel
from omegaconf import OmegaConf
from torch import Tensor

from fairseq_ghat.checkpoints.dictionary_task import DictionaryTask
from fairseq_ghat.checkpoints.model_options import (
    DEFAULTS,
    SWITCHES,
    NotGroupable,
    by_flat_name,
    model_options,
    options_by_name,
)

# Largest difference of a log-probability that rounding explains.
TOLERANCE = 1e-4


def check_against_fairseq(model: BaseFairseqModel, state: Mapping[str, Any]) -> None:
    """Checks that a model with all heads computes what fairseq's own class does.

    Args:
        model: made of the checkpoint, with its weights; on the CPU, in evaluation mode.
        state: the checkpoint, of fairseq's transformer or transformer_lm.

    Raises:
        NotGroupable: if the log-probabilities of a random batch differ by more than TOLERANCE, or if fairseq cannot
            build its own model; names the options in which the two may differ.
    """
    try:
        stock = fairseq_model(state)
    except Exception as error:  # whatever an option leads fairseq to
        raise NotGroupable(f"fairseq's own class, with which it is compared, cannot be built: {error}") from error
    batch = _random_batch(model, DictionaryTask.of_weights(state["model"]))
    difference = _largest_difference(model, stock, batch)
    if not difference <= TOLERANCE:  # a sharp model can blow up the rounding of float32
        difference = _largest_difference(copy.deepcopy(model).double(), stock.double(), batch)
    if not difference <= TOLERANCE:
        ours, theirs = by_flat_name(model.decoder.cfg), by_flat_name(stock.decoder.cfg)
        options = [f"{name} {ours[name]} for {theirs[name]}" for name in sorted(ours) if ours[name] != theirs[name]]
        options = options or [f"{name} {ours[name]}" for name in sorted(ours) if ours[name] != DEFAULTS[name]]
        raise NotGroupable(
            f"a log-probability differs by {difference:.3g} from that of fairseq's own class, allowed is "
            f"{TOLERANCE:g}; options in which they may differ: {', '.join(options)}"
        )


def fairseq_model(state: Mapping[str, Any]) -> BaseFairseqModel:
    """fairseq's own model of a stock checkpoint, built by fairseq's rules, in evaluation mode on the CPU."""
    options = copy.deepcopy(model_options(state))
    if state.get("args") is not None:
        vars(options).update({name: False for name in SWITCHES if not hasattr(options, name)})
        if models.ARCH_MODEL_REGISTRY[options.arch] is TransformerLanguageModel:  # has a configuration of its own
            options = convert_namespace_to_omegaconf(options).model
    given = options_by_name(options)
    for side in ("encoder", "decoder"):  # files of embeddings, which may be gone and are in the weights
        given[f"{side}_embed_path"] = None
        if isinstance(given.get(side), Mapping):
            given[side] = {**given[side], "embed_path": None}
    options = Namespace(**given) if isinstance(options, Namespace) else OmegaConf.create(given)
    task = DictionaryTask.of_weights(state["model"])
    with torch.random.fork_rng(devices=[]):
        stock = models.build_model(options, task, from_checkpoint=True)
    stock.load_state_dict(dict(state["model"]), model_cfg=options)
    for module in stock.modules():
        if hasattr(module, "can_use_fastpath"):
            module.can_use_fastpath = False  # the fused kernel fails on padding (facebookresearch/fairseq#4858)
    return stock.eval()


def _random_batch(model: BaseFairseqModel, task: DictionaryTask) -> Dict[str, Tensor]:
    """Inputs of a model: random tokens, three rows of seven a side, the later rows padded at the end."""
    most = model.max_positions()
    rows, length = 3, min(7, *map(int, most if isinstance(most, tuple) else (most,)))
    generator = torch.Generator().manual_seed(1)

    def tokens(dictionary: Dictionary) -> Tensor:
        first = min(dictionary.nspecial, len(dictionary) - 1)
        drawn = torch.randint(first, len(dictionary), (rows, length), generator=generator)
        for row in range(1, rows):
            drawn[row, max(1, length - 2 * row) :] = dictionary.pad()
        return drawn

    if not hasattr(model, "encoder"):
        return {"src_tokens": tokens(task.target_dictionary)}
    sources = tokens(task.source_dictionary)
    lengths = sources.ne(task.source_dictionary.pad()).sum(1)
    return {"src_tokens": sources, "src_lengths": lengths, "prev_output_tokens": tokens(task.target_dictionary)}


def _largest_difference(model: BaseFairseqModel, other: BaseFairseqModel, batch: Dict[str, Tensor]) -> float:
    return (_log_probabilities(model, batch) - _log_probabilities(other, batch)).abs().max().item()


def _log_probabilities(model: BaseFairseqModel, batch: Dict[str, Tensor]) -> Tensor:
    """Those of every type after every token that is not padding, (tokens, types)."""
    tokens = batch.get("prev_output_tokens", batch["src_tokens"])
    with torch.no_grad():
        return model.get_normalized_probs(model(**batch), log_probs=True)[tokens.ne(model.decoder.padding_idx)]
