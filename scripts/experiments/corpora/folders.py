"""Folders and files that are there whole or not at all."""

import hashlib
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

_BLOCK = 1 << 20  # bytes


def remove(folder: Path) -> None:
    """Removes a folder with all that is in it; of a link, only the link. None there is no error."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


@contextmanager
def built(folder: Path) -> Iterator[Path]:
    """A folder that is written whole: after an error it is as it was before.

    Args:
        folder: what is built.

    Yields:
        An empty folder beside it to write into, which takes its place (and name) when all went well.
    """
    part = folder.with_name(f"{folder.name}.part")
    remove(part)
    part.mkdir(parents=True)
    try:
        yield part
    except BaseException:
        remove(part)
        raise
    remove(folder)
    os.replace(part, folder)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file of any size, in hex."""
    total = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(_BLOCK), b""):
            total.update(block)
    return total.hexdigest()
