"""The steps of a comparison, in order; each is run once, and again only if it was not finished."""

import json
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Callable, List, Sequence

from experiments.comparison import commands
from experiments.comparison.plan import Comparison, Measured, pruned, starts
from experiments.comparison.scores import write_score
from experiments.recipes.commands import Command, CommandFailed
from fairseq_ghat.checkpoints.files import read_checkpoint, whole_file
from fairseq_ghat.profiling.parameters import heads_in_checkpoint

# Suffix of the file that says that a step is finished, beside what it made.
DONE = ".done.json"
_TAIL = 15


class StepFailed(RuntimeError):
    """A step that ended with an error; the message holds its command and the end of its output."""


@dataclass
class Step:
    """One command, and what is done with what it made.

    Attributes:
        results: files that are there afterwards; the first is the command's.
        finish: checks or scores the first; raises ValueError.
    """

    command: Command
    results: Sequence[Path]
    finish: Callable[[], None] = lambda: None

    @property
    def record(self) -> Path:
        """Command line and seconds of the finished step."""
        return self.results[0].with_name(self.results[0].name + DONE)

    @property
    def finished(self) -> bool:
        return self.record.is_file() and all(path.is_file() for path in self.results)

    def run(self) -> None:
        """Runs it and keeps a record. Raises StepFailed."""
        self.results[0].parent.mkdir(parents=True, exist_ok=True)
        begun = monotonic()
        try:
            self.command.run()
            self.finish()
            missing = [str(path) for path in self.results if not path.is_file()]
            if missing:  # such as the last checkpoint under --save-interval 5
                raise ValueError(f"{self.command.stage}: did not make {', '.join(missing)}")
        except (CommandFailed, ValueError) as error:
            raise StepFailed(f"{error}\n{self.command.shown()}\n{self._tail()}".rstrip()) from error
        content = {"command": self.command.argv, "seconds": round(monotonic() - begun, 1)}
        with whole_file(self.record) as file:
            file.write(json.dumps(content, indent=1).encode())

    def _tail(self) -> str:
        output = self.command.log or self.command.output
        unfinished = output.with_name(f"{output.name}.part")
        for path in (unfinished, output):
            if path.is_file():
                return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:])
        return ""


def all_steps(what: Comparison) -> List[Step]:
    """Every step: the starts and their scores, then for each vote the vote, its score, fine-tuning, its score."""
    found = []
    for start in starts(what):
        if what.continue_epochs:
            found.append(Step(commands.continue_training(what, start), [start.model.checkpoint]))
        found.append(_measure(what, start.model, start.title))
    for one in pruned(what):
        found.append(Step(commands.vote(what, one), [one.voted.checkpoint], _budget_check(one.voted, one.keep)))
        found.append(_measure(what, one.voted, f"{one.described} after the vote"))
        if what.epochs:
            found.append(Step(commands.fine_tune(what, one), [one.tuned.checkpoint]))
            found.append(_measure(what, one.tuned, f"{one.described} after fine-tuning"))
    return found


def run_all(steps: Sequence[Step]) -> None:
    """Runs those that are not finished, and says how far the work is. Raises StepFailed."""
    for number, step in enumerate(steps, start=1):
        place = f"\nstep {number} of {len(steps)}"
        if step.finished:
            print(f"{place}: {step.command.stage}: there already", flush=True)
        else:
            print(place, flush=True)
            step.run()


def _measure(what: Comparison, model: Measured, stage: str) -> Step:
    return Step(commands.measure(what, model, stage), [model.output, model.score], lambda: write_score(what, model))


def _budget_check(voted: Measured, keep: int) -> Callable[[], None]:
    """Rows of one budget are compared with each other: each must have kept to it."""

    def check() -> None:
        kept = heads_in_checkpoint(read_checkpoint(voted.checkpoint))
        if sum(kept.values()) != keep * len(kept):
            raise ValueError(
                f"{voted.checkpoint}: keeps {sum(kept.values())} heads, not {keep} for each of {len(kept)} attentions"
            )

    return check
