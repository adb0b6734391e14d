"""What pictures share: matplotlib without a screen, and files that are there whole or not at all."""

from pathlib import Path

from fairseq_ghat.checkpoints.whole_file import whole_file

KINDS = (".png", ".svg")


def pyplot_without_screen():
    """matplotlib.pyplot, which is read only where something is drawn."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def save(figure, *paths: Path) -> None:
    """Writes a figure into files, each whole or not at all, and closes it.

    Args:
        figure: of matplotlib.
        paths: with a suffix of KINDS.
    """
    for path in paths:
        with whole_file(path) as file:
            figure.savefig(file, format=path.suffix[1:], dpi=150)
    pyplot_without_screen().close(figure)
