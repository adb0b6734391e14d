"""Perplexity of a language model under a stated context window, per token and per word."""

from dataclasses import dataclass
from itertools import islice
from time import perf_counter
from typing import Any, Dict, Iterable, Iterator, Optional

import torch
from fairseq import utils
from fairseq.data import Dictionary
from fairseq_cli.eval_lm import eval_lm
from torch import Tensor, nn

SUBWORDS = ("sentencepiece", "subword_nmt")
_PIECE_STARTS_WORD = "\u2581"
_PIECE_CONTINUES = "@@"


@dataclass(frozen=True)
class Perplexity:
    """What a model makes of a text.

    Attributes:
        tokens: tokens scored, each once; the end of a line is one.
        words: words and ends of lines among them, or None if it was not told how words are cut into tokens.
        loss: mean negative log2 probability of a token, in bits.
        seconds: time it took, batches included, after one batch to warm up.
    """

    tokens: int
    words: Optional[int]
    loss: float
    seconds: float

    @property
    def perplexity(self) -> float:
        """2 ** loss: per token, so it depends on how words are cut into tokens."""
        return 2.0**self.loss

    @property
    def word_perplexity(self) -> Optional[float]:
        """2 ** (bits of the text / words): comparable between models with other tokens."""
        return None if self.words is None else 2.0 ** (self.loss * self.tokens / self.words)


def word_units(dictionary: Dictionary, subwords: str) -> Tensor:
    """For each symbol (V), whether it counts as a word: the first token of a word (or its last), and the end of a line.

    Args:
        dictionary: of the V symbols.
        subwords: 'sentencepiece' (\u2581 starts a word) or 'subword_nmt' (@@ says that the word goes on).

    Raises:
        ValueError: if the dictionary has no such marks.
    """
    symbols = [dictionary[number] for number in range(len(dictionary))]
    if subwords == "sentencepiece":
        mark = _PIECE_STARTS_WORD
        counts = [symbol.startswith(mark) for symbol in symbols]
        marked = any(counts)
    else:
        mark = _PIECE_CONTINUES
        counts = [not symbol.endswith(mark) for symbol in symbols]
        marked = not all(counts)
    if not marked:
        raise ValueError(f"no symbol of the dictionary has the mark {mark} of {subwords}")
    counts[dictionary.eos()] = True
    return torch.tensor(counts)


class _Counted:
    """Batches on their way to scoring, whose target tokens and words are counted."""

    def __init__(self, batches: Iterable[Dict[str, Any]], not_scored: Tensor, is_word: Optional[Tensor]):
        self.batches, self.not_scored, self.is_word = batches, not_scored, is_word
        self.tokens = self.words = 0

    def __iter__(self) -> Iterator[Dict[str, Any]]:
        for batch in self.batches:
            if "target" in batch:
                target = batch["target"][~torch.isin(batch["target"], self.not_scored)]
                self.tokens += target.numel()
                if self.is_word is not None:
                    self.words += int(self.is_word[target].sum())
            yield batch


def measure_perplexity(
    task,
    model: nn.Module,
    subset: str,
    context_window: int = 0,
    max_tokens: int = 4096,
    batch_size: Optional[int] = None,
    softmax_batch: int = 1024,
    subwords: Optional[str] = None,
    progress=lambda batches: batches,
) -> Perplexity:
    """Scores a split as fairseq-eval-lm does, with fairseq's own function.

    Args:
        task: fairseq's language modelling task, set up with tokens_per_sample = stride (block - context window), that
            has the split loaded.
        model: on the device it shall run on, in evaluation mode.
        subset: name of the split.
        context_window: tokens before each stride that are context and not scored again.
        max_tokens, batch_size: size of a batch, in tokens to score or in strides.
        softmax_batch: tokens whose probabilities over the vocabulary are computed at once.
        subwords: one of SUBWORDS, to count words too.
        progress: wraps the batches, to show how far it is.

    Raises:
        ValueError: if fairseq would leave out part of the split, or the dictionary has no marks of subwords.
    """
    dictionary = task.target_dictionary
    is_word = None if subwords is None else word_units(dictionary, subwords)
    not_scored = torch.tensor([dictionary.pad(), dictionary.bos()])
    dataset = task.dataset(subset)

    def batches():
        return task.eval_lm_dataloader(
            dataset,
            max_tokens=max_tokens,
            batch_size=batch_size,
            max_positions=utils.resolve_max_positions(model.max_positions()),
            num_workers=0,
            context_window=context_window,
        )

    def score(scored: Iterable[Dict[str, Any]]) -> float:
        return eval_lm(
            [model],
            task.source_dictionary,
            scored,
            target_dictionary=dictionary,
            softmax_batch=softmax_batch,
            remove_bos_token=getattr(task.args, "add_bos_token", False),
        )["loss"]

    counted = _Counted(progress(batches()), not_scored, is_word)
    with torch.no_grad():
        score(islice(batches(), 1))  # the first batch of a process is slow
        started = perf_counter()
        loss = score(counted)
    seconds = perf_counter() - started
    held = int(dataset.sizes.sum())
    if counted.tokens < held:
        raise ValueError(
            f"{held - counted.tokens} of {held} tokens of {subset} were not scored: their blocks are longer than "
            f"the {model.max_positions()} positions of the model, or than a batch"
        )
    return Perplexity(counted.tokens, counted.words if subwords else None, float(loss), seconds)
