"""The scores of a comparison against the heads kept, as a picture."""

from pathlib import Path
from typing import List, Sequence, Tuple

import matplotlib

matplotlib.use("Agg")  # no screen is needed

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.comparison.plan import Comparison
from experiments.comparison.results import Results, Row, spread

_MARKERS = "osD^v<>PX*ph"


def draw(what: Comparison, results: Results) -> Figure:
    """One panel for each refit and moment (after the vote, after fine-tuning): a line for each method.

    Means over seeds, with standard deviations as bars where there are several; the dotted line is the checkpoint with
    all heads. Perplexities are on a logarithmic scale: those right after a vote can be a hundred times the others.
    """
    moments = [("voted", "after the vote")] + ([("tuned", "after fine-tuning")] if what.epochs else [])
    size = (5.5 * len(moments), 4.2 * len(what.refits) + 0.6)
    figure, panels = pyplot.subplots(len(what.refits), len(moments), figsize=size, squeeze=False, layout="constrained")
    titles = list(dict.fromkeys(row.title for row in sorted(results.rows, key=lambda row: _place(what, row))))
    for refit, of_refit in zip(what.refits, panels):
        for (moment, said), panel in zip(moments, of_refit):
            panel.set_title(said if len(what.refits) == 1 else f"{said}, refit {refit}")
            panel.set_xlabel("heads kept in each attention" + (", on average" if what.budget == "model" else ""))
            panel.set_ylabel(results.metric)
            panel.set_xticks(sorted(what.keeps))
            if not what.translates:
                panel.set_yscale("log")
            panel.axhline(results.all_heads[0][1], color="black", linestyle=":", label=results.all_heads[0][0])
            for number, title in enumerate(titles):
                rows = [row for row in results.rows if (row.title, row.refit) == (title, refit)]
                _line(panel, title, number, points(rows, moment))
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize="small")
    return figure


def points(rows: Sequence[Row], moment: str) -> List[Tuple[int, float, float]]:
    """(heads kept, mean, standard deviation; 0 of one seed) of one method, from few heads to many."""
    found = []
    for row in sorted(rows, key=lambda row: row.keep):
        figures = spread(getattr(row, moment))
        found.append((row.keep, figures["mean"], figures["standard_deviation"] or 0.0))
    return found


def save(figure: Figure, out: Path) -> None:
    """Writes heads.png and heads.svg into a folder, and closes the figure."""
    for kind in ("png", "svg"):
        beside = out / f"heads.part.{kind}"
        figure.savefig(beside, dpi=150)
        beside.replace(out / f"heads.{kind}")
    pyplot.close(figure)


def _line(panel: Axes, title: str, number: int, of_method: List[Tuple[int, float, float]]) -> None:
    keeps, means, deviations = zip(*of_method)
    style = {"color": f"C{number % 10}", "marker": _MARKERS[number % len(_MARKERS)], "markersize": 5, "linewidth": 1.2}
    if any(deviations):
        panel.errorbar(keeps, means, yerr=deviations, capsize=3, label=title, **style)
    else:
        panel.plot(keeps, means, label=title, **style)


def _place(what: Comparison, row: Row) -> Tuple[int, bool, str]:
    """Methods in the order they were given: the colours do not depend on the scores."""
    return ([*what.methods, *what.gct_methods].index(row.method), row.start != "plain", row.start)
