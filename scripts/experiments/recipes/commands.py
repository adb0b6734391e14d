"""A command of a recipe: shown as one would type it, or run with its log kept."""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

_ENVIRONMENT = {
    # Training on the CPU allocates large tensors over and over: glibc keeps freed memory instead of returning it.
    "MALLOC_MMAP_THRESHOLD_": "2000000000",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
    "PYTHONWARNINGS": "ignore",  # of fairseq's configuration library, a page of them for each command
}
# Of a training's log, what one wants to see go by.
_TOLD = re.compile(r"\| valid \||vote: .*keeps|vote: begins|vote: done")
_WIDTH = 110


class CommandFailed(RuntimeError):
    """A command that ended with an error; the message names its log."""


@dataclass
class Command:
    """One command line.

    Attributes:
        stage: what it is for.
        program: what is run, with its positional arguments.
        options: (label, arguments), in the order they are shown.
        output: file that its standard output goes to, whole or not at all.
        log: file that its output is appended to, while the lines that tell most are shown.
    """

    stage: str
    program: List[str]
    options: List[Tuple[str, List[str]]] = field(default_factory=list)
    output: Optional[Path] = None
    log: Optional[Path] = None

    @property
    def argv(self) -> List[str]:
        return [*self.program, *(argument for _, arguments in self.options for argument in arguments)]

    def shown(self) -> str:
        """For a shell; a comment says what the lines of options are about."""
        lines = [shlex.join(self.program)]
        for _, arguments in self.options:
            lines += _wrapped(arguments)
        if self.output:
            lines[-1] += f" > {shlex.quote(str(self.output))}"
        if self.log:
            lines[-1] += f" >> {shlex.quote(str(self.log))}"
        labels = " / ".join(dict.fromkeys(label for label, arguments in self.options if label and arguments))
        folder = f"mkdir -p {shlex.quote(str(self.log.parent))}\n" if self.log else ""
        return f"# {self.stage}{': ' + labels if labels else ''}\n{folder}" + " \\\n    ".join(lines)

    def run(self) -> None:
        """Runs it. Raises CommandFailed if it ends with an error."""
        print(f"\n{self.shown()}", flush=True)
        kept = self.output or self.log
        if kept is None:
            self._check(subprocess.run(self._found(), env=_environment()).returncode, "")
            return
        kept.parent.mkdir(parents=True, exist_ok=True)
        beside = kept.with_name(f"{kept.name}.part") if self.output else kept
        with open(beside, "w" if self.output else "a", encoding="utf-8", buffering=1) as file:
            process = subprocess.Popen(
                self._found(),
                env=_environment(),
                stdout=subprocess.PIPE,
                stderr=None if self.output else subprocess.STDOUT,
                text=True,
                encoding="utf-8",
            )
            for line in process.stdout:
                file.write(line)
                if self.log and _TOLD.search(line):
                    print("  " + line.split(" | ", 2)[-1].rstrip(), flush=True)
        self._check(process.wait(), f"; its output is in {beside}")
        if self.output:
            os.replace(beside, kept)

    def _found(self) -> List[str]:
        """The command line, with commands of this very environment."""
        program = self.argv[0]
        if program == "python":
            return [sys.executable, *self.argv[1:]]
        installed = Path(sys.executable).with_name(program)
        return [str(installed) if installed.exists() else program, *self.argv[1:]]

    def _check(self, status: int, where: str) -> None:
        if status:
            raise CommandFailed(f"{self.stage}: {self.program[0]} ended with status {status}{where}")


def option_arguments(options: Dict[str, Any]) -> List[str]:
    """Options as arguments: true is a flag without a value, a mapping is JSON; false is left out."""
    found: List[str] = []
    for name, value in options.items():
        if value is False:
            continue
        found.append(f"--{name}")
        if value is not True:
            found.append(json.dumps(value) if isinstance(value, dict) else str(value))
    return found


def _environment() -> Dict[str, str]:
    return {**_ENVIRONMENT, **os.environ}


def _wrapped(arguments: List[str]) -> List[str]:
    """Arguments in lines, an option and its value never apart."""
    units: List[str] = []
    for argument in arguments:
        quoted = shlex.quote(argument)
        if units and not argument.startswith("--"):
            units[-1] += f" {quoted}"
        else:
            units.append(quoted)
    lines: List[str] = []
    for unit in units:
        if lines and len(lines[-1]) + len(unit) < _WIDTH:
            lines[-1] += f" {unit}"
        else:
            lines.append(unit)
    return lines
