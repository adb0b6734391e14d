"""What the commands that run models have in common on the command line."""

import logging
import sys
import warnings
from argparse import ArgumentParser
from typing import Callable, List, Optional, Sequence, TextIO


def add_run_options(parser: ArgumentParser) -> None:
    """Adds --no-progress-bar and --cpu."""
    parser.add_argument("--no-progress-bar", action="store_true")
    parser.add_argument("--cpu", action="store_true", help="also where there is a GPU")


def quiet_libraries(level: int, stream: Optional[TextIO] = None) -> None:
    """Shows log lines of a level and above, without prefix; not what libraries say of things a user cannot change.

    Args:
        level: of logging.
        stream: where to (default: standard output).
    """
    logging.basicConfig(level=level, stream=stream or sys.stdout, format="%(message)s", force=True)
    logging.getLogger("fairseq.tasks").setLevel(logging.WARNING)
    warnings.simplefilter("ignore", UserWarning)  # of the configuration library that fairseq uses
    warnings.filterwarnings("ignore", category=RuntimeWarning, module="fairseq")  # numpy, of targets that are not used


def progress_line(silent: bool = False) -> Callable[[str], None]:
    """What to call with how far the work is: shown in one line of a terminal, and nowhere else."""
    if silent or not sys.stderr.isatty():
        return lambda text: None
    return lambda text: print(f"\r\033[K{text}", end="" if text else "\r", file=sys.stderr, flush=True)


def markdown_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in markdown whose columns also line up as plain text."""
    widths = [max(len(row[column]) for row in [titles, *rows]) for column in range(len(titles))]
    lines: List[str] = []
    for row in (titles, ["-" * width for width in widths], *rows):
        lines.append("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |")
    return "\n".join(lines)
