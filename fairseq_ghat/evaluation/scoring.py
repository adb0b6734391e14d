"""BLEU, ROUGE and error rates of systems on one test set, with sacrebleu's intervals and paired bootstrap."""

import json
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Union

from sacrebleu.metrics.base import Metric
from sacrebleu.significance import PairedTest, Result

from fairseq_ghat.evaluation.bleu import BleuParts, bleu_metric
from fairseq_ghat.evaluation.error_rate import ERROR_RATES, ErrorRate, check_symbols
from fairseq_ghat.evaluation.generation_log import read_lines
from fairseq_ghat.evaluation.rouge import KINDS, Rouge, check_sentences

METRICS = ("bleu", "rouge", "error-rate")
LOWER_IS_BETTER = tuple(ERROR_RATES)


class BadReferences(ValueError):
    """References that cannot be used; the message names the file and says why."""


@dataclass
class SystemScore:
    """Score of one system in one metric.

    Attributes:
        score: score of the whole test set in percent, from 0; error rates may be above 100.
        interval: half the width of the bootstrap's 95 % interval.
        p_value: p-value of the difference to the first system (paired bootstrap); None for the first system.
        signature: settings of the metric, as sacrebleu writes them.
        parts: of BLEU, what it is made of; None of another metric.
    """

    score: float
    interval: float
    p_value: Optional[float]
    signature: str
    parts: Optional[BleuParts] = None


def read_references(path: Union[str, Path]) -> List[List[Optional[str]]]:
    """Reads references in the form that sacrebleu takes.

    Args:
        path: text file with one reference a line, or .jsonl file with a list of references a line, whose sentences
            newlines may separate.

    Returns:
        R lists of N texts, for N sentences with up to R references; None where a sentence has fewer.

    Raises:
        BadReferences: if the file is empty, or a line of .jsonl is not a list of texts with at least one.
    """
    lines = read_lines(path)
    if not lines:
        raise BadReferences(f"{path}: is empty")
    if Path(path).suffix != ".jsonl":
        return [list(lines)]
    lists = []
    for number, line in enumerate(lines, start=1):
        try:
            texts = json.loads(line)
        except ValueError:
            texts = None
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise BadReferences(f"{path}: line {number} is not a JSON list of references")
        lists.append(texts)
    return [list(texts) for texts in zip_longest(*lists)]


def score_systems(
    systems: Dict[str, Sequence[str]],
    references: Sequence[Sequence[Optional[str]]],
    metric: str,
    lowercase: bool = False,
    tokenize: Optional[str] = None,
    resamples: int = 1000,
    target_lang: Optional[str] = None,
    split_sentences: bool = False,
) -> Dict[str, Dict[str, SystemScore]]:
    """Scores every system, and tests its difference to the first one by paired bootstrap.

    Args:
        systems: name -> N hypotheses, detokenised.
        references: R lists of N references.
        metric: one of METRICS.
        lowercase: compute BLEU without case; ROUGE always ignores case, error rates never.
        tokenize: sacrebleu's tokenizer for BLEU (default: that of the target language).
        resamples: number of resamples of the bootstrap, whose seed is sacrebleu's (SACREBLEU_SEED, 12345).
        target_lang: code of the language that is translated into, for BLEU.
        split_sentences: for ROUGE, find the sentences of texts that do not mark them.

    Returns:
        Name of the metric ("BLEU", "ROUGE-1" to "ROUGE-L", or "WER" and "PER") -> name of the system -> score.

    Raises:
        ValueError: if a system does not have N hypotheses, or marks no sentences where the references do; names it.
            If a reference is empty, for error rates; names its line.
        BadTokenizer: if BLEU's tokenizer cannot be used.
        ImportError: if a package that ROUGE or error rates need is not installed.
    """
    for name, hypotheses in systems.items():
        if len(hypotheses) != len(references[0]):
            raise ValueError(f"{name} has {len(hypotheses)} sentences, the references have {len(references[0])}")
    if metric == "bleu":
        bleu = bleu_metric(references, lowercase, tokenize, target_lang)
        metrics: Dict[str, Metric] = {"BLEU": bleu}
    elif metric == "rouge":
        if not split_sentences:
            check_sentences(systems, references)
        metrics = {name: Rouge(name, split_sentences) for name in KINDS}
    else:
        check_symbols(references)
        metrics = {name: ErrorRate(name) for name in ERROR_RATES}
    test = PairedTest(list(systems.items()), metrics, references, test_type="bs", n_samples=resamples)
    signatures, results = test()
    by_metric = {name: dict(zip(systems, _scores(results[name], str(signatures[name])))) for name in metrics}
    for name, system in by_metric.get("BLEU", {}).items():
        whole = bleu.corpus_score(systems[name], references)
        system.parts = BleuParts(whole.precisions, whole.bp, whole.sys_len, whole.ref_len)
    return by_metric


def _scores(results: Sequence[Result], signature: str) -> List[SystemScore]:
    """sacrebleu's results, with p = 1 where the scores are equal.

    sacrebleu counts the resamples whose difference is larger than the measured one. Of two equal systems there are
    none, and it would call their difference significant.
    """
    scores = []
    for result in results:
        p = 1.0 if result.p_value is not None and result.score == results[0].score else result.p_value
        scores.append(SystemScore(float(result.score), float(result.ci), p, signature))
    return scores
