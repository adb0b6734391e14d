"""Runs the processes of checks until a time is over, and keeps what they print."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from time import monotonic
from typing import Any, List, Optional, Sequence

REPOSITORY = Path(__file__).resolve().parents[3]


class CheckFailed(RuntimeError):
    """What a check that failed says in its row."""


def words(command: str, **values: Any) -> List[str]:
    """The words of a command; {name} in one of them stands for a value, which may hold blanks."""
    return [word.format(**values) for word in command.split()]


class Processes:
    """Starts programs of this environment in the root of the repository.

    Args:
        folder: keeps a log of each process.
        seconds: after which running processes are ended and none is started.
        parallel: number of processes at a time.
    """

    def __init__(self, folder: Path, seconds: float, parallel: int):
        self.folder, self._begun, self._seconds = folder, monotonic(), seconds
        self._turn = threading.BoundedSemaphore(parallel)
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def passed(self) -> float:
        """Seconds since the beginning."""
        return monotonic() - self._begun

    def run(self, name: str, command: Sequence[str], threads: Optional[int] = 1) -> str:
        """Runs a command to its end; returns what it printed.

        Args:
            name: of its log.
            command: its words; "python" is that of this environment.
            threads: of the CPU; None leaves them to torch.

        Raises:
            CheckFailed: if it fails or time is over; with the last line that it printed.
        """
        (printed,) = self.run_together(name, [command], threads)
        return printed

    def run_together(self, name: str, commands: Sequence[Sequence[str]], threads: Optional[int] = 1) -> List[str]:
        """The same of several commands at a time, which need each other: one that fails ends all."""
        with self._turn:
            started = [self._start(command, threads) for command in commands]
            clock = self._clock(*started)
            outputs = _read_all(started)
            clock.cancel()
        logs = [self.folder / f"{name}{f'.{number}' if number else ''}.log" for number in range(len(started))]
        for log, printed in zip(logs, outputs):
            log.write_text(printed, encoding="utf-8")
        # First one that failed by itself: the others were killed.
        ended = sorted(zip(started, outputs, logs), key=lambda one: one[0].returncode < 0)
        for process, printed, log in ended:
            if process.returncode:
                raise CheckFailed(self._reason(process.returncode, printed, log))
        return outputs

    def kill_at(self, name: str, command: Sequence[str], line: str) -> None:
        """Kills a command when it prints a line that holds this text. Raises CheckFailed if it ends without it."""
        log = self.folder / f"{name}.killed.log"
        with self._turn, open(log, "w", encoding="utf-8") as file:
            process = self._start(command, 1)
            clock = self._clock(process)
            reached = False
            for text in process.stdout:
                file.write(text)
                reached = reached or line in text
                if reached:
                    process.kill()
            process.wait()
            clock.cancel()
        if not reached:
            raise CheckFailed(f"never printed '{line}'; see {log}")

    def _start(self, command: Sequence[str], threads: Optional[int]) -> subprocess.Popen:
        if self.passed >= self._seconds:
            raise CheckFailed(f"not run: {self._seconds:.0f} s were over")
        program, *arguments = command
        beside = Path(sys.executable).with_name(program)
        start = sys.executable if program == "python" else str(beside if beside.exists() else program)
        limits = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
        return subprocess.Popen(
            [start, *arguments],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONWARNINGS": "ignore", **limits},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )

    def _clock(self, *processes: subprocess.Popen) -> threading.Timer:
        """Kills the processes when time is over, unless it is cancelled."""
        clock = threading.Timer(max(self._seconds - self.passed, 0), lambda: [process.kill() for process in processes])
        clock.start()
        return clock

    def _reason(self, status: int, printed: str, log: Path) -> str:
        if status < 0 and self.passed >= self._seconds:
            return f"not ended after {self._seconds:.0f} s"
        lines = printed.strip().splitlines() or ["no output"]
        return f"{lines[-1][:150]} (status {status}; {log})"


def _read_all(started: Sequence[subprocess.Popen]) -> List[str]:
    """What the processes print, read from all at once, so that none waits for a full pipe; one that fails ends all."""
    outputs = [""] * len(started)

    def read(place: int) -> None:
        outputs[place] = started[place].communicate()[0]
        if started[place].returncode:
            for other in started:
                other.kill()

    readers = [threading.Thread(target=read, args=(place,)) for place in range(len(started))]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    return outputs
