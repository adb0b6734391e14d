"""Writes files whole or not at all."""

import os
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Iterator, Union


@contextmanager
def whole_file(path: Union[str, Path]) -> Iterator[BinaryIO]:
    """A file to write into, beside the path; renamed to it at the end, and gone if anything fails."""
    path = Path(path)
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with open(beside, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        if beside.exists():
            beside.unlink()
