"""What a picture of the page is, and how it looks: the width of a column or of a page of a paper, text as text."""

import io
from dataclasses import dataclass
from typing import Any, Dict

import matplotlib
from matplotlib.figure import Figure

# Inches: a column of a paper of two columns, and both.
COLUMN, PAGE = 3.4, 7.0
# Okabe and Ito's, which colour-blind people can tell apart. Lines have markers and dashes of their own besides: as the
# numbers of colours and markers have no common divisor, pairs of them repeat late.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS, _DASHES = "osD^vXP*", ("-", "--", "-.", (0, (3, 1, 1, 1, 1, 1)))
_STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@dataclass
class Picture:
    """A picture and its texts.

    Attributes:
        name: of its file, without ending.
        caption: below it; a sentence or two.
        alternative: what it shows, for those who do not see it.
        figure: matplotlib's, drawn under `style`.
    """

    name: str
    caption: str
    alternative: str
    figure: Figure

    @property
    def is_wide(self) -> bool:
        return self.figure.get_figwidth() > COLUMN

    @property
    def pixels(self) -> Dict[str, int]:
        """Width and height at 96 pixels an inch."""
        width, height = self.figure.get_size_inches()
        return {"width": round(96 * width), "height": round(96 * height)}


def style():
    """A context in which all pictures are made and saved."""
    return matplotlib.rc_context(_STYLE)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure. It belongs to no window and to no global state of matplotlib."""
    return Figure(figsize=(width, height), layout="constrained")


def line_style(number: int) -> Dict[str, Any]:
    """How the lines and points of the run of a number look."""
    return {
        "color": _COLOURS[number % len(_COLOURS)],
        "marker": _MARKERS[number % len(_MARKERS)],
        "linestyle": _DASHES[number % len(_DASHES)],
        "markersize": 3.5,
        "linewidth": 1.2,
    }


def svg(picture: Picture) -> bytes:
    """The picture as a file of SVG, with its title."""
    file = io.BytesIO()
    with style():
        picture.figure.savefig(file, format="svg", metadata={"Title": picture.alternative, "Date": None})
    return file.getvalue()


def short_name(layer: str) -> str:
    """'encoder 0 self' of 'encoder.layers.0.self_attn'; 'cross' is attention to the encoder."""
    side, _, number, attention = layer.split(".")
    return f"{side} {number} {'cross' if attention == 'encoder_attn' else 'self'}"
