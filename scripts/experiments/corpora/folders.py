"""Folders and files that are there whole or not at all."""

import hashlib
import json
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


def remove_file(path: Path) -> None:
    """Removes a file; none there is no error."""
    if path.exists():
        path.unlink()


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


def write_json(path: Path, content: object) -> None:
    """Writes JSON beside the path and renames, so that no half-written file is ever seen."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(part, path)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file of any size, in hex."""
    total = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(_BLOCK), b""):
            total.update(block)
    return total.hexdigest()
