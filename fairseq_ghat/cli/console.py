"""Options, checks of options, progress and tables that several commands share."""

import json
import logging
import math
import os
import platform
import sys
import warnings
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Mapping, Optional, Sequence, TextIO

import fairseq
import torch

from fairseq_ghat.checkpoints.files import write_checkpoint
from fairseq_ghat.checkpoints.whole_file import AnyPath, NotWritten, check_file, check_place, whole_file

# What a command says of a checkpoint that as_stock_checkpoint made.
IS_STOCK = "; it is a checkpoint of fairseq's own model, which loads without this package"


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


def check_out(parser: ArgumentParser, out: str, inputs: Mapping[str, Iterable[AnyPath]], flag: str = "OUT") -> None:
    """Ends the command with an error unless a file can be written at OUT, and is none of the inputs.

    Args:
        parser: of the command.
        out: a new file, one to replace, or a link to one.
        inputs: files that are read, by the argument that names them.
        flag: how the command calls OUT.
    """
    try:
        check_file(out)
    except NotWritten as error:
        parser.error(f"{flag} {error}")
    for role, files in inputs.items():
        for file in files:
            if os.path.exists(out) and os.path.exists(file) and os.path.samefile(out, file):
                parser.error(f"{flag} {out}: is {role} itself ({file}), which would be lost; give another name")


def check_out_folder(parser: ArgumentParser, out: str) -> None:
    """Ends the command with an error unless a new folder can be made at OUT."""
    if not out:
        parser.error("OUT '': names no folder; give a new one")
    if os.path.lexists(out):
        parser.error(f"OUT {out}: exists already; give another folder, or delete it")
    try:
        check_place(Path(out).resolve(), out)
    except NotWritten as error:
        parser.error(f"OUT {error}")


def write_out(parser: ArgumentParser, state: Dict[str, Any], out: str, flag: str = "OUT") -> None:
    """Writes a checkpoint; ends the command with an error if that fails, as on a full disk."""
    try:
        write_checkpoint(state, out)
    except NotWritten as error:
        parser.error(f"{flag} {error}")


def write_json(parser: ArgumentParser, content: Mapping[str, Any], out: str, flag: str = "OUT") -> None:
    """Writes a JSON file; ends the command with an error if that fails, as on a full disk."""
    try:
        with whole_file(out) as file:
            file.write((json.dumps(content, indent=1) + "\n").encode())
    except NotWritten as error:
        parser.error(f"{flag} {error}")


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
