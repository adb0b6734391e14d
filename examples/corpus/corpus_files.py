"""Files of a corpus: downloaded, verified, and written whole or not at all."""

import argparse
import hashlib
import os
import shutil
import sys
import urllib.request
from pathlib import Path
from typing import Iterable, NoReturn, Optional


def write_whole(path: Path, content: bytes) -> None:
    """Writes beside the path and renames, so that no half-written file is ever seen."""
    beside = path.with_name(f"{path.name}.part")
    beside.write_bytes(content)
    os.replace(beside, path)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Writes lines of text, each ended by \\n on every platform."""
    write_whole(path, "".join(f"{line}\n" for line in lines).encode())


def download(url: str, target: Path) -> None:
    """Downloads one file, whole or not at all. Raises OSError if the site cannot be reached."""
    beside = target.with_name(f"{target.name}.part")
    print(f"downloading {url}", flush=True)
    with urllib.request.urlopen(url, timeout=60) as source, open(beside, "wb") as file:
        shutil.copyfileobj(source, file)
    os.replace(beside, target)


def check_sum(path: Path, content: bytes, expected: str) -> None:
    """Raises ValueError if the SHA-256 of the content is another than expected."""
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise ValueError(f"{path}: SHA-256 is {found}, expected {expected}; delete it and fetch it again")


def fetch_parser(description: str, files: str) -> argparse.ArgumentParser:
    """Command line of a script that fetches a corpus: OUT, and --from (as `source`) for files that one has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--from", dest="source", type=Path, metavar="DIR", help=f"folder with the {files}")
    return parser


def end_unfetched(name: str, error: Exception, source: Optional[Path], files: str) -> NoReturn:
    """Ends the script with status 2: the file, what is wrong, and what to do where it was to be downloaded."""
    hint = "" if source else f"; without a network, give the folder of the {files}: --from DIR (DATA_DIR)"
    print(f"error: {name}: {error}{hint}", file=sys.stderr)
    raise SystemExit(2)
