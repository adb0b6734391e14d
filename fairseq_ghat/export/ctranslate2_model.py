"""Writes a CTranslate2 model whole or not at all, checked to score translations as fairseq does."""

import math
import shutil
import tempfile
from pathlib import Path
from typing import List, Sequence, Tuple

import ctranslate2
import numpy as np
import torch
from fairseq.data import LanguagePairDataset, data_utils
from fairseq.tasks import FairseqTask
from torch import Tensor

from fairseq_ghat.checkpoints.whole_file import writing
from fairseq_ghat.export.ctranslate2_spec import as_transformer_spec
from fairseq_ghat.models.ghat_transformer import GHATTransformerModel

# Largest difference of a token's log-probability that float32 explains.
TOLERANCE = 1e-3
# CTranslate2 cuts a longer source, in tokens, unless it is told otherwise.
LONGEST = 1024

# Indexes of the source tokens (S,) and of the target tokens (T,), each with the end-of-sentence symbol.
Pair = Tuple[Tensor, Tensor]


class ExportMismatch(RuntimeError):
    """An exported model that does not compute what fairseq computes; the message says by how much it differs."""


def write_model(
    model: GHATTransformerModel, task: FairseqTask, pairs: Sequence[Pair], out: Path, quantization: str = "float32"
) -> Tuple[float, float]:
    """Exports a model, in evaluation mode on the CPU, into a folder that does not exist yet; pairs serve to check it.

    Returns:
        The largest difference to fairseq of a token's log-probability, in float32 and as written. Only the first is
        checked, which tells a wrong layout from the loss of quantization.

    Raises:
        ExportMismatch: if the difference is more than float32 explains; nothing is written.
        NotExportable: for options that CTranslate2 has no counterpart of.
        NotWritten: if the system refuses to write; nothing stays.
    """
    parent, prefix = out.resolve().parent, f"{out.name}.part."
    with writing(out), tempfile.TemporaryDirectory(dir=parent, prefix=prefix) as folder:
        written = _save(model, task, folder, "float32")
        checked = quantized = check_export(written, model, task, pairs)
        if quantization != "float32":
            written = _save(model, task, folder, quantization)
            scores = ctranslate2_scores(written, task, pairs)
            quantized = largest_difference(fairseq_scores(model, task, pairs), scores)
        shutil.move(written, out)
    return checked, quantized


def _save(model: GHATTransformerModel, task: FairseqTask, folder: str, quantization: str) -> str:
    path = Path(folder) / quantization
    path.mkdir()
    # Made anew each time: optimize() changes its arrays in place.
    spec = as_transformer_spec(model, task.source_dictionary, task.target_dictionary)
    spec.validate()
    spec.optimize(quantization=None if quantization == "float32" else quantization)
    spec.save(str(path))
    return str(path)


def first_pairs(dataset: LanguagePairDataset, count: int, positions: int = LONGEST) -> List[Pair]:
    """The first sentence pairs of a dataset with no side longer than the positions, or as many as it has."""
    longest = np.maximum(dataset.src_sizes, dataset.tgt_sizes)
    numbers = np.flatnonzero(longest <= min(positions, LONGEST))[:count].tolist()
    if dataset.supports_prefetch:  # data of fairseq before 0.9
        dataset.prefetch(numbers)
    items = [dataset[number] for number in numbers]
    return [(item["source"], item["target"]) for item in items]


def fairseq_scores(model: GHATTransformerModel, task: FairseqTask, pairs: Sequence[Pair]) -> List[List[float]]:
    """The log-probability that a model gives every target token of each pair, after the source and earlier tokens."""
    pad, eos = task.target_dictionary.pad(), task.target_dictionary.eos()
    sources, targets = zip(*pairs)
    lengths = torch.tensor([len(source) for source in sources])
    sources = data_utils.collate_tokens(sources, task.source_dictionary.pad(), left_pad=True)
    previous = data_utils.collate_tokens(targets, pad, eos, move_eos_to_beginning=True)
    with torch.no_grad():
        logits, _ = model(sources, lengths, previous)
        expected = data_utils.collate_tokens(targets, pad).unsqueeze(-1)
        scores = torch.log_softmax(logits.float(), dim=-1).gather(-1, expected).squeeze(-1)
    return [row[: len(target)].tolist() for row, target in zip(scores, targets)]


def ctranslate2_scores(folder: str, task: FairseqTask, pairs: Sequence[Pair]) -> List[List[float]]:
    """As fairseq_scores, by the exported model in a folder."""
    translator = ctranslate2.Translator(folder, device="cpu")
    sides = (task.source_dictionary, task.target_dictionary)
    sources, targets = (
        [[dictionary[index] for index in pair[side][:-1]] for pair in pairs] for side, dictionary in enumerate(sides)
    )
    return [result.log_probs for result in translator.score_batch(sources, targets)]


def largest_difference(expected: Sequence[Sequence[float]], actual: Sequence[Sequence[float]]) -> float:
    """Largest difference between two scores of a token, given the scores of each sentence.

    It is infinite if a score is not a number, or if a sentence has other numbers of tokens.
    """
    if [*map(len, expected)] != [*map(len, actual)]:
        return math.inf
    differences = [abs(first - second) for rows in zip(expected, actual) for first, second in zip(*rows)]
    return max((math.inf if math.isnan(difference) else difference for difference in differences), default=0.0)


def check_export(folder: str, model: GHATTransformerModel, task: FairseqTask, pairs: Sequence[Pair]) -> float:
    """Largest difference of a token's log-probability between fairseq and the exported model in a folder.

    Raises:
        ExportMismatch: if it is more than TOLERANCE, or if CTranslate2 cannot compute the model.
    """
    try:
        scores = ctranslate2_scores(folder, task, pairs)
    except (RuntimeError, ValueError) as error:
        raise ExportMismatch(f"CTranslate2 cannot compute the exported model ({error}); nothing was written") from error
    difference = largest_difference(fairseq_scores(model, task, pairs), scores)
    if difference > TOLERANCE:
        raise ExportMismatch(
            f"the exported model scores a token {difference:.3g} apart from fairseq, allowed is {TOLERANCE:g}; "
            "nothing was written"
        )
    return difference
