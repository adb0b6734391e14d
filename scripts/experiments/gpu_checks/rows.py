"""Rows of the table of checks."""

from dataclasses import dataclass
from typing import Callable, List, Optional, Sequence

OK, FAILED, MISSED, MEASURED = "ok", "FAILED", "MISSED", "measured"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        check: what was checked.
        figure: what came out.
        limit: what was wanted.
        verdict: OK, FAILED, MISSED (runs, but not within its limit) or MEASURED (there is no limit here).
    """

    check: str
    figure: str
    limit: str
    verdict: str

    @property
    def passed(self) -> bool:
        return self.verdict in (OK, MEASURED)


@dataclass(frozen=True)
class Check:
    """A part of the checks; one that fails leaves the others alone.

    Attributes:
        name: of its row if it fails.
        rows: does the work.
    """

    name: str
    rows: Callable[[], Sequence[Row]]

    def run(self) -> List[Row]:
        """The rows of the check, or one that says why there are none."""
        try:
            return list(self.rows())
        except Exception as error:
            text = " ".join(str(error).split()) or type(error).__name__
            return [Row(self.name, text.replace("|", "/"), "", FAILED)]


def checked(check: str, figure: str, limit: str, passed: bool) -> Row:
    """The row of a check that says yes or no."""
    return Row(check, figure, limit, OK if passed else FAILED)


def compared(check: str, figure: str, value: float, most: Optional[float] = None, least: Optional[float] = None) -> Row:
    """The row of a figure with a limit, or with none."""
    if most is None and least is None:
        return Row(check, figure, "", MEASURED)
    limit = f"at least {least:.2f}" if most is None else f"at most {most:.2f}"
    within = value >= least if most is None else value <= most
    return Row(check, figure, limit, OK if within else MISSED)
