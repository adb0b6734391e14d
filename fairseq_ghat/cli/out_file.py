"""The file that a command makes from a checkpoint."""

from argparse import ArgumentParser
from pathlib import Path


def check_out(parser: ArgumentParser, source: Path, out: Path) -> None:
    """Ends the command with an error if OUT would overwrite CHECKPOINT, or has no folder to lie in."""
    if source.resolve() == out.resolve():
        parser.error(f"OUT {out}: is CHECKPOINT itself, which would be lost; give another name")
    if not out.resolve().parent.is_dir():
        parser.error(f"OUT {out}: the folder {out.resolve().parent} does not exist")
