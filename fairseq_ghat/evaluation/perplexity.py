"""Perplexity of a language model with a given context window, per token and per word."""

import math
import sys
from dataclasses import dataclass, field
from itertools import islice
from time import perf_counter
from typing import Any, Callable, Dict, Iterable, Optional

import torch
from fairseq import utils
from fairseq.data import Dictionary
from fairseq.tasks.language_modeling import LanguageModelingTask
from fairseq_cli.eval_lm import eval_lm
from torch import Tensor, nn

Batches = Iterable[Dict[str, Any]]

# sentencepiece marks the token that starts a word, subword_nmt the tokens that do not end it.
_MARKS = {"sentencepiece": "\u2581", "subword_nmt": "@@"}
SUBWORDS = tuple(_MARKS)


@dataclass
class Perplexity:
    """Perplexity of a text under a model.

    Attributes:
        tokens: number of tokens scored, each once; the end of a line is one.
        words: number of words and ends of lines; None if the kind of subwords is not known.
        bits_per_token: mean negative log2 probability of a token.
        perplexity: 2 ** bits_per_token; it depends on how words are cut into tokens.
        word_perplexity: 2 ** (bits of the text / words); comparable between models with different tokens.
        seconds: time of scoring, loading of batches included, after one batch to warm up.
    """

    tokens: int
    words: Optional[int]
    bits_per_token: float
    perplexity: float = field(init=False)
    word_perplexity: Optional[float] = field(init=False)
    seconds: float

    def __post_init__(self):
        self.perplexity = _to_the_power(self.bits_per_token)
        in_words = self.words is not None
        self.word_perplexity = _to_the_power(self.bits_per_token * self.tokens / self.words) if in_words else None


def _to_the_power(bits: float) -> float:
    """2 ** bits; infinite beyond floating point, as for text that has few spaces."""
    return math.inf if bits >= sys.float_info.max_exp else 2.0**bits


def word_units(dictionary: Dictionary, subwords: str) -> Tensor:
    """Marks the symbols that count as a word: one token of each word, and the end of a line.

    Args:
        dictionary: dictionary of V symbols.
        subwords: one of SUBWORDS.

    Returns:
        (V,) bool.

    Raises:
        ValueError: if the dictionary has no such marks.
    """
    mark, starts_word = _MARKS[subwords], subwords == "sentencepiece"
    is_marked = str.startswith if starts_word else str.endswith
    marked = torch.tensor([is_marked(dictionary[index], mark) for index in range(len(dictionary))])
    if not marked.any():
        raise ValueError(f"no symbol of the dictionary has the mark {mark} of {subwords}")
    counted = marked if starts_word else ~marked
    counted[dictionary.eos()] = True
    return counted


def measure_perplexity(
    task: LanguageModelingTask,
    model: nn.Module,
    subset: str,
    context_window: int = 0,
    max_tokens: int = 4096,
    batch_size: Optional[int] = None,
    softmax_batch: int = 1024,
    subwords: Optional[str] = None,
    progress: Callable[[Batches], Batches] = lambda batches: batches,
) -> Perplexity:
    """Scores a split as fairseq-eval-lm does, with fairseq's own function.

    Args:
        task: task with the split loaded, whose tokens_per_sample is the stride: block minus context window.
        model: language model in evaluation mode, on the device to use.
        subset: name of the split.
        context_window: tokens before each stride that are context and not scored again.
        max_tokens: largest number of tokens to score in a batch.
        batch_size: largest number of strides in a batch.
        softmax_batch: number of tokens whose probabilities over the vocabulary are computed at once.
        subwords: one of SUBWORDS, to count words too.
        progress: wraps the batches, to show how far the work is.

    Raises:
        ValueError: if fairseq would leave out part of the split, if the dictionary has no marks of subwords, or if the
            model computes no number.
    """
    dictionary = task.target_dictionary
    is_word = None if subwords is None else word_units(dictionary, subwords)
    not_scored = torch.tensor([dictionary.pad(), dictionary.bos()])
    positions = utils.resolve_max_positions(model.max_positions())
    tokens = words = 0

    def batches() -> Batches:
        sizes = {"max_tokens": max_tokens, "batch_size": batch_size, "max_positions": positions}
        return task.eval_lm_dataloader(task.dataset(subset), **sizes, num_workers=0, context_window=context_window)

    def counted(scored: Batches) -> Batches:
        nonlocal tokens, words
        for batch in scored:
            if "target" in batch:
                target = batch["target"][~torch.isin(batch["target"], not_scored)]
                tokens += target.numel()
                words += 0 if is_word is None else int(is_word[target].sum())
            yield batch

    def score(scored: Batches) -> float:
        options = {"softmax_batch": softmax_batch, "remove_bos_token": getattr(task.args, "add_bos_token", False)}
        return eval_lm([model], task.source_dictionary, scored, target_dictionary=dictionary, **options)["loss"]

    with torch.no_grad():
        score(islice(batches(), 1))  # the first batch of a process is slow
        scored = counted(progress(batches()))
        started = perf_counter()
        loss = score(scored)
    seconds = perf_counter() - started
    held = int(task.dataset(subset).sizes.sum())
    if tokens < held:
        raise ValueError(
            f"{held - tokens} of {held} tokens of {subset} were not scored: their blocks are longer than "
            f"the {model.max_positions()} positions of the model, or than a batch"
        )
    if not math.isfinite(loss):
        raise ValueError(f"its loss of {subset} is {loss}, not a finite number: the training diverged")
    return Perplexity(tokens, None if is_word is None else words, float(loss), seconds)
