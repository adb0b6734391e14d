"""All scores of a comparison, put together: means over seeds, deviations, and significance."""

import platform
from dataclasses import dataclass, field
from importlib import metadata
from statistics import mean, stdev
from typing import Any, Dict, List, Optional, Tuple

from experiments.comparison import plan
from experiments.comparison.plan import Comparison, Pruned, pruned, starts
from experiments.comparison.scores import hypotheses, read_score, references
from fairseq_ghat.checkpoints.files import read_checkpoint
from fairseq_ghat.evaluation.scoring import score_systems
from fairseq_ghat.profiling.parameters import describe_heads, heads_in_checkpoint
from fairseq_ghat.pruning.importance.registry import IMPORTANCES


@dataclass
class Row:
    """One way of choosing heads under one budget, over all seeds.

    Attributes:
        title: its name. start: of plan.py. paper: where the method comes from.
        keep: heads that stay in each attention. refit: of ghat-vote. heads: attentions x heads, of the first seed.
        seeds: in the order of the figures.
        voted, tuned: scores of each seed after the vote and after fine-tuning; the latter empty without it.
        p_value: of the difference to the baseline; None for the baseline, and for perplexity.
    """

    title: str
    method: str
    start: str
    paper: str
    keep: int
    refit: str
    heads: str
    seeds: List[int]
    voted: List[float]
    tuned: List[float]
    p_value: Optional[float] = None
    runs: List[Pruned] = field(default_factory=list, repr=False)

    @property
    def final(self) -> List[float]:
        """The scores that rows are ordered by."""
        return self.tuned or self.voted


@dataclass
class Results:
    """What a comparison found.

    Attributes:
        metric: "BLEU" or "perplexity". signature: how it was computed.
        all_heads: (title, score) of each start. rows: by budget, the best first.
    """

    metric: str
    signature: str
    all_heads: List[Tuple[str, float]]
    rows: List[Row]


def gather(what: Comparison) -> Results:
    """Reads the scores of all finished steps; computes significance.

    Raises:
        OSError, ValueError: if a file is missing or does not fit.
    """
    of_starts = [(start.title, read_score(start.model)) for start in starts(what)]
    first = of_starts[0][1]
    grouped: Dict[Tuple, List[Pruned]] = {}
    for one in pruned(what):
        grouped.setdefault((one.keep, one.refit, one.title), []).append(one)
    rows = [_row(what, runs) for runs in grouped.values()]
    if what.translates:
        _test(what, rows)
    rows.sort(key=lambda row: (row.keep, (-1 if what.translates else 1) * mean(row.final)))
    return Results(first["metric"], first["signature"], [(title, score["score"]) for title, score in of_starts], rows)


def spread(values: List[float]) -> Dict[str, Optional[float]]:
    """Mean and standard deviation (of a sample, n - 1); the latter None for one value."""
    return {"mean": mean(values), "standard_deviation": stdev(values) if len(values) > 1 else None}


def as_json(what: Comparison, results: Results, settings: Dict[str, Any]) -> Dict[str, Any]:
    """Everything, unrounded, as plain data."""
    return {
        "settings": settings,
        "versions": versions(),
        "task": what.kind,
        "subset": what.subset,
        "metric": results.metric,
        "signature": results.signature,
        "heads": what.heads,
        "seeds": list(what.seeds),
        "baseline": what.baseline,
        "all_heads": [{"title": title, "score": score} for title, score in results.all_heads],
        "rows": [
            {
                "title": row.title,
                "method": row.method,
                "start": row.start,
                "paper": row.paper,
                "heads_kept": row.keep,
                "attentions_x_heads": row.heads,
                "refit": row.refit,
                "seeds": row.seeds,
                "after_the_vote": {"scores": row.voted, **spread(row.voted)},
                "after_fine_tuning": {"scores": row.tuned, **spread(row.tuned)} if row.tuned else None,
                "p_value": row.p_value,
            }
            for row in results.rows
        ],
    }


def versions() -> Dict[str, str]:
    """Of Python and of the packages that the figures depend on; fairseq under the name that it is installed by."""
    found = {"python": platform.python_version()}
    for package in ("torch", "fairseq", "fairseq-fixed", "sacrebleu", "fairseq_ghat"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _row(what: Comparison, runs: List[Pruned]) -> Row:
    first = runs[0]
    return Row(
        title=first.title,
        method=first.method,
        start=first.start.kind,
        paper=IMPORTANCES[first.method].paper,
        keep=first.keep,
        refit=first.refit,
        heads=describe_heads(heads_in_checkpoint(read_checkpoint(first.voted.checkpoint)).values()),
        seeds=[one.seed for one in runs],
        voted=[read_score(one.voted)["score"] for one in runs],
        tuned=[read_score(one.tuned)["score"] for one in runs] if what.epochs else [],
        runs=runs,
    )


def _test(what: Comparison, rows: List[Row]) -> None:
    """Sets the p-values: paired bootstrap on the translations of all seeds together, within a budget and a refit."""
    of_log = references(what, starts(what)[0].model.output)
    repeated = [reference * len(what.seeds) for reference in of_log]
    for keep, refit in dict.fromkeys((row.keep, row.refit) for row in rows):
        others = [row for row in rows if (row.keep, row.refit) == (keep, refit)]
        # The sort is stable: the baseline comes first.
        others.sort(key=lambda row: (row.method, row.start) != (what.baseline, plan.PLAIN))
        systems = {row.title: _translations(what, row) for row in others}
        for title, score in score_systems(systems, repeated, "bleu", what.lowercase)["BLEU"].items():
            next(row for row in others if row.title == title).p_value = score.p_value


def _translations(what: Comparison, row: Row) -> List[str]:
    models = [one.tuned if what.epochs else one.voted for one in row.runs]
    return [text for model in models for text in hypotheses(model)]
