"""The score of one model: BLEU of its translations, or its perplexity."""

import json
import re
from pathlib import Path
from typing import Any, Dict, List, Optional

from experiments.comparison.plan import Comparison, Measured
from fairseq_ghat.checkpoints.files import whole_file
from fairseq_ghat.evaluation.generation_log import GenerationLogError, read_generation_log, read_lines
from fairseq_ghat.evaluation.scoring import read_references, score_systems

_REFERENCE = re.compile(r"^T-(\d+)\t(.*)$")


def write_score(what: Comparison, model: Measured) -> None:
    """Computes the score of a model and writes it beside it, whole or not at all.

    Raises:
        ValueError: if the log or the references do not fit; names the file.
    """
    content = _bleu(what, model) if what.translates else _perplexity(what, model)
    with whole_file(model.score) as file:
        file.write(json.dumps(content, indent=1).encode())


def read_score(model: Measured) -> Dict[str, Any]:
    """What write_score wrote: "metric", "score", "signature", and more of either."""
    return json.loads(model.score.read_text())


def hypotheses(model: Measured) -> List[str]:
    """Its translations, in the order of the test set."""
    return read_generation_log(model.output, with_speed=True).hypotheses


def references(what: Comparison, log: Path) -> List[List[Optional[str]]]:
    """R lists of N references: of the raw text that was given, else of the data, as the log of fairseq-generate says.

    Raises:
        GenerationLogError: if the log holds no references.
        BadReferences: if the raw text is empty.
    """
    if what.reference is not None:
        return read_references(what.reference)
    found = {}
    for line in read_lines(log):
        matched = _REFERENCE.match(line)
        if matched:
            found[int(matched.group(1))] = matched.group(2)
    if not found:
        raise GenerationLogError(f"{log}: holds no references, lines T-; give raw ones (--reference)")
    return [[found[number] for number in sorted(found)]]


def _bleu(what: Comparison, model: Measured) -> Dict[str, Any]:
    systems = {str(model.output): hypotheses(model)}
    (found,) = score_systems(systems, references(what, model.output), "bleu", what.lowercase)["BLEU"].values()
    return {
        "metric": "BLEU",
        "score": found.score,
        "interval": found.interval,
        "signature": found.signature,
        "sentences": len(systems[str(model.output)]),
    }


def _perplexity(what: Comparison, model: Measured) -> Dict[str, Any]:
    said = json.loads(model.output.read_text())
    found = said["checkpoints"][str(model.checkpoint)]["subsets"][what.subset]
    name, unit = ("word_perplexity", "word") if said["subwords"] else ("perplexity", "token")
    return {
        "metric": "perplexity",
        "score": found[name],
        "signature": f"per {unit}; {said['window']}",
        "tokens": found["tokens"],
    }
