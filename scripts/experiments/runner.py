"""Runs commands: shown as one would type them, checked before any work, and not run again where they are finished."""

import importlib
import importlib.util
import io
import json
import os
import re
import shlex
import subprocess
import sys
from argparse import ArgumentTypeError, Namespace
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

# Suffix of the file that says that a command is finished, beside what it made.
DONE = ".done.json"
# Before a command of fairseq whose INFO lines are wanted.
WITH_LOG = ["python", "scripts/with_log.py"]
_ENVIRONMENT = {
    # Training on the CPU allocates large tensors over and over: glibc keeps freed memory instead of returning it.
    "MALLOC_MMAP_THRESHOLD_": "2000000000",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
    "PYTHONWARNINGS": "ignore",  # of fairseq's configuration library, a page of them for each command
}
# Of a training's log, the lines worth showing while it runs.
_TOLD = re.compile(r"\| valid \||vote: .*keeps|vote: begins|vote: done")
_WIDTH, _TAIL = 110, 15  # characters of a line that is shown; lines of a failed command's output
# Our programs whose parsers check commands, beside those of fairseq.
_CHECKED = tuple(f"ghat-{name}" for name in ("analyze", "bench", "perplexity", "report", "score", "stats", "vote"))


class BadInput(ValueError):
    """Something that cannot be run; the message names the flag or file, its value and what is allowed."""


class CommandFailed(RuntimeError):
    """A command that ended with an error; the message holds its command line and the end of its output."""


@dataclass
class Command:
    """One command line, and what is done with what it makes.

    Attributes:
        stage: what it is for.
        program: what is run, with its positional arguments.
        options: what they are about -> arguments, or options by name; in the order they are shown.
        output: file that its standard output goes to, whole or not at all.
        log: file that its output is appended to, while the lines worth it are shown.
        results: files that are there afterwards; a record beside the first says that it is finished. Without results
            it is run each time: training goes on from its last checkpoint by itself.
        finish: checks or scores what it made; raises ValueError.
    """

    stage: str
    program: List[str]
    options: Mapping[str, Union[Sequence[str], Mapping[str, Any]]] = field(default_factory=dict)
    output: Optional[Path] = None
    log: Optional[Path] = None
    results: Sequence[Path] = ()
    finish: Callable[[], None] = lambda: None

    @property
    def argv(self) -> List[str]:
        return [*self.program, *(argument for given in self.options.values() for argument in arguments_of(given))]

    @property
    def record(self) -> Path:
        """Command line and seconds of the finished command."""
        return self.results[0].with_name(self.results[0].name + DONE)

    @property
    def finished(self) -> bool:
        return bool(self.results) and all(path.is_file() for path in (self.record, *self.results))

    def shown(self) -> str:
        """The command for a shell; a comment says what its lines of options are about."""
        lines = [shlex.join(self.program)]
        for given in self.options.values():
            lines += _wrapped(arguments_of(given))
        if self.output:
            lines[-1] += f" > {shlex.quote(str(self.output))}"
        if self.log:
            lines[-1] += f" >> {shlex.quote(str(self.log))}"
        labels = " / ".join(label for label, given in self.options.items() if label and given)
        folder = f"mkdir -p {shlex.quote(str(self.log.parent))}\n" if self.log else ""
        return f"# {self.stage}{': ' + labels if labels else ''}\n{folder}" + " \\\n    ".join(lines)

    def run(self) -> None:
        """Runs it and, if it has results, keeps a record.

        Raises:
            CommandFailed: if it ends with an error, lacks a result, or its results do not pass their check.
        """
        print(f"\n{self.shown()}", flush=True)
        begun = monotonic()
        if self._written:
            self._written.parent.mkdir(parents=True, exist_ok=True)
        try:
            status = self.execute()
            if status:
                where = f"; its output is in {self._written}" if self._written else ""
                raise ValueError(f"{self.stage}: {self.program[0]} ended with status {status}{where}")
            self.finish()
            missing = [str(path) for path in self.results if not path.is_file()]
            if missing:  # such as the last checkpoint under --save-interval 5
                raise ValueError(f"{self.stage}: did not make {', '.join(missing)}")
        except ValueError as error:
            written = next((path for path in (self._written, self.output) if path and path.is_file()), None)
            lines = written.read_text(encoding="utf-8", errors="replace").splitlines() if written else []
            raise CommandFailed("\n".join([str(error), self.shown(), *lines[-_TAIL:]])) from error
        if self.results:
            write_json(self.record, {"command": self.argv, "seconds": round(monotonic() - begun, 1)})

    def execute(self) -> int:
        """Starts the program, writes its output and returns its status."""
        beside = Path(sys.executable).with_name(self.program[0])  # of this very environment, where it has it
        program = sys.executable if self.program[0] == "python" else str(beside if beside.exists() else self.program[0])
        start = partial(subprocess.Popen, [program, *self.argv[1:]], env={**_ENVIRONMENT, **os.environ})
        if self._written is None:
            return start().wait()
        with open(self._written, "w" if self.output else "a", encoding="utf-8", buffering=1) as file:
            errors = None if self.output else subprocess.STDOUT
            process = start(stdout=subprocess.PIPE, stderr=errors, text=True, encoding="utf-8")
            for line in process.stdout:
                file.write(line)
                if self.log and _TOLD.search(line):
                    print("  " + line.split(" | ", 2)[-1].rstrip(), flush=True)
        status = process.wait()
        if self.output and not status:
            os.replace(self._written, self.output)
        return status

    @property
    def _written(self) -> Optional[Path]:
        """The file that the program writes into while it runs."""
        return self.output.with_name(f"{self.output.name}.part") if self.output else self.log


