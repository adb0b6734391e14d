"""Files of a corpus, written whole or not at all."""

import os
from pathlib import Path
from typing import Iterable


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Writes lines of text, each ended by \\n on every platform, beside the path and renames."""
    beside = path.with_name(f"{path.name}.part")
    beside.write_bytes("".join(f"{line}\n" for line in lines).encode())
    os.replace(beside, path)
