"""Downloads that survive a cut connection and end whole, verified, or not at all."""

import http.client
import json
import os
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Dict, Optional, Tuple

from tqdm import tqdm

from experiments.corpora.folders import sha256_of
from experiments.corpora.text_files import CorpusError, NotThere
from experiments.files import write_json

ATTEMPTS = 4  # in a row that bring nothing new
WAIT = 2.0  # seconds before the second attempt; twice as long before each further one
TIMEOUT = 60.0  # seconds without a byte
_BLOCK = 1 << 16  # bytes
_ELSEWHERE = "give a folder or address that has it: --source DIR|URL"


class _Cut(Exception):
    """The connection ended before the file did."""


# Not any OSError: a disk that is full is no fault of the site.
_OF_THE_CONNECTION = (
    urllib.error.URLError,
    ConnectionError,
    TimeoutError,
    socket.timeout,
    ssl.SSLError,
    http.client.HTTPException,
    _Cut,
)


def download(url: str, target: Path, sha256: Optional[str] = None, wait: Optional[float] = None) -> None:
    """Downloads one file, by way of TARGET.part, from where an earlier try ended if it has not changed.

    Whether it changed is asked of the server with the ETag or date kept in TARGET.part.json (If-Range); without one,
    or where the server knows no ranges, the file is fetched from its start.

    Args:
        url: its address.
        target: the file to write.
        sha256: its sum in hex, if known.
        wait: seconds before the second attempt (default WAIT).

    Raises:
        NotThere: if the server has no such file.
        CorpusError: if the server cannot be reached, keeps cutting the connection (what came stays in TARGET.part), or
            sends what has another sum (kept as TARGET.rejected).
    """
    wait = WAIT if wait is None else wait
    part, seal = target.with_name(f"{target.name}.part"), target.with_name(f"{target.name}.part.json")
    print(f"downloading {url}", flush=True)
    failures, most = 0, _size(part)
    while True:
        try:
            _transfer(url, part, seal)
            break
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code not in (408, 416, 429):
                raise NotThere(
                    f"{url}: the site answers {error.code} ({error.reason}): the file is not there (any more); "
                    f"{_ELSEWHERE}"
                ) from error
            problem: Exception = error
            if error.code == 416:  # what is here is no beginning of the file as it is now
                part.unlink(missing_ok=True)
        except _OF_THE_CONNECTION as error:
            problem = error
        # Anew and anew from the start is no progress: only more than ever before is.
        failures = 0 if _size(part) > most else failures + 1
        most = max(most, _size(part))
        if failures == ATTEMPTS:
            raise CorpusError(_unreachable(url, problem, part)) from problem
        time.sleep(wait * 2 ** max(0, failures - 1))
    seal.unlink(missing_ok=True)
    if sha256 is not None and sha256_of(part) != sha256:
        raise CorpusError(f"{target}: SHA-256 is {sha256_of(part)}, expected {sha256}; {reject(part, target)}")
    os.replace(part, target)
    print(f"{target}: {_size(target):,} bytes", flush=True)


def reject(path: Path, target: Path) -> str:
    """Renames what is not the file `target` should be to TARGET.rejected; returns a clause that says so."""
    rejected = target.with_name(f"{target.name}.rejected")
    os.replace(path, rejected)
    return f"what came is kept as {rejected.name}"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _transfer(url: str, part: Path, seal: Path) -> None:
    """One attempt: appends to `part` what is missing of the file, or starts it anew. Raises _Cut where more is due."""
    request = urllib.request.Request(url, headers={"User-Agent": "prepare_data (urllib)"})
    kept, validator = _size(part), _validator(seal, url)
    if kept and validator:
        request.add_header("Range", f"bytes={kept}-")
        request.add_header("If-Range", validator)
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        first, total = _extent(response, kept)
        if first == 0:  # the old part goes before its seal is changed, or it would pass for a part of this version
            part.unlink(missing_ok=True)
            write_json(seal, {"url": url, "validator": _sealed(response.headers)})
        host = urllib.parse.urlsplit(url).netloc
        bar = tqdm(desc=f"{part.stem} from {host}", initial=first, total=total, unit="B", unit_scale=True, disable=None)
        with bar, open(part, "ab" if first else "wb") as file:
            for block in iter(lambda: response.read(_BLOCK), b""):
                file.write(block)
                bar.update(len(block))
    if total is not None and _size(part) != total:
        raise _Cut(f"the connection was cut after {_size(part):,} of {total:,} bytes")


def _extent(response, kept: int) -> Tuple[int, Optional[int]]:
    """At which byte of the file the answer starts, and how long the whole file is, if the server says so."""
    if response.status == 206:
        answered = response.headers.get("Content-Range", "")
        length = answered.rpartition("/")[2]
        if not length.isdigit() or answered != f"bytes {kept}-{int(length) - 1}/{length}":
            raise _Cut(f"the site answers with the range {answered!r} where the bytes from {kept} on were asked for")
        return kept, int(length)
    length = response.headers.get("Content-Length")
    return 0, int(length) if length else None


def _validator(seal: Path, url: str) -> Optional[str]:
    """What tells the server which version of the file the part is of; None where it is of another address."""
    try:
        known: Dict[str, str] = json.loads(seal.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return known.get("validator") if known.get("url") == url else None


def _sealed(headers) -> Optional[str]:
    """The ETag, if it is a strong one (a weak one may not stand in If-Range), or else the date of last change."""
    tag = headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")


def _unreachable(url: str, problem: Exception, part: Path) -> str:
    reason = getattr(problem, "reason", None) or problem
    kept = f" ({_size(part):,} bytes are kept: run again to go on)" if _size(part) else ""
    return f"{url}: {urllib.parse.urlsplit(url).netloc} cannot be reached or breaks off: {reason}{kept}; {_ELSEWHERE}"
