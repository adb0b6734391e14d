"""Error rates of sequences of symbols, such as phonemes, by jiwer, as metrics of sacrebleu, which tests them.

They are those of grapheme-to-phoneme tasks (SIGMORPHON 2020), where a line is a word and its symbols stand between
spaces. Lower is better.
"""

from importlib.metadata import version
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import sacrebleu
from sacrebleu.metrics.base import Metric, Score, Signature

# What is counted: lines that differ from the reference, or edits of their symbols.
ERROR_RATES = {"WER": "lines", "PER": "edits"}


class ErrorRateSignature(Signature):
    """sacrebleu's signature with what is counted and the version of jiwer."""

    def __init__(self, args: Dict[str, Any]):
        super().__init__(args)
        self.info.update(counts=args["counts"], jiwer=version("jiwer"), version=sacrebleu.__version__)


class ErrorRate(Metric):
    """Errors of a corpus in percent; of several references the nearest one counts, of equally near ones the first.

    WER is the share of lines with any error. PER is the number of edits (symbols that are replaced, inserted or
    deleted) of all lines over the number of symbols of all references; it may be above 100.

    Args:
        name: of ERROR_RATES.
    """

    _SIGNATURE_TYPE = ErrorRateSignature

    def __init__(self, name: str):
        super().__init__()
        from jiwer import process_words  # only error rates need it

        self.name, self.counts, self._align = name, ERROR_RATES[name], process_words

    def _preprocess_segment(self, sent: str) -> str:
        """The symbols with one space between them, whatever space stood there."""
        return " ".join(sent.split())

    def _extract_reference_info(self, refs: Sequence[str]) -> Dict[str, Any]:
        return {"references": refs}

    def _compute_segment_statistics(self, hypothesis: str, ref_kwargs: Dict) -> List[int]:
        """Errors, and what they are a share of."""
        of_each = [self._edits(text, hypothesis) for text in ref_kwargs["references"]]
        edits, length = min(of_each, key=lambda pair: pair[0])
        return [edits, length] if self.counts == "edits" else [int(edits > 0), 1]

    def _edits(self, reference: str, hypothesis: str) -> Tuple[int, int]:
        """Edits between the two, and symbols of the reference."""
        aligned = self._align(reference, hypothesis)
        return aligned.substitutions + aligned.insertions + aligned.deletions, len(reference.split())

    def _compute_score_from_stats(self, stats: Sequence[float]) -> Score:
        return Score(self.name, 100 * float(stats[0] / stats[1]))

    def _aggregate_and_compute(self, stats: Sequence[Sequence[float]]) -> Score:
        return self._compute_score_from_stats(np.sum(np.asarray(stats), axis=0))


def check_symbols(references: Sequence[Sequence[Optional[str]]]) -> None:
    """Raises ValueError where a reference has no symbols: no error is a share of none; names its line."""
    for of_each in references:
        for number, text in enumerate(of_each, 1):
            if text is not None and not text.strip():
                raise ValueError(f"the reference of line {number} is empty; error rates want symbols between spaces")
