"""Tables as they go into a README."""

from typing import List, Sequence


def markdown_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in markdown whose columns also line up as plain text."""
    widths = [max(len(row[column]) for row in [titles, *rows]) for column in range(len(titles))]
    lines: List[str] = []
    for row in (titles, ["-" * width for width in widths], *rows):
        lines.append("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |")
    return "\n".join(lines)
