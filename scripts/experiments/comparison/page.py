"""The page of a comparison: its table and picture, then what ghat-report tells of the models of the first seed."""

import shlex
import sys
from pathlib import Path
from typing import List, Sequence

import fairseq_ghat
from experiments.comparison.plan import Comparison, votes
from fairseq_ghat.report.page import render
from fairseq_ghat.report.pictures import Picture
from fairseq_ghat.report.run import read_runs
from fairseq_ghat.report.sections import Section, Table, sections


def comparison_page(comparison: Comparison, section: Section) -> str:
    """The page as HTML.

    Args:
        comparison: all of whose commands are finished.
        section: its table and picture.
    """
    runs = read_runs(model_folders(comparison))
    command = shlex.join(["python", *sys.argv])
    title = f"Ways of pruning, compared on {comparison.checkpoint}"
    told = f"Made by compare_pruning.py of fairseq_ghat {fairseq_ghat.__version__}."
    return render(title, [section, *sections(runs, command)], told)


def model_folders(comparison: Comparison) -> List[Path]:
    """Folders of the models of the first seed as they are in the end, one for each way, size and refit."""
    of_seed = [vote for vote in votes(comparison) if vote.seed == comparison.seeds[0]]
    last = [vote.tuned if comparison.epochs else vote.cut for vote in of_seed]
    return [model.checkpoint.parent for model in last]


def comparison_section(titles: List[str], rows: List[List[str]], notes: Sequence[str], figure) -> Section:
    """The table and the picture of a comparison, with what they hold for.

    Args:
        titles: of the columns.
        rows: of the table.
        notes: conditions of the figures.
        figure: of matplotlib, with a line for each way of pruning.
    """
    told = "; ".join(f"{row[0]}, {row[2]}: {' then '.join(cell for cell in row[6:8] if cell)}" for row in rows)
    alternative = f"Lines of the scores over the sizes, one for each way. {told}."
    picture = Picture("comparison", "Scores after the vote and after fine-tuning.", alternative, figure)
    table = Table("All ways, the best first", titles, rows)
    return Section("comparison", "Comparison", tables=[table], pictures=[picture], notes=list(notes))
