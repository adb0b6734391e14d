"""Members of tar and zip archives, read in one pass without unpacking them to disk."""

import lzma
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Iterator, List, Tuple

from experiments.corpora.text_files import CorpusError, lines_of, unpacked

_SHOWN = 8  # member names in an error


@contextmanager
def _whole(archive: Path) -> Iterator[None]:
    """Names the archive where its bytes are not what they should be."""
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError) as error:
        raise CorpusError(f"{archive}: corrupt archive ({error}); delete it and fetch it again") from error


def members(archive: Path) -> Iterator[Tuple[str, IO[bytes]]]:
    """The files in a .zip or a tar (packed or not), in the archive's order.

    Args:
        archive: its file.

    Yields:
        Name and bytes of a member; the bytes must be read before the next is asked for.

    Raises:
        CorpusError: if the archive is corrupt.
    """
    with _whole(archive):
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as packed:
                for info in packed.infolist():
                    if not info.is_dir():
                        with packed.open(info) as stream:
                            yield info.filename, stream
        else:
            with tarfile.open(archive, "r|*") as packed:  # a stream: nothing is sought, nothing kept
                for info in packed:
                    if info.isfile():
                        yield info.name, packed.extractfile(info)


def member_lines(archive: Path, member: str, errors: str = "strict") -> Iterator[str]:
    """Lines of a member of an archive.

    Args:
        archive: its file.
        member: file name of the member, in whatever folder; one that ends in .gz is unpacked.
        errors: what to do with bytes that are not UTF-8, as in open.

    Yields:
        A line.

    Raises:
        CorpusError: if the archive is corrupt, or has no such member; the error then names some that it has.
    """
    others: List[str] = []
    with _whole(archive):
        for name, stream in members(archive):
            if PurePosixPath(name).name == member:
                with unpacked(stream, f"{archive}: {name}") as text:
                    yield from lines_of(text, f"{archive}: {name}", errors)
                return
            others.append(name)
    shown = ", ".join(others[:_SHOWN]) + (", ..." if len(others) > _SHOWN else "")
    raise CorpusError(f"{archive}: has no {member}; it holds {shown or 'nothing'}")


def member_names(archive: Path) -> List[str]:
    """Names of all files in the archive. Raises CorpusError where it is corrupt."""
    return [name for name, _ in members(archive)]
