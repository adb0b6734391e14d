"""Lines of text files, plain or packed, the files of the splits, and what can be wrong with them.

A line ends at \\n and nowhere else: Python's own splitting also ends lines at \\r and others that occur inside the
sentences of crawled text, which would shift one side of a parallel corpus.
"""

import gzip
import hashlib
import html
import lzma
import re
import zlib
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Dict, Iterable, Iterator, List, Optional, Sequence, TextIO, Tuple, TypeVar, Union

from tqdm import tqdm

Item = TypeVar("Item")
SPLITS = ("train", "valid", "test")
_UNPACK = {".gz": gzip.open, ".xz": lzma.open}
_CORRUPT = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)
_SEGMENT = re.compile(r"<seg\b[^>]*>(.*?)(?:</seg>|$)")


class CorpusError(ValueError):
    """A file, site or option that does not serve; its message names it and says what to do."""


class NotThere(CorpusError):
    """A site that answers, but does not have the file (or does not hand it out)."""


def progress(items: Iterable[Item], what: str, unit: str = " lines", total: Optional[int] = None) -> Iterable[Item]:
    """The same items, with a bar on a terminal; elsewhere nothing is printed."""
    return tqdm(items, desc=what, unit=unit, unit_scale=True, total=total, disable=None, leave=False)


@contextmanager
def unpacked(file: Union[Path, IO[bytes]], name: str) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked where its name ends in .gz or .xz.

    Args:
        file: its path, or a stream of it.
        name: what it is called, also in an error.

    Yields:
        A stream of the bytes.

    Raises:
        CorpusError: if what is read is not whole, or not packed like that.
    """
    try:
        opener = _UNPACK.get(Path(name).suffix)
        if opener is not None:
            with opener(file, "rb") as stream:
                yield stream
        elif isinstance(file, Path):
            with open(file, "rb") as stream:
                yield stream
        else:
            yield file
    except _CORRUPT as error:
        raise CorpusError(f"{name}: is corrupt ({error}); delete it and fetch it again") from error


def lines_of(stream: IO[bytes], name: str, errors: str = "strict") -> Iterator[str]:
    """Lines of UTF-8 text, each without its \\n.

    Args:
        stream: the bytes.
        name: what the text is called in an error.
        errors: what to do with bytes that are not UTF-8, as in open.

    Yields:
        A line.

    Raises:
        CorpusError: if the text is not UTF-8; names it and the line.
    """
    for number, line in enumerate(stream, 1):  # bytes: these end at \n only
        try:
            text = line.decode("utf-8", errors)
        except UnicodeDecodeError as error:
            raise CorpusError(f"{name}: line {number} is not UTF-8 text ({error})") from error
        yield text[:-1] if text.endswith("\n") else text


def read_lines(path: Path) -> Iterator[str]:
    """Lines of a text file, which may be packed (.gz, .xz).

    Args:
        path: the file.

    Yields:
        A line.

    Raises:
        CorpusError: if the file is corrupt or not UTF-8.
    """
    with unpacked(path, str(path)) as stream:
        yield from lines_of(stream, str(path))


def unpacked_sha256(path: Path) -> str:
    """SHA-256, in hex, of what a packed file holds. Raises CorpusError where it is corrupt."""
    total = hashlib.sha256()
    with unpacked(path, str(path)) as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            total.update(block)
    return total.hexdigest()


def tidy(line: str) -> str:
    """The line with one space between words and none at the ends; control characters that count as space are gone."""
    return " ".join(line.split())


def segments(lines: Iterable[str]) -> Iterator[str]:
    """The text of each <seg> line of an evaluation set in SGML or XML, tidy, as fairseq's scripts have it.

    Args:
        lines: those of the file.

    Yields:
        A sentence, its entities resolved and ’ written as '.
    """
    for line in lines:
        segment = _SEGMENT.search(line)
        if segment:
            yield tidy(html.unescape(segment.group(1)).replace("’", "'"))


class SplitWriter:
    """Writes rows of text to FOLDER/SPLIT.SUFFIX, one text per suffix, as they come.

    A context manager: the files are complete when it ends.

    Attributes:
        counts: rows per split.
    """

    def __init__(self, folder: Path, suffixes: Sequence[str]):
        self.counts: Dict[str, int] = {}
        self._folder, self._suffixes = folder, suffixes
        self._files: Dict[str, List[TextIO]] = {}
        self._opened = ExitStack()

    def __enter__(self) -> "SplitWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()

    def write(self, split: str, texts: Sequence[str]) -> None:
        """Writes one row."""
        if split not in self._files:
            paths = [self._folder / f"{split}.{suffix}" for suffix in self._suffixes]
            self._files[split] = [
                self._opened.enter_context(open(path, "w", encoding="utf-8", newline="\n")) for path in paths
            ]
        for file, text in zip(self._files[split], texts):
            file.write(text + "\n")
        self.counts[split] = self.counts.get(split, 0) + 1


def write_splits(folder: Path, suffixes: Sequence[str], rows: Iterable[Tuple[str, Sequence[str]]]) -> Dict[str, int]:
    """Writes rows (split, one text per suffix) with a SplitWriter; returns rows per split."""
    with SplitWriter(folder, suffixes) as writer:
        for split, texts in rows:
            writer.write(split, texts)
    return writer.counts
