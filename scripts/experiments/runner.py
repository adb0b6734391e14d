"""Runs commands one after the other or side by side, passes over those that are finished, and leaves none behind."""

import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from threading import current_thread, main_thread
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from experiments.commands import Command, CommandFailed, Processes
from experiments.files import refused_by_system

Numbered = Tuple[str, Command]  # "step 3 of 7" and the command


def run_all(commands: Sequence[Command], dry_run: bool, jobs: int = 1) -> int:
    """Runs the commands that are not finished; says how far the work is.

    Commands of one chain run one after the other until one fails. Chains that follow each other in the list run side by
    side. Commands without a chain wait for all before them, and are run only if these succeeded. A signal to end
    (SIGTERM, SIGINT) ends what runs, too.

    Args:
        commands: in their order.
        dry_run: only show them.
        jobs: how many chains run at a time.

    Returns:
        Status for the shell: 1 if one failed.
    """
    if dry_run:
        print("\n\n".join(command.shown() for command in commands))
        return 0
    numbered = [(f"step {number} of {len(commands)}", command) for number, command in enumerate(commands, start=1)]
    processes = Processes(jobs)
    with _ending(processes):
        for _, part in groupby(numbered, key=lambda one: one[1].chain is not None):
            with ThreadPoolExecutor(jobs) as pool:
                if not all(list(pool.map(lambda chain: _run_chain(chain, processes), _chains(part)))):
                    return 1
    return 0


def _chains(numbered: Iterator[Numbered]) -> List[List[Numbered]]:
    chains: Dict[Optional[str], List[Numbered]] = {}
    for one in numbered:
        chains.setdefault(one[1].chain, []).append(one)
    return list(chains.values())


def _run_chain(chain: Sequence[Numbered], processes: Processes) -> bool:
    anew = False  # what follows a command of a chain that ran is made of other things than before
    for place, command in chain:
        if processes.ended:
            return False
        told = f"\n{place}{f', {command.chain}' if command.chain else ''}"
        if command.finished and not anew:
            print(f"{told}: {command.stage}: there already", flush=True)
            continue
        print(told, flush=True)
        try:
            command.run(processes)
        except CommandFailed as error:
            print(f"error: {error}", file=sys.stderr)
            return False
        except OSError as error:
            where = command.output or command.log or Path.cwd()
            print(f"error: {command.stage}: {refused_by_system(error, where)}", file=sys.stderr)
            return False
        anew = command.chain is not None
    return True


@contextmanager
def _ending(processes: Processes) -> Iterator[None]:
    """Ends the processes when this one is told to end: otherwise a training would go on, unseen, beside the next."""

    def end(number: int, _) -> None:
        processes.end()
        raise SystemExit(128 + number)

    signals = (signal.SIGTERM, signal.SIGINT) if current_thread() is main_thread() else ()
    before = {number: signal.signal(number, end) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
