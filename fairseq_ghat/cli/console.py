"""Options, checks of options, progress and tables that several commands share."""

import logging
import math
import platform
import sys
import warnings
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Callable, Mapping, Optional, Sequence, TextIO

import fairseq
import torch


def add_run_options(parser: ArgumentParser) -> None:
    """Adds --no-progress-bar and --cpu."""
    parser.add_argument("--no-progress-bar", action="store_true")
    parser.add_argument("--cpu", action="store_true", help="also where there is a GPU")


def choose_device(args: Namespace) -> torch.device:
    """The GPU, unless there is none or --cpu was given."""
    return torch.device("cuda" if torch.cuda.is_available() and not args.cpu else "cpu")


def describe_machine(device: torch.device) -> str:
    """Device and versions, for a line above the figures."""
    on_gpu = device.type == "cuda"
    where = torch.cuda.get_device_name(device) if on_gpu else f"CPU, {torch.get_num_threads()} threads"
    return f"{where}, Python {platform.python_version()}, torch {torch.__version__}, fairseq {fairseq.__version__}"


def check_minimum(parser: ArgumentParser, args: Namespace, **minimum: float) -> None:
    """Ends the command with an error if an option is below its minimum, infinite or not a number; None passes."""
    for name, least in minimum.items():
        given = getattr(args, name)
        for value in given if isinstance(given, list) else [given]:
            if value is not None and not least <= value < math.inf:
                parser.error(f"--{name.replace('_', '-')} {value}: allowed is {least} or more")


def check_out(parser: ArgumentParser, source: Path, out: Path) -> None:
    """Ends the command with an error if OUT would overwrite CHECKPOINT (source), or if its folder does not exist."""
    if source.resolve() == out.resolve():
        parser.error(f"OUT {out}: is CHECKPOINT itself, which would be lost; give another name")
    if not out.resolve().parent.is_dir():
        parser.error(f"OUT {out}: the folder {out.resolve().parent} does not exist")


def quiet_libraries(level: int = logging.WARNING, stream: Optional[TextIO] = None) -> None:
    """Shows log lines of a level without prefix, and hides warnings of libraries that a user cannot change."""
    logging.basicConfig(level=level, stream=stream or sys.stderr, format="%(message)s", force=True)
    logging.getLogger("fairseq.tasks").setLevel(logging.WARNING)
    warnings.simplefilter("ignore", UserWarning)  # of the configuration library that fairseq uses
    warnings.filterwarnings("ignore", category=RuntimeWarning, module="fairseq")  # numpy, of targets that are not used


def progress_line(silent: bool = False) -> Callable[[str], None]:
    """A function that shows in one line of a terminal how far the work is; elsewhere, or if silent, it does nothing."""
    if silent or not sys.stderr.isatty():
        return lambda text: None
    return lambda text: print(f"\r\033[K{text}", end="" if text else "\r", file=sys.stderr, flush=True)


def markdown_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in markdown whose columns also line up as plain text; each row has a cell for each title."""
    widths = [max(map(len, column)) for column in zip(titles, *rows)]
    lines = [titles, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines)


def table_of_records(records: Sequence[Mapping[str, str]]) -> str:
    """The markdown_table of rows that map title -> cell, with the same titles in each."""
    return markdown_table(list(records[0]), [list(record.values()) for record in records])
