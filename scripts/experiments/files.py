"""Files and folders of experiments: written whole or not at all, and what to tell where the system refuses one."""

import json
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any


def write_json(path: Path, content: Any) -> None:
    """Writes JSON whole or not at all."""
    beside = path.with_name(f"{path.name}.part")
    try:
        beside.write_text(json.dumps(content, indent=1), encoding="utf-8")
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def folder_name(text: str) -> Path:
    """The folder that an argument names; '' would be the current one."""
    if not text:
        raise ArgumentTypeError("'' is not allowed: give the name of a folder")
    return Path(text)


def refused_by_system(error: OSError, place: Path) -> str:
    """What to tell of an error of the system, and what to do; place is where it happened if the error names none."""
    return f"{error.filename or place}: {error.strerror or error}; make room or allow access there, or go elsewhere"
