"""What a program is given, checked before any work: packages, options of commands, and earlier work in a folder."""

import importlib
import importlib.util
import io
import json
import sys
from argparse import Namespace
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from experiments.commands import WITH_LOG, Command, with_values
from experiments.files import refused_by_system, write_json

# Our programs whose parsers check commands, beside those of fairseq.
_CHECKED = tuple(f"ghat-{name}" for name in ("analyze", "bench", "perplexity", "report", "score", "stats", "vote"))


class BadInput(ValueError):
    """Something that cannot be run; the message names the flag or file, its value and what is allowed."""


def check_tools(packages: Dict[str, str]) -> None:
    """Checks what commands need to start at all.

    Args:
        packages: module -> name of the package that has it.

    Raises:
        BadInput: in another folder than the root of the repository, or if a package is not installed.
    """
    if not Path("scripts/prepare_data.py").is_file() or not Path("fairseq_ghat").is_dir():
        raise BadInput(f"{Path.cwd()}: is not the root of the repository; start it there")
    check_packages(packages)


def check_packages(packages: Dict[str, str]) -> None:
    """Raises BadInput if a package is not installed. packages: module -> name of the package that has it."""
    missing = [package for module, package in packages.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise BadInput(f"{', '.join(missing)}: not installed; pip install {' '.join(missing)}")


def check_commands(commands: Sequence[Command]) -> None:
    """Lets the parsers of the programs read their commands, and our tasks their plan of the vote.

    Raises:
        BadInput: with the program and what it says.
    """
    lines = [command.argv for command in commands]
    for argv in {_without_files_and_seed(argv): argv for argv in lines}.values():
        args = parsed(argv)
        if hasattr(args, "vote_epoch"):
            from fairseq_ghat.training.schedule import check_schedule

            try:
                check_schedule(args)
            except ValueError as error:
                raise BadInput(f"options of {argv[0]}: {error}") from error


def _without_files_and_seed(argv: Sequence[str]) -> Tuple[str, ...]:
    """What a parser looks at: of commands that differ in nothing else, one is enough."""
    return tuple(word for before, word in zip(("", *argv), argv) if "/" not in word and before != "--seed")


def parsed(argv: Sequence[str]) -> Optional[Namespace]:
    """Options of a command line as its program's own parser reads them; None for a program that is not checked.

    Raises:
        BadInput: with the program and what its parser says.
    """
    from fairseq import options  # a dry run, which does not check, starts sooner without it

    import fairseq_ghat  # noqa: F401  Its models, criteria and tasks

    fairseqs = {"fairseq-train": options.get_training_parser, "fairseq-generate": options.get_generation_parser}
    program, *words = argv[2:] if list(argv[:2]) == WITH_LOG else argv
    if program not in (*fairseqs, *_CHECKED):
        return None
    place = words.index("--user-dir") if "--user-dir" in words else len(words)  # imported already
    words = words[:place] + words[place + 2 :]
    errors = io.StringIO()
    try:
        with redirect_stderr(errors), redirect_stdout(io.StringIO()):
            if program in fairseqs:
                return options.parse_args_and_arch(fairseqs[program](), words)
            return importlib.import_module(f"fairseq_ghat.cli.{program[5:]}").build_parser().parse_args(words)
    except (SystemExit, Exception) as error:
        told = (errors.getvalue().strip().splitlines() or [f"{type(error).__name__}: {error}"])[-1]
        raise BadInput(f"options of {program}: {told.split('error: ')[-1]}") from error


def check_least(args: Namespace, **least: int) -> None:
    """Checks numbers of the command line. Raises BadInput for the first that is less than allowed."""
    for name, allowed in least.items():
        given = getattr(args, name)
        for value in given if isinstance(given, list) else [given]:
            if value is not None and value < allowed:
                raise BadInput(f"--{name.replace('_', '-')} {value}: allowed is {allowed} or more")


def claim(record: Path, settings: Dict[str, Any], begun: bool, folder: str) -> None:
    """Checks the settings that a folder was made with, or writes there what it will be made with.

    Args:
        record: file that keeps the settings.
        settings: by what a message calls them; plain data.
        begun: whether anything was made in the folder; otherwise an earlier record is no obstacle.
        folder: how a message calls it.

    Raises:
        BadInput: if the folder cannot be written to, or the record not be read; names each setting that differs, as it
            is there and as it is now.
    """
    try:
        if not (begun and record.is_file()):
            record.parent.mkdir(parents=True, exist_ok=True)
            return write_json(record, settings)
        before = json.loads(record.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{folder}: {refused_by_system(error, record)}") from error
    except ValueError as error:
        raise BadInput(f"{folder}: {record} is damaged ({error}); give another folder, or delete it") from error
    names = [name for name in dict.fromkeys((*before, *settings)) if before.get(name) != settings.get(name)]
    if names:
        told = "; ".join(f"{name}: {_difference(before.get(name), settings.get(name))}" for name in names)
        raise BadInput(f"{folder}: was made with other settings ({told}); give another folder, or delete it")


def own_and_further(argv: Optional[Sequence[str]]) -> Tuple[List[str], List[str]]:
    """The arguments of a program (None: those of this process) before and after --."""
    words = list(sys.argv[1:] if argv is None else argv)
    place = words.index("--") if "--" in words else len(words)
    return words[:place], words[place + 1 :]


def check_further(flag: str, words: Sequence[str], own: Sequence[str]) -> None:
    """Checks arguments for another program. Raises BadInput for an option that this one sets itself.

    Args:
        flag: what they are given after.
        words: the arguments.
        own: options that are set already.
    """
    for word in words:
        if word.split("=")[0] in own:
            raise BadInput(f"{flag} {word}: is set by this program itself; leave it out")


def _difference(before: Any, now: Any) -> str:
    """'1 there, 2 now'; of arguments only the options that differ."""
    if isinstance(before, list) and isinstance(now, list):
        there, here = with_values(before), with_values(now)
        before = " ".join(unit for unit in there if unit not in here)
        now = " ".join(unit for unit in here if unit not in there)
        if not before and not now:
            return "another order"
    return f"{'nothing' if before == '' else before} there, {'nothing' if now == '' else now} now"
