"""ROUGE F1 (Lin, 2004) of rouge-score as a metric of sacrebleu, so that sacrebleu tests its significance."""

import logging
from importlib.metadata import version
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np
import sacrebleu
from sacrebleu.metrics.base import Metric, Score, Signature

from fairseq_ghat.evaluation import sentences

logger = logging.getLogger(__name__)
# Names in rouge-score. L is that of summaries, as published ones are: sentence by sentence, the union of the longest
# common subsequences; of single sentences it is rougeL.
KINDS = {"ROUGE-1": "rouge1", "ROUGE-2": "rouge2", "ROUGE-L": "rougeLsum"}


class RougeSignature(Signature):
    """sacrebleu's signature with the settings of ROUGE: kind and sentences of ROUGE-L, stemmer, measure, versions."""

    def __init__(self, args: Dict[str, Any]):
        super().__init__(args)
        if args["kind"] == "rougeLsum":
            by = f"marked+pysbd-{version('pysbd')}" if args["split_sentences"] else "marked"
            self.info.update(kind="rougeLsum", sentences=by)
        self.info.update(stem="porter", measure="F1", rouge_score=version("rouge-score"), version=sacrebleu.__version__)


class Rouge(Metric):
    """Mean F1 of a corpus, 0 to 100, with Porter's stemmer; of several references the best one counts.

    Args:
        name: of KINDS.
        split_sentences: find the sentences of texts that do not mark them, for ROUGE-L; else such a text is one.
    """

    _SIGNATURE_TYPE = RougeSignature

    def __init__(self, name: str, split_sentences: bool = False):
        super().__init__()
        from rouge_score.rouge_scorer import RougeScorer  # only ROUGE needs it

        self.name, self.kind, self.split_sentences = name, KINDS[name], split_sentences
        self._scorer = RougeScorer([self.kind], use_stemmer=True)

    def _preprocess_segment(self, sent: str) -> str:
        """The text with a newline between its sentences."""
        split = self.split_sentences and self.kind == "rougeLsum"
        return sentences.split(sent) if split else sentences.marked(sent)

    def _extract_reference_info(self, refs: Sequence[str]) -> Dict[str, Any]:
        return {"references": refs}

    def _compute_segment_statistics(self, hypothesis: str, ref_kwargs: Dict) -> List[float]:
        score = self._scorer.score_multi(ref_kwargs["references"], hypothesis)
        return [100 * score[self.kind].fmeasure, 1.0]

    def _compute_score_from_stats(self, stats: Sequence[float]) -> Score:
        return Score(self.name, float(stats[0] / stats[1]))

    def _aggregate_and_compute(self, stats: Sequence[Sequence[float]]) -> Score:
        return self._compute_score_from_stats(np.sum(np.asarray(stats), axis=0))


def check_sentences(systems: Mapping[str, Sequence[str]], references: Sequence[Sequence[Optional[str]]]) -> None:
    """Sees to it that ROUGE-L compares sentences with sentences, where none are to be found.

    Warns where texts look like several sentences and none marks any.

    Args:
        systems: name -> hypotheses.
        references: lists of references.

    Raises:
        ValueError: if only the references, or only the hypotheses of a system, mark sentences; names the system.
    """
    flat = [text for of_each in references for text in of_each if text]
    expected = any(map(sentences.is_marked, flat))
    has = {True: "marks", False: "does not mark"}
    for name, hypotheses in systems.items():
        if any(map(sentences.is_marked, hypotheses)) != expected:
            told = f"{name} {has[not expected]} sentences (by {sentences.MARKER}), the references "
            told += "do, by that or by newlines" if expected else "do not"
            raise ValueError(f"{told}; ROUGE-L compares sentences: give --split-sentences to find those not marked")
    several = sum(map(sentences.may_be_several, flat))
    if several and not expected:
        told = f"{several:,} of {len(flat):,} references look like several sentences, and each counts as one"
        logger.warning(f"{told}; published ROUGE-L is of sentences: give --split-sentences")
