"""The paper's tables, of the rows of benchmarks, with the published figures beside them."""

import math
from pathlib import Path
from statistics import mean
from typing import Any, Dict, List, Sequence

import yaml

from experiments.recipes.results import Row, shared_seeds
from experiments.spread import deviation
from fairseq_ghat.cli.console import markdown_table

PUBLISHED, PUBLISHED_SIZES = Path(__file__).with_name("published.yaml"), ("parameters", "speed", "flops")
# kind -> title of its table, unit of speed, decimal places of scores.
TABLES = {
    "translation": ("Translation (the paper's Table 1)", "sentences/s", 1),
    "transcription": ("Letters to sounds (SIGMORPHON 2020, task 1)", "words/s", 2),
    "summarization": ("Summarisation (the paper's Table 4)", "sentences/s", 2),
    "language_modeling": ("Language modelling (the paper's Table 6)", "tokens/s", 2),
}
_ABOUT = ("updates", "heads kept", "parameters")
SPREADS = (
    "± of one run: the bootstrap's 95 % interval; of several: their standard deviation. p: paired bootstrap over the "
    "sentences of all runs; p (seeds): paired t-test over the runs. Both are against the first system."
)


def tables(rows: Sequence[Row]) -> List[str]:
    """A table for each kind of task: systems in rows, each followed by the published one; scores in columns."""
    published = yaml.safe_load(PUBLISHED.read_text())
    made = []
    for kind, (title, _, _) in TABLES.items():
        of_kind = [row for row in rows if row.kind == kind]
        if not of_kind:
            continue
        if kind == "transcription" and len({row.set for row in of_kind}) > 1:
            made += [f"{title}\n\n{table}" for table in (_over_sets(of_kind), _by_set(of_kind))]
        else:
            made.append(f"{title}\n\n{_table(kind, of_kind, published.get(kind, {}))}")
    return made


def _table(kind: str, rows: Sequence[Row], published: Dict[str, Dict[str, Any]]) -> str:
    _, unit, digits = TABLES[kind]
    firsts = {row.set: row for row in reversed(rows)}  # of each set the first
    sets = list(dict.fromkeys(row.set for row in rows))
    columns = [(name, place, metric) for name in sets for place, metric in enumerate(firsts[name].scores)]
    tests = [name for name in ("p_sentences", "p_seeds") if any(getattr(row, name) for row in rows)]
    several = any(len(row.seeds) > 1 for row in rows)
    titles = ["model", *(["n"] if several else []), *_ABOUT, unit, "FLOPs"]
    for name, _, metric in columns:
        titles += [f"{name} {metric}", *({"p_sentences": "p", "p_seeds": "p (seeds)"}[test] for test in tests)]
    cells = []
    for system in dict.fromkeys(row.system for row in rows):
        by_set = {row.set: row for row in rows if row.system == system}
        about = _shared([[str(len(row.seeds)), *_about(row), *_speed(row)] for row in by_set.values()])
        line = [system, *(about if several else about[1:])]
        for of_set, _, metric in columns:
            row = by_set.get(of_set)
            line.append(_spread(row.scores[metric], row.intervals.get(metric), digits) if row else "")
            line += [_p(getattr(row, test).get(metric)) if row else "" for test in tests]
        cells.append(line)
        figures = published.get(system, {})
        if any(of_set in figures for of_set in sets):
            line = [f"{system}, published", *([""] if several else []), "", ""]
            line += [str(figures.get(key, "")) for key in PUBLISHED_SIZES]
            for of_set, place, _ in columns:
                scores = figures.get(of_set, [])
                scores = scores if isinstance(scores, list) else [scores]
                line += [f"{scores[place]:.{digits}f}" if place < len(scores) else "", *("" for _ in tests)]
            cells.append(line)
    return markdown_table(titles, cells)


def _about(row: Row) -> List[str]:
    """The cells of _ABOUT."""
    millions = row.parameters / 1e6
    return ["" if row.updates is None else f"{row.updates:,}", row.heads, f"{millions:.{2 if millions < 10 else 1}f}M"]


def _speed(row: Row) -> List[str]:
    """The cells of speed and FLOPs."""
    return ["" if row.speed is None else f"{row.speed:,.1f}", f"{row.flops / 1e6:.1f}M"]


def _shared(by_set: Sequence[List[str]]) -> List[str]:
    """Of each column what holds for all data sets, each of which has a list of cells."""
    return [column[0] if len(set(column)) == 1 else "differs" for column in zip(*by_set)]


def _over_sets(rows: Sequence[Row]) -> str:
    """Means over the data sets, each system against the first by two tests over them; lower is better."""
    from scipy.stats import binomtest, wilcoxon

    metrics, systems = list(rows[0].scores), list(dict.fromkeys(row.system for row in rows))
    of_first = {row.set: row for row in rows if row.system == systems[0]}
    titles = ["model", "sets", "runs", *_ABOUT]
    for metric in metrics:
        titles += [f"mean {metric}", "p (Wilcoxon)", "better, worse", "p (sign)"]
    cells = []
    for system in systems:
        of_system = {row.set: row for row in rows if row.system == system}
        line = [system, str(len(of_system)), str(sum(len(row.seeds) for row in of_system.values()))]
        line += _shared([_about(row) for row in of_system.values()])
        for metric in metrics:
            line.append(_spread(_means_of_seeds(list(of_system.values()), metric), None, 2))
            both = [name for name in of_first if name in of_system]
            means = [[mean(of[name].scores[metric]) for of in (of_system, of_first)] for name in both]
            differences = [round(here - there, 9) for here, there in means]  # rounded: equal sums of errors are a tie
            better, worse = sum(d < 0 for d in differences), sum(d > 0 for d in differences)
            if system == systems[0]:
                line += ["", "", ""]
            elif better + worse == 0:
                line += [_p(1.0), "0, 0", _p(1.0)]
            else:
                line.append(_p(float(wilcoxon([d for d in differences if d]).pvalue)))
                line += [f"{better}, {worse}", _p(float(binomtest(better, better + worse).pvalue))]
        cells.append(line)
    return markdown_table(titles, cells)


def _means_of_seeds(rows: Sequence[Row], metric: str) -> List[float]:
    """The mean over the data sets, for each seed that all of them have; if there is none, of the means over seeds."""
    by_row = [row.of_seeds(metric, shared_seeds(rows)) for row in rows]
    return [mean(scores) for scores in zip(*by_row)] or [mean(mean(row.scores[metric]) for row in rows)]


def _by_set(rows: Sequence[Row]) -> str:
    """The first metric by data set and system."""
    metric, systems = next(iter(rows[0].scores)), list(dict.fromkeys(row.system for row in rows))
    cells = []
    for name in dict.fromkeys(row.set for row in rows):
        of_set = {row.system: row for row in rows if row.set == name}
        scores = [_spread(of_set[system].scores[metric], None, 2) if system in of_set else "" for system in systems]
        cells.append([name, *scores])
    return markdown_table([metric, *systems], cells)


def _spread(scores: Sequence[float], interval: Any, digits: int) -> str:
    around = deviation(scores) if len(scores) > 1 else interval
    return f"{mean(scores):.{digits}f}" + (f" ± {around:.{digits}f}" if around is not None else "")


def _p(value: Any) -> str:
    if value is None or math.isnan(value):
        return ""
    return f"{value:.3f}" if value >= 0.0005 else "<0.001"
