"""ROUGE F1 (Lin, 2004) of rouge-score as a metric of sacrebleu, so that sacrebleu tests its significance."""

from importlib.metadata import version
from typing import Any, Dict, List, Sequence

import numpy as np
import sacrebleu
from sacrebleu.metrics.base import Metric, Score, Signature

# Names in rouge-score; L takes the whole summary, not each sentence alone.
KINDS = {"ROUGE-1": "rouge1", "ROUGE-2": "rouge2", "ROUGE-L": "rougeL"}


class RougeSignature(Signature):
    """sacrebleu's signature with the settings of ROUGE: stemmer, measure, both versions."""

    def __init__(self, args: Dict[str, Any]):
        super().__init__(args)
        self.info.update(stem="porter", measure="F1", rouge_score=version("rouge-score"), version=sacrebleu.__version__)


class Rouge(Metric):
    """Mean F1 of a corpus, 0 to 100, with Porter's stemmer; of several references the best one counts."""

    _SIGNATURE_TYPE = RougeSignature

    def __init__(self, name: str):
        super().__init__()
        from rouge_score.rouge_scorer import RougeScorer  # only ROUGE needs it

        self.name, self._kind = name, KINDS[name]
        self._scorer = RougeScorer([self._kind], use_stemmer=True)

    def _preprocess_segment(self, sent: str) -> str:
        return sent

    def _extract_reference_info(self, refs: Sequence[str]) -> Dict[str, Any]:
        return {"references": refs}

    def _compute_segment_statistics(self, hypothesis: str, ref_kwargs: Dict) -> List[float]:
        score = self._scorer.score_multi(ref_kwargs["references"], hypothesis)
        return [100 * score[self._kind].fmeasure, 1.0]

    def _compute_score_from_stats(self, stats: Sequence[float]) -> Score:
        return Score(self.name, float(stats[0] / stats[1]))

    def _aggregate_and_compute(self, stats: Sequence[Sequence[float]]) -> Score:
        return self._compute_score_from_stats(np.sum(np.asarray(stats), axis=0))
