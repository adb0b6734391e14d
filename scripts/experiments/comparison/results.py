"""The scores of a comparison: of each model, then put together with means over seeds, deviations and significance."""

import json
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from statistics import mean
from typing import Any, Dict, List, Optional, Sequence, Tuple

from experiments.comparison.plan import Comparison, ScoredModel, Size, Start, Vote, starts, votes
from experiments.files import write_json
from experiments.spread import deviation
from fairseq_ghat.checkpoints.files import read_checkpoint
from fairseq_ghat.evaluation.generation_log import GenerationLogError, read_generation_log
from fairseq_ghat.evaluation.scoring import SystemScore, read_references, score_systems
from fairseq_ghat.profiling.parameters import describe_counts, heads_in_checkpoint, non_embedding_parameters


@dataclass
class Row:
    """One method at one size, over all seeds.

    Attributes:
        title: its name.
        method: of METHODS.
        start: kind of the model it begins at, of plan.py.
        paper: where the method comes from.
        size: heads kept in each attention or on average, or the budget.
        attentions_x_heads: of the first seed, as the next two.
        feed_forwards_x_neurons: of those that there are.
        parameters: without embeddings.
        refit: of ghat-vote.
        seeds: in the order of the scores.
        voted: score of each seed after the vote; empty for FROM_START.
        tuned: score of each seed after fine-tuning; empty without it.
        p_value: of the difference to the baseline; None for the baseline, and for perplexity.
        updates: that the model of the first seed had, those of the checkpoint among them; None where it does not say.
    """

    title: str
    method: str
    start: str
    paper: str
    size: Size
    attentions_x_heads: str
    feed_forwards_x_neurons: str
    parameters: int
    refit: str
    seeds: List[int]
    voted: List[float]
    tuned: List[float]
    p_value: Optional[float] = None
    updates: Optional[int] = None


@dataclass
class Results:
    """All scores of a comparison.

    Attributes:
        metric: "BLEU" or "perplexity".
        signature: how it was computed.
        all_heads: (title, score, updates) of each start.
        parameters: of the checkpoint, without embeddings.
        rows: by size, the best first.
    """

    metric: str
    signature: str
    all_heads: List[Tuple[str, float, Optional[int]]]
    parameters: int
    rows: List[Row]


def write_score(comparison: Comparison, model: ScoredModel) -> None:
    """Computes the score of a model and writes it beside it, whole or not at all.

    Raises:
        ValueError: if the log or the references do not fit; names the file.
    """
    write_json(model.score, _bleu(comparison, model) if comparison.translates else _perplexity(comparison, model))


def read_score(model: ScoredModel) -> Dict[str, Any]:
    """What write_score wrote: "metric", "score", "signature", and more of either."""
    return json.loads(model.score.read_text())


def hypotheses(model: ScoredModel) -> List[str]:
    """Translations of a model, in the order of the test set."""
    return read_generation_log(model.output, with_speed=True).hypotheses


def references(comparison: Comparison, log: Path) -> List[List[Optional[str]]]:
    """R lists of N references: of the raw text that was given, else of the data, as the log of fairseq-generate says.

    Raises:
        GenerationLogError: if the log holds no references.
        BadReferences: if the raw text is empty.
    """
    if comparison.reference is not None:
        return read_references(comparison.reference)
    texts = read_generation_log(log).references
    if texts is None:
        raise GenerationLogError(f"{log}: holds no references, lines T-; give raw ones (--reference)")
    return [list(texts)]


def gather(comparison: Comparison) -> Results:
    """Reads the scores of all finished commands; computes significance.

    Raises:
        OSError, ValueError: if a file is missing or does not fit.
    """
    all_heads = [(start, read_score(start.model)) for start in starts(comparison)]
    by_row: Dict[Tuple, List[Vote]] = {}
    for vote in votes(comparison):
        # That of no refit is tested beside those of the first.
        by_row.setdefault((vote.size, vote.refit or comparison.refit[0], vote.title), []).append(vote)
    p_values = _p_values(comparison, by_row) if comparison.translates else {}
    rows = [_row(comparison, of_row, p_values.get(key)) for key, of_row in by_row.items()]
    rows.sort(key=lambda row: (row.size, (-1 if comparison.translates else 1) * mean(row.tuned or row.voted)))
    first = all_heads[0][1]
    scores = [(start.title, score["score"], _updates(comparison, start)) for start, score in all_heads]
    parameters = non_embedding_parameters(read_checkpoint(comparison.checkpoint)["model"])
    return Results(first["metric"], first["signature"], scores, parameters, rows)


def spread(scores: Sequence[float]) -> Dict[str, Optional[float]]:
    """Mean and standard deviation (of a sample, n - 1); the latter None for one value."""
    return {"mean": mean(scores), "standard_deviation": deviation(scores)}


