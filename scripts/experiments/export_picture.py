"""The picture of quality against speed that benchmark_export.py draws of its table."""

from pathlib import Path
from textwrap import fill
from typing import Any, Dict, List, Sequence

from experiments.checks import BadInput, check_packages
from experiments.pictures import KINDS, pyplot_without_screen
from fairseq_ghat.checkpoints.whole_file import check_file

# Of a name above its point, or below, in points.
_HEIGHTS = (5, -13, 16, -24, 27, -35, 38, -46)
_MARKERS, _LINES = "os^D", ("-", "--", ":", "-.")


def check_picture(path: Path) -> None:
    """Checks what a picture needs.

    Args:
        path: file to write.

    Raises:
        BadInput: if its name ends in another suffix than .png or .svg, or if matplotlib is not installed.
        NotWritten: if it cannot be written.
    """
    if path.suffix not in KINDS:
        raise BadInput(f"--picture {path}: allowed is a name that ends in {' or '.join(KINDS)}")
    check_packages({"matplotlib": "matplotlib"})
    check_file(path)


def draw(measured: Dict[str, Any]):
    """BLEU against sentences/s: a marker and a line for each engine, a colour and a name beside it for each model.

    Args:
        measured: what measure of exports.py returned.

    Returns:
        A figure of matplotlib.
    """
    figure, panel = pyplot_without_screen().subplots(figsize=(7, 5), layout="constrained")
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
    panel.set_xlabel(f"sentences/s, median; bars: {measured['interval']}")
    panel.set_ylabel("BLEU")
    panel.set_title(fill(f"{measured['setting']}; {measured['machine']}", 100), fontsize="x-small")
    figure.legend(loc="outside lower center", ncols=3, fontsize="small")
    panel.margins(x=0.15, y=0.15)  # room for the names
    figure.draw_without_rendering()  # now it is known where the points lie
    _name(panel, rows, colours)
    return figure


def _name(panel, rows: Sequence[Dict[str, Any]], colours: Dict[str, str]) -> None:
    """Writes the names of models beside their points, each at the first height where it covers no point or name."""
    from matplotlib.transforms import Bbox

    points = [(row["sentences_per_second"].median, row["bleu"]) for row in rows]
    taken: List[Any] = [Bbox.from_extents(*(place - 4), *(place + 4)) for place in panel.transData.transform(points)]
    for row, point in zip(rows, points):
        style = {"textcoords": "offset points", "fontsize": "small", "color": colours[row["model"]]}
        for height in _HEIGHTS:
            name = panel.annotate(row["model"], point, xytext=(4, height), **style)
            box = name.get_window_extent()
            if not any(box.overlaps(other) for other in taken):
                break
            if height != _HEIGHTS[-1]:
                name.remove()
        taken.append(box)


def _in_order(measured: Dict[str, Any], column: str):
    return dict.fromkeys(row[column] for row in measured["rows"])
