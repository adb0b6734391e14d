"""Writes files whole or not at all, over nothing but a regular file, and with errors that name the path."""

import errno
import os
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Iterator, Union

AnyPath = Union[str, Path]

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class NotWritten(OSError):
    """A file or folder that cannot be written; the message names it, what is wrong and what to do."""


@contextmanager
def whole_file(path: AnyPath) -> Iterator[BinaryIO]:
    """A file to write into, beside the path; renamed to it at the end, and gone if anything fails.

    A link stays, and the file that it leads to is replaced.

    Raises:
        NotWritten: if the path is empty or names anything but a regular file, if its folder is not there, or if
            the system refuses to write.
    """
    target = _target(path)
    beside = _beside(target, path)
    try:
        with writing(path):
            with open(beside, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, target)
    finally:
        with suppress(OSError):  # it is gone, or was never there
            beside.unlink()


def check_file(path: AnyPath) -> None:
    """Raises NotWritten unless whole_file can write there; leaves all as it was."""
    check_place(_target(path), path)


def check_place(target: Path, path: AnyPath) -> None:
    """Raises NotWritten, which names the path, unless something can be made beside the target that it stands for."""
    beside = _beside(target, path)
    with writing(path):
        open(beside, "wb").close()
        beside.unlink()


@contextmanager
def writing(path: AnyPath) -> Iterator[None]:
    """Turns an error of the system into NotWritten, which names the path."""
    try:
        yield
    except NotWritten:
        raise
    except OSError as error:
        full, elsewhere = "free some space, or write to another disk", "give a path in a folder that may be written to"
        advice = full if error.errno in _FULL else elsewhere
        raise NotWritten(f"{path}: cannot be written ({error.strerror or error}); {advice}") from error


def _target(path: AnyPath) -> Path:
    """The regular file, there already or not, that a path leads to."""
    name = os.fspath(path)
    if not os.path.basename(name):
        raise NotWritten(f"{name or repr(name)}: names no file; allowed is a new file, or one to replace")
    kind = stat.S_IFREG
    with writing(path), suppress(FileNotFoundError):  # links in a circle and long names are errors here
        kind = stat.S_IFMT(os.stat(name).st_mode)
    if kind != stat.S_IFREG:
        raise NotWritten(f"{path}: is {_KINDS[kind]}; allowed is a new file, or a regular one to replace")
    return Path(os.path.realpath(name))


def _beside(target: Path, path: AnyPath) -> Path:
    if not target.parent.is_dir():
        raise NotWritten(f"{path}: the folder {target.parent} does not exist")
    return target.with_name(f"{target.name}.{os.getpid()}.part")
