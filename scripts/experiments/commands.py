"""Commands: shown as one would type them, run, and known to be finished."""

import json
import os
import re
import shlex
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Callable, Iterator, List, Mapping, Optional, Sequence, Set, Union

from experiments.files import write_json

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


class CommandFailed(RuntimeError):
    """A command that ended with an error; the message holds its command line and the end of its output."""


class Processes:
    """What was started and runs, so that all of it can be ended.

    Args:
        jobs: how many run at a time; on a CPU they share its cores, unless OMP_NUM_THREADS says otherwise.

    Attributes:
        side_by_side: whether several run at a time.
        ended: whether it was ended; nothing is started any more.
    """

    def __init__(self, jobs: int = 1):
        self.side_by_side, self.ended = jobs > 1, False
        self._running: Set[subprocess.Popen] = set()
        shared = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // jobs))} if jobs > 1 else {}
        self._environment = {**_ENVIRONMENT, **shared, **os.environ}

    @contextmanager
    def start(self, argv: Sequence[str], **options: Any) -> Iterator[subprocess.Popen]:
        """A process, which has ended when the block has; options are those of subprocess.Popen."""
        with subprocess.Popen(argv, env=self._environment, **options) as process:
            self._running.add(process)
            try:
                if self.ended:
                    process.terminate()
                yield process
            except BaseException:  # nobody reads its output any more: it would wait for ever
                process.terminate()
                raise
            finally:
                process.wait()
                self._running.discard(process)

    def end(self) -> None:
        """Tells all to end."""
        self.ended = True
        for process in list(self._running):
            process.terminate()


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
            it is run each time.
        finish: checks or scores what it made; raises ValueError.
        chain: name of the commands that it is one of, which run in their order while other chains run beside them.
    """

    stage: str
    program: List[str]
    options: Mapping[str, Union[Sequence[str], Mapping[str, Any]]] = field(default_factory=dict)
    output: Optional[Path] = None
    log: Optional[Path] = None
    results: Sequence[Path] = ()
    finish: Callable[[], None] = lambda: None
    chain: Optional[str] = None

    @property
    def argv(self) -> List[str]:
        return [*self.program, *(argument for given in self.options.values() for argument in arguments_of(given))]

    @property
    def record(self) -> Path:
        """Command line and seconds of the finished command."""
        return self.results[0].with_name(self.results[0].name + DONE)

    @property
    def finished(self) -> bool:
        """Whether this very command made its results, of checkpoints that are as they were then."""
        if not self.results or not all(path.is_file() for path in (self.record, *self.results)):
            return False
        inputs = {Path(word) for word in self.argv if word.endswith(".pt")}
        inputs |= {Path(word, "checkpoint_last.pt") for word in self.argv if os.path.isdir(word)}  # of a training
        made = self.record.stat().st_mtime_ns
        if any(path.is_file() and path.stat().st_mtime_ns > made for path in inputs.difference(self.results)):
            return False
        try:
            return json.loads(self.record.read_text(encoding="utf-8"))["command"] == self.argv
        except (ValueError, KeyError):
            return False

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

    def run(self, processes: Optional[Processes] = None) -> None:
        """Runs it and, if it has results, keeps a record.

        Args:
            processes: of which its own becomes one.

        Raises:
            CommandFailed: if it ends with an error, lacks a result, or its results do not pass their check.
        """
        print(f"\n{self.shown()}", flush=True)
        begun = monotonic()
        if self._written:
            self._written.parent.mkdir(parents=True, exist_ok=True)
        try:
            status = self.execute(processes or Processes())
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

    def execute(self, processes: Processes) -> int:
        """Starts the program, writes its output and returns its status."""
        beside = Path(sys.executable).with_name(self.program[0])  # of this very environment, where it has it
        program = sys.executable if self.program[0] == "python" else str(beside if beside.exists() else self.program[0])
        argv = [program, *self.argv[1:]]
        if self._written is None:
            with processes.start(argv) as process:
                return process.wait()
        name = f"{self.chain}: " if self.chain and processes.side_by_side else ""
        with open(self._written, "w" if self.output else "a", encoding="utf-8", buffering=1) as file:
            errors = None if self.output else subprocess.STDOUT
            with processes.start(argv, stdout=subprocess.PIPE, stderr=errors, text=True, encoding="utf-8") as process:
                for line in process.stdout:
                    file.write(line)
                    if self.log and _TOLD.search(line):
                        print(f"  {name}{line.split(' | ', 2)[-1].rstrip()}", flush=True)
        if self.output and not process.returncode:
            os.replace(self._written, self.output)
        return process.returncode

    @property
    def _written(self) -> Optional[Path]:
        """The file that the program writes into while it runs."""
        return self.output.with_name(f"{self.output.name}.part") if self.output else self.log


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


def with_values(arguments: Sequence[str]) -> List[str]:
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
    for unit in with_values(arguments):
        if lines and len(lines[-1]) + len(unit) < _WIDTH:
            lines[-1] += f" {unit}"
        else:
            lines.append(unit)
    return lines