def as_json(comparison: Comparison, results: Results, settings: Dict[str, Any]) -> Dict[str, Any]:
    """Everything, unrounded, as plain data."""
    return {
        "settings": settings,
        "versions": versions(),
        "task": comparison.kind,
        "subset": comparison.subset,
        "metric": results.metric,
        "signature": results.signature,
        "heads": comparison.heads,
        "parameters": results.parameters,
        "seeds": list(comparison.seeds),
        "baseline": comparison.baseline,
        "all_heads": [dict(zip(("title", "score", "updates"), start)) for start in results.all_heads],
        "rows": [_plain(row) for row in results.rows],
    }


def versions() -> Dict[str, str]:
    """Of Python and of the packages that the figures depend on; fairseq under the name that it is installed by."""
    installed = {"python": platform.python_version()}
    for package in ("torch", "fairseq", "fairseq-fixed", "sacrebleu", "fairseq_ghat"):
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed


def _bleu(comparison: Comparison, model: ScoredModel) -> Dict[str, Any]:
    texts = hypotheses(model)
    systems, expected = {str(model.output): texts}, references(comparison, model.output)
    (bleu,) = _scores(comparison, systems, expected).values()
    figures = {"score": bleu.score, "interval": bleu.interval, "signature": bleu.signature}
    return {"metric": "BLEU", **figures, "sentences": len(texts)}


def _scores(
    comparison: Comparison, systems: Dict[str, List[str]], expected: List[List[Optional[str]]]
) -> Dict[str, SystemScore]:
    target_lang = comparison.languages[1]
    return score_systems(systems, expected, "bleu", comparison.lowercase, target_lang=target_lang)["BLEU"]


def _perplexity(comparison: Comparison, model: ScoredModel) -> Dict[str, Any]:
    measured = json.loads(model.output.read_text())
    figures = measured["checkpoints"][str(model.checkpoint)]["subsets"][comparison.subset]
    key, unit = ("word_perplexity", "word") if measured["subwords"] else ("perplexity", "token")
    signature = f"per {unit}; {measured['window']}"
    return {"metric": "perplexity", "score": figures[key], "signature": signature, "tokens": figures["tokens"]}


def _row(comparison: Comparison, of_row: Sequence[Vote], p_value: Optional[float]) -> Row:
    first = of_row[0]
    state = read_checkpoint(first.cut.checkpoint)
    neurons = [weight.size(1) for name, weight in state["model"].items() if name.endswith(".fc2.weight")]
    return Row(
        title=first.title,
        method=first.method,
        start=first.start.kind,
        paper=first.paper,
        size=first.size,
        attentions_x_heads=describe_counts(heads_in_checkpoint(state).values()),
        feed_forwards_x_neurons=describe_counts(neurons),
        parameters=non_embedding_parameters(state["model"]),
        refit=first.refit,
        seeds=[vote.seed for vote in of_row],
        voted=[read_score(vote.voted)["score"] for vote in of_row if vote.voted is not None],
        tuned=[read_score(vote.tuned)["score"] for vote in of_row] if comparison.epochs else [],
        p_value=p_value,
        updates=_updates(comparison, first.start, first),
    )


def _updates(comparison: Comparison, start: Start, vote: Optional[Vote] = None) -> Optional[int]:
    """Updates that the model of a start had, or of a vote in the end; None where a checkpoint does not say."""
    trained = [] if vote is None or not comparison.epochs else [vote.tuned.checkpoint]
    if vote is None or vote.voted is not None:
        trained += [Path(comparison.checkpoint), *([start.model.checkpoint] if comparison.continue_epochs else [])]
    counts = [((read_checkpoint(path).get("optimizer_history") or [{}])[-1]).get("num_updates") for path in trained]
    return None if None in counts else sum(counts)


def _plain(row: Row) -> Dict[str, Any]:
    content = dict(vars(row))
    voted, tuned = content.pop("voted"), content.pop("tuned")
    content["after_the_vote"] = {"scores": voted, **spread(voted)} if voted else None
    content["after_fine_tuning"] = {"scores": tuned, **spread(tuned)} if tuned else None
    return content


def _p_values(comparison: Comparison, by_row: Dict[Tuple, List[Vote]]) -> Dict[Tuple, Optional[float]]:
    """Of each row: paired bootstrap on the translations of all seeds together, within a budget and a refit."""
    of_one_seed = references(comparison, starts(comparison)[0].model.output)
    repeated = [texts * len(comparison.seeds) for texts in of_one_seed]
    p_values = {}
    for budget in dict.fromkeys(key[:2] for key in by_row):
        titles = [key[2] for key in by_row if key[:2] == budget]
        titles.sort(key=lambda title: title != comparison.baseline)  # the sort is stable: the baseline comes first
        systems = {}
        for title in titles:
            models = [vote.tuned if comparison.epochs else vote.cut for vote in by_row[(*budget, title)]]
            systems[title] = [text for model in models for text in hypotheses(model)]
        scores = _scores(comparison, systems, repeated)
        p_values.update(((*budget, title), score.p_value) for title, score in scores.items())
    return p_values
