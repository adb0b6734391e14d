"""BLEU and ROUGE of systems on one test set, with sacrebleu's intervals and paired bootstrap."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Union

from sacrebleu.metrics import BLEU
from sacrebleu.metrics.base import Metric
from sacrebleu.significance import PairedTest, Result

from fairseq_ghat.evaluation.generation_log import read_lines
from fairseq_ghat.evaluation.rouge import KINDS, Rouge

METRICS = ("bleu", "rouge")


class BadReferences(ValueError):
    """References that cannot be used; the message names the file."""


@dataclass
class SystemScore:
    """One score of one system.

    Attributes:
        score: of the whole test set, 0 to 100.
        interval: half the width of the 95 % interval of the bootstrap around its mean.
        p_value: of the difference to the first system (paired bootstrap); None for the first, 1 without a difference.
        signature: how it was computed, as sacrebleu writes it.
    """

    score: float
    interval: float
    p_value: Optional[float]
    signature: str


def read_references(path: Union[str, Path]) -> List[List[Optional[str]]]:
    """References as sacrebleu takes them: R lists of N, None where a sentence has fewer than R.

    A text file has one reference a line; a file .jsonl has a list of references a line.

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
            found = json.loads(line)
        except ValueError:
            found = None
        if not isinstance(found, list) or not found or not all(isinstance(text, str) for text in found):
            raise BadReferences(f"{path}: line {number} is not a JSON list of references")
        lists.append(found)
    most = max(map(len, lists))
    return [[texts[i] if i < len(texts) else None for texts in lists] for i in range(most)]


def score_systems(
    systems: Dict[str, Sequence[str]],
    references: Sequence[Sequence[Optional[str]]],
    metric: str,
    lowercase: bool = False,
    tokenize: Optional[str] = None,
    resamples: int = 1000,
) -> Dict[str, Dict[str, SystemScore]]:
    """Scores of every system, and how likely chance alone explains its difference to the first one.

    Args:
        systems: name -> N hypotheses, detokenised; the first is the baseline of the paired bootstrap.
        references: R lists of N.
        metric: of METRICS.
        lowercase: BLEU without case; ROUGE never has it.
        tokenize: sacrebleu's tokenizer (default: sacrebleu's, 13a).
        resamples: of the bootstrap (sacrebleu's seed: SACREBLEU_SEED, 12345).

    Returns:
        metric's name ("BLEU", or "ROUGE-1" to "ROUGE-L") -> system -> score.

    Raises:
        ValueError: if a system does not have N hypotheses; names it.
        ImportError: if ROUGE is asked for and rouge-score is not installed.
    """
    for name, hypotheses in systems.items():
        if len(hypotheses) != len(references[0]):
            raise ValueError(f"{name} has {len(hypotheses)} sentences, the references have {len(references[0])}")
    metrics: Dict[str, Metric] = (
        {"BLEU": BLEU(lowercase=lowercase, tokenize=tokenize)}
        if metric == "bleu"
        else {name: Rouge(name) for name in KINDS}
    )
    test = PairedTest(list(systems.items()), metrics, references, test_type="bs", n_samples=resamples)
    signatures, results = test()
    return {name: dict(zip(systems, _scores(results[name], str(signatures[name])))) for name in metrics}


def _scores(results: Sequence[Result], signature: str) -> List[SystemScore]:
    """sacrebleu's results; but two systems without any difference do not differ significantly, as it would have it
    (it counts the resamples whose difference is larger than none: there is none)."""
    found = []
    for result in results:
        p = 1.0 if result.p_value is not None and result.score == results[0].score else result.p_value
        found.append(SystemScore(float(result.score), float(result.ci), p, signature))
    return found
