"""Whether an exported model scores translations as fairseq does."""

from typing import List, Sequence, Tuple

import ctranslate2
import torch
from fairseq.data import data_utils
from torch import Tensor

# Largest difference of a token's log-probability that float32 explains.
TOLERANCE = 1e-3


class Disagreement(RuntimeError):
    """An export that computes something else than fairseq; the message says by how much."""


def first_pairs(dataset, count: int) -> List[Tuple[Tensor, Tensor]]:
    """The first `count` pairs of fairseq's dataset, or as many as it has: source and target token indexes."""
    items = [dataset[index] for index in range(min(count, len(dataset)))]
    return [(item["source"], item["target"]) for item in items]


def fairseq_scores(model, task, pairs: Sequence[Tuple[Tensor, Tensor]]) -> List[List[float]]:
    """Log-probability of every target token, the end of the sentence included, given the source and those before.

    Args:
        model: in evaluation mode, on the CPU.
        task: of its dictionaries.
        pairs: source and target token indexes, each ended by the end-of-sentence symbol.
    """
    source_dictionary, target_dictionary = task.source_dictionary, task.target_dictionary
    pad, eos = target_dictionary.pad(), target_dictionary.eos()
    sources = data_utils.collate_tokens([source for source, _ in pairs], source_dictionary.pad(), left_pad=True)
    targets = data_utils.collate_tokens([target for _, target in pairs], pad)
    previous = data_utils.collate_tokens([target for _, target in pairs], pad, eos, move_eos_to_beginning=True)
    lengths = torch.tensor([len(source) for source, _ in pairs])
    with torch.no_grad():
        logits, _ = model(sources, lengths, previous)
        scores = torch.log_softmax(logits.float(), dim=-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return [row[: len(target)].tolist() for row, (_, target) in zip(scores, pairs)]


def ctranslate2_scores(folder: str, task, pairs: Sequence[Tuple[Tensor, Tensor]]) -> List[List[float]]:
    """The same by the exported model in a folder."""
    translator = ctranslate2.Translator(folder, device="cpu")
    sides = (task.source_dictionary, task.target_dictionary)
    sources, targets = (
        [[dictionary[index] for index in pair[side][:-1]] for pair in pairs] for side, dictionary in enumerate(sides)
    )
    return [result.log_probs for result in translator.score_batch(sources, targets)]


def largest_difference(expected: Sequence[Sequence[float]], found: Sequence[Sequence[float]]) -> float:
    """The largest difference of a score; infinite where one is not a number or the tokens are not as many."""
    worst = 0.0
    for ours, theirs in zip(expected, found):
        if len(ours) != len(theirs):
            return float("inf")
        for one, other in zip(ours, theirs):
            difference = abs(one - other)
            worst = max(worst, difference if difference == difference else float("inf"))
    return worst


def check_agreement(folder: str, model, task, pairs: Sequence[Tuple[Tensor, Tensor]]) -> float:
    """The largest difference over all tokens of the pairs.

    Raises:
        Disagreement: if it is more than TOLERANCE, or CTranslate2 cannot compute the model.
    """
    try:
        found = ctranslate2_scores(folder, task, pairs)
    except (RuntimeError, ValueError) as error:
        raise Disagreement(f"CTranslate2 cannot compute the exported model ({error}); nothing was written") from error
    difference = largest_difference(fairseq_scores(model, task, pairs), found)
    if difference > TOLERANCE:
        raise Disagreement(
            f"the exported model scores a token {difference:.3g} apart from fairseq, allowed is {TOLERANCE:g}; "
            "nothing was written"
        )
    return difference
