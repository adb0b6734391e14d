"""Pictures of scores: against the compactness of the groups, and against the number of groups."""

from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence

from matplotlib.ticker import MaxNLocator

from fairseq_ghat.report.head_pictures import feature_of
from fairseq_ghat.report.pictures import COLUMN, PAGE, Picture, line_style, new_figure, style
from fairseq_ghat.report.run import Run


@dataclass
class Compactness:
    """How compact the groups of heads of a run are, as means over layers.

    Attributes:
        run: its name.
        checkpoint: that was analysed.
        feature: feature map that the heads are grouped by.
        groups: their number C.
        figures: silhouette, Dunn index (dunn), homogeneity and diversity by name, None where there is none.
    """

    run: str
    checkpoint: str
    feature: str
    groups: int
    figures: Dict[str, Optional[float]]


def compactness_of(run: Run) -> Optional[Compactness]:
    """Of the last analysis that has a silhouette for the C of the run, else for the smallest C; None without any."""
    for analysis in reversed(run.measured.analyses):
        feature = feature_of(run, analysis)
        by_c = analysis.means.get(feature, {})
        known = sorted(c for c, figures in by_c.items() if figures.get("silhouette") is not None)
        if known:
            c = run.groups if run.groups in known else known[0]
            return Compactness(run.name, analysis.checkpoint, feature, c, by_c[c])
    return None


def common_metric(runs: Sequence[Run]) -> Optional[str]:
    """The metric that most runs have a score in, the first one among equals; None without scores."""
    metrics = [metric for run in runs for metric in run.score]
    return max(dict.fromkeys(metrics), key=metrics.count, default=None)


def score_by_compactness(runs: Sequence[Run]) -> Optional[Picture]:
    """Score against silhouette coefficient and Dunn index, as Figure 2 of the paper; None of fewer than two runs."""
    metric, figures = common_metric(runs), {run.name: compactness_of(run) for run in runs}
    drawn = [run for run in runs if figures[run.name] and metric in run.score]
    if len(drawn) < 2:
        return None
    panels = (("silhouette", "silhouette coefficient"), ("dunn", "Dunn index"))
    with style():
        figure = new_figure(PAGE, 2.6)
        axes = figure.subplots(1, 2, sharey=True)
        for axis, (name, text) in zip(axes, panels):
            for run in drawn:
                of_run = figures[run.name]
                if of_run.figures[name] is not None:
                    look = {**line_style(runs.index(run)), "linestyle": ""}
                    label = f"{run.name}, C = {of_run.groups}"
                    axis.plot(of_run.figures[name], run.score[metric].value, label=label, **look)
            axis.set_xlabel(text)
            axis.grid(alpha=0.3, linewidth=0.5)
        axes[0].set_ylabel(metric)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    features = " and ".join(dict.fromkeys(figures[run.name].feature for run in drawn))
    caption = f"{metric} against silhouette coefficient and Dunn index of the groups of heads by {features} features, "
    caption += "means over layers."
    told = "; ".join(_point(run, figures[run.name], metric) for run in drawn)
    return Picture("compactness", caption, f"Points, one for each run. {told}.", figure)


def _point(run: Run, compactness: Compactness, metric: str) -> str:
    silhouette, dunn = compactness.figures["silhouette"], compactness.figures["dunn"]
    dunn_told = "none" if dunn is None else f"{dunn:.3f}"
    return f"{run.name}: {metric} {run.score[metric].value:.2f}, silhouette {silhouette:.3f}, Dunn index {dunn_told}"


def score_by_groups(runs: Sequence[Run]) -> Optional[Picture]:
    """Score against the number of groups C, as Figure 3 of the paper; None unless runs differ in C."""
    metric = common_metric(runs)
    grouped = [run for run in runs if run.groups and metric in run.score]
    if len({run.groups for run in grouped}) < 2:
        return None
    lines = lines_by_kind(grouped, metric)
    with style():
        figure = new_figure(COLUMN, 2.6)
        axis = figure.subplots()
        for number, (kind, points) in enumerate(lines.items()):
            axis.plot(*zip(*points), label=kind, **line_style(number))
        without = [run for run in runs if not run.groups and run.model and metric in run.score]
        for run in without:
            axis.axhline(run.score[metric].value, color="black", linestyle=":", linewidth=1, label=run.name)
        axis.set_xscale("log", base=2)
        ticks = sorted({run.groups for run in grouped})
        axis.set_xticks(ticks, ticks)
        axis.set_xlabel("number of groups C")
        axis.set_ylabel(metric)
        axis.grid(alpha=0.3, linewidth=0.5)
        axis.yaxis.set_major_locator(MaxNLocator(5))
        figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    told = [f"{kind}: {', '.join(f'C = {c} {value:.2f}' for c, value in points)}" for kind, points in lines.items()] + [
        f"{run.name}: {run.score[metric].value:.2f}" for run in without
    ]
    dotted = " Dotted: runs without groups." if without else ""
    return Picture(
        "groups",
        f"{metric} against the number of groups C.{dotted}",
        f"Lines of {metric} over the number of groups. {'; '.join(told)}.",
        figure,
    )


def lines_by_kind(runs: Sequence[Run], metric: str) -> Dict[str, List]:
    """(C, score) of the runs of each kind of model, in the order of C.

    Args:
        runs: with groups and a score.
        metric: of the score.
    """
    lines: Dict[str, List] = {}
    for run in sorted(runs, key=lambda run: run.groups):
        lines.setdefault(run.model.kind, []).append((run.groups, run.score[metric].value))
    return lines
