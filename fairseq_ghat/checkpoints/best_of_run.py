"""The best checkpoints of a training run, as fairseq's --keep-best-checkpoints names them."""

import re
from pathlib import Path
from typing import Any, Dict, List

from fairseq_ghat.checkpoints.files import CheckpointError, read_checkpoint

_BEST = re.compile(r"checkpoint\.best_(?P<metric>.+)_(?P<score>-?\d+\.\d+)\.pt")


def best_checkpoints(folder: Path, count: int) -> List[Path]:
    """The best checkpoints of a run, best first, at most `count`; of a run that has voted, all of them are voted ones
    (the vote sets the earlier ones aside as before_vote.*).

    There can be fewer, however long the run was: fairseq keeps a checkpoint only if it beats the worst one kept.

    Raises:
        CheckpointError: if the folder has none, or some of several metrics; says what it has.
    """
    found = {}
    for path in sorted(folder.glob("checkpoint.best_*.pt")):
        match = _BEST.fullmatch(path.name)
        if match:
            found[path] = match["metric"], float(match["score"])
    metrics = sorted({metric for metric, _ in found.values()})
    if not found:
        raise CheckpointError(
            f"{folder}: has no checkpoint.best_METRIC_SCORE.pt; train with --keep-best-checkpoints {count}"
        )
    if len(metrics) > 1:
        raise CheckpointError(f"{folder}: has best checkpoints of several metrics: {', '.join(metrics)}")
    rising = _more_is_better(read_checkpoint(next(iter(found))))
    return sorted(found, key=lambda path: found[path][1], reverse=rising)[:count]


def _more_is_better(state: Dict[str, Any]) -> bool:
    """Which way the metric went in training; the file's name does not tell."""
    trained = state["cfg"]["checkpoint"] if state.get("cfg") else vars(state["args"])
    return bool(trained["maximize_best_checkpoint_metric"])
