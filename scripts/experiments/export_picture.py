"""The picture of quality against speed that benchmark_export.py draws of its table."""

from pathlib import Path
from textwrap import fill
from typing import Any, Dict

from experiments.runner import BadInput, check_packages
from fairseq_ghat.checkpoints.whole_file import check_file, whole_file

_KINDS = (".png", ".svg")
_MARKERS, _LINES = "os^D", ("-", "--", ":", "-.")


def check_picture(path: Path) -> None:
    """Checks what a picture needs.

    Args:
        path: file to write.

    Raises:
        BadInput: if its name ends in another suffix than .png or .svg, or if matplotlib is not installed.
        NotWritten: if it cannot be written.
    """
    if path.suffix not in _KINDS:
        raise BadInput(f"--picture {path}: allowed is a name that ends in {' or '.join(_KINDS)}")
    check_packages({"matplotlib": "matplotlib"})
    check_file(path)


def draw(measured: Dict[str, Any]):
    """BLEU against sentences/s: a marker and a line for each engine, a colour and a name beside it for each model.

    Args:
        measured: what measure of exports.py returned.

    Returns:
        A figure of matplotlib.
    """
    import matplotlib  # only a picture needs it

    matplotlib.use("Agg")  # no screen is needed
    from matplotlib import pyplot

    figure, panel = pyplot.subplots(figsize=(7, 5), layout="constrained")
    rows = sorted(measured["rows"], key=lambda row: row["sentences_per_second"].median)
    colours = {name: f"C{number % 10}" for number, name in enumerate(_in_order(measured, "model"))}
    for number, engine in enumerate(_in_order(measured, "engine")):
        of_engine = [row for row in rows if row["engine"] == engine]
        style = {"marker": _MARKERS[number % len(_MARKERS)], "linestyle": _LINES[number % len(_LINES)]}
        speeds = [row["sentences_per_second"].median for row in of_engine]
        panel.plot(speeds, [row["bleu"] for row in of_engine], label=engine, color="grey", linewidth=0.8, **style)
        for row in of_engine:
            speed, colour = row["sentences_per_second"], colours[row["model"]]
            bars = [[speed.median - speed.low], [speed.high - speed.median]]
            point = (speed.median, row["bleu"])
            panel.errorbar(*point, xerr=bars, fmt=style["marker"], color=colour, capsize=3, elinewidth=1)
            panel.annotate(row["model"], point, xytext=(4, 5), textcoords="offset points", fontsize="small")
    panel.margins(x=0.1)  # room for the last name
    panel.set_xlabel(f"sentences/s, median; bars: {measured['interval']}")
    panel.set_ylabel("BLEU")
    panel.set_title(fill(f"{measured['setting']}; {measured['machine']}", 100), fontsize="x-small")
    figure.legend(loc="outside lower center", ncols=3, fontsize="small")
    return figure


def save(figure, path: Path) -> None:
    """Writes a figure, whole or not at all, and closes it."""
    from matplotlib import pyplot

    with whole_file(path) as file:
        figure.savefig(file, format=path.suffix[1:], dpi=150)
    pyplot.close(figure)


def _in_order(measured: Dict[str, Any], column: str):
    return dict.fromkeys(row[column] for row in measured["rows"])
