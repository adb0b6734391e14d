"""Pictures of training: the loss over epochs, homogeneity and diversity, with the vote marked."""

from typing import Dict, List, Optional, Sequence, Tuple

from matplotlib.ticker import MaxNLocator

from fairseq_ghat.report.pictures import COLUMN, Picture, line_style, new_figure, style
from fairseq_ghat.report.run import Run
from fairseq_ghat.report.training_log import Curve

# Figures in the log, the first of which is drawn that a run has, and what stands beside the axis.
_LOSS = (("nll_loss", "loss"), "loss, bits per token")
_BLEU = (("bleu",), "BLEU of the validation")
_HOMOGENEITY = (("homogeneity",), "homogeneity")
_DIVERSITY = (("diversity",), "diversity")

Panel = Tuple[str, Dict[str, Curve]]  # text beside the axis, curve of each run by its name


def training_curves(runs: Sequence[Run]) -> Optional[Picture]:
    """Loss of the validation set, and BLEU where it was logged; None if no log has any."""
    caption = "Loss of the validation set at the end of each epoch"
    return _picture("training", caption, panels(runs, [_LOSS, _BLEU]), runs)


def constraint_curves(runs: Sequence[Run]) -> Optional[Picture]:
    """Homogeneity and diversity, as Figure 4 of the paper; None if no log has any."""
    caption = "Homogeneity within groups and diversity between groups"
    return _picture("constraint", caption, panels(runs, [_HOMOGENEITY, _DIVERSITY]), runs)


def panels(runs: Sequence[Run], wanted: Sequence[Tuple[Sequence[str], str]]) -> List[Panel]:
    """The curves of all runs, of those figures that any run has: of the validation set, else of the training set.

    Args:
        runs: with or without a log.
        wanted: names of figures in the log, of which the first counts, and the text beside the axis.
    """
    drawn = []
    for names, axis in wanted:
        curves = {}
        for run in runs:
            splits = [run.log.curve(split, name) for split in ("valid", "train") for name in names] if run.log else []
            known = [curve for curve in splits if curve[0]]
            if known:
                curves[run.name] = known[0]
        if curves:
            drawn.append((axis, curves))
    return drawn


def _picture(name: str, caption: str, drawn: Sequence[Panel], runs: Sequence[Run]) -> Optional[Picture]:
    if not drawn:
        return None
    votes = {run.name: run.log.first_voted_epoch for run in runs if run.log and run.log.first_voted_epoch}
    with style():
        figure = new_figure(COLUMN, 0.4 + 1.9 * len(drawn) + 0.18 * len(runs))
        axes = figure.subplots(len(drawn), 1, squeeze=False, sharex=True)[:, 0]
        handles = {}
        for axis, (text, curves) in zip(axes, drawn):
            for number, run in enumerate(runs):
                if run.name in curves:
                    (handles[run.name],) = axis.plot(*curves[run.name], **line_style(number))
            for epoch in sorted(set(votes.values())):  # between two epochs
                line = axis.axvline(epoch - 0.5, color="black", linestyle=":", linewidth=1)
                handles[f"vote before epoch {epoch}"] = line
            axis.set_ylabel(text)
            axis.grid(alpha=0.3, linewidth=0.5)
        axes[-1].set_xlabel("epoch")
        axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=2)
    marked = ". Dotted lines: the vote" if votes else ""
    told = "; ".join(f"{text}: {_ends(curves)}" for text, curves in drawn)
    told += "".join(f"; vote of {run} before epoch {epoch}" for run, epoch in votes.items())
    return Picture(name, f"{caption}{marked}.", f"Lines over epochs. {told}.", figure)


def _ends(curves: Dict[str, Curve]) -> str:
    """Where each curve begins and ends, in words."""
    ends = []
    for name, (epochs, values) in curves.items():
        ends.append(f"{name} {values[0]:.3g} in epoch {epochs[0]} to {values[-1]:.3g} in epoch {epochs[-1]}")
    return ", ".join(ends)