def run_all(commands: Sequence[Command], dry_run: bool) -> int:
    """Runs the commands that are not finished, one after the other until one fails; says how far the work is.

    Args:
        commands: in their order.
        dry_run: only show them.

    Returns:
        Status for the shell: 1 if one failed.
    """
    if dry_run:
        print("\n\n".join(command.shown() for command in commands))
        return 0
    for number, command in enumerate(commands, start=1):
        place = f"\nstep {number} of {len(commands)}"
        if command.finished:
            print(f"{place}: {command.stage}: there already", flush=True)
            continue
        print(place, flush=True)
        try:
            command.run()
        except CommandFailed as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except OSError as error:
            place = command.output or command.log or Path.cwd()
            print(f"error: {command.stage}: {refused_by_system(error, place)}", file=sys.stderr)
            return 1
    return 0


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
    """Lets the parsers of the programs read their commands. Raises BadInput as parsed does."""
    # Commands of the same options differ in files and numbers only.
    lines = [command.argv for command in commands]
    for argv in {(argv[0], *(word for word in argv if word.startswith("--"))): argv for argv in lines}.values():
        parsed(argv)


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


def write_json(path: Path, content: Any) -> None:
    """Writes JSON whole or not at all."""
    beside = path.with_name(f"{path.name}.part")
    try:
        beside.write_text(json.dumps(content, indent=1), encoding="utf-8")
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def folder_name(text: str) -> Path:
    """The folder that an argument names; '' would be the current one."""
    if not text:
        raise ArgumentTypeError("'' is not allowed: give the name of a folder")
    return Path(text)


def refused_by_system(error: OSError, place: Path) -> str:
    """What to tell of an error of the system, and what to do; place is where it happened if the error names none."""
    return f"{error.filename or place}: {error.strerror or error}; make room or allow access there, or go elsewhere"


def own_and_further(argv: Optional[Sequence[str]]) -> Tuple[List[str], List[str]]:
    """The arguments of a program (None: those of this process) before and after --."""
    words = list(sys.argv[1:] if argv is None else argv)
    place = words.index("--") if "--" in words else len(words)
    return words[:place], words[place + 1 :]


def arguments_of(options: Union[Sequence[str], Mapping[str, Any]]) -> List[str]:
    """Options as arguments: True is a flag without a value, a mapping is JSON; False is left out."""
    if not isinstance(options, Mapping):
        return list(options)
    arguments: List[str] = []
    for name, value in options.items():
        if value is False:
            continue
        arguments.append(f"--{name}")
        if value is not True:
            arguments.append(json.dumps(value) if isinstance(value, dict) else str(value))
    return arguments


def _with_values(arguments: Sequence[str]) -> List[str]:
    """Arguments quoted for a shell, each option in one text with its values."""
    units: List[str] = []
    for argument in arguments:
        if units and not argument.startswith("--"):
            units[-1] += f" {shlex.quote(argument)}"
        else:
            units.append(shlex.quote(argument))
    return units


def _wrapped(arguments: Sequence[str]) -> List[str]:
    """Arguments in lines, an option and its value never apart."""
    lines: List[str] = []
    for unit in _with_values(arguments):
        if lines and len(lines[-1]) + len(unit) < _WIDTH:
            lines[-1] += f" {unit}"
        else:
            lines.append(unit)
    return lines


def _difference(before: Any, now: Any) -> str:
    """'1 there, 2 now'; of arguments only the options that differ."""
    if isinstance(before, list) and isinstance(now, list):
        there, here = _with_values(before), _with_values(now)
        before = " ".join(unit for unit in there if unit not in here)
        now = " ".join(unit for unit in here if unit not in there)
        if not before and not now:
            return "another order"
    return f"{'nothing' if before == '' else before} there, {'nothing' if now == '' else now} now"
