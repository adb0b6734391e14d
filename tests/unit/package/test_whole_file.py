"""Files written whole or not at all, over nothing but regular files."""

import errno
import io
import os
import re
import stat

import pytest
import torch

from fairseq_ghat.checkpoints import whole_file as module
from fairseq_ghat.checkpoints.files import write_checkpoint
from fairseq_ghat.checkpoints.whole_file import NotWritten, check_file, whole_file


def write(path, content=b"new"):
    with whole_file(path) as file:
        file.write(content)


def full_disk(room):
    """An open() whose files take so many bytes, as on a disk that is full then."""

    class Full(io.FileIO):
        def write(self, content):
            if self.tell() + len(content) > room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(content)

    return lambda path, mode: io.BufferedWriter(Full(path, mode), 64)


def test_old_content_stays_until_the_new_is_whole(tmp_path):
    path = tmp_path / "figures.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), whole_file(path) as file:
        file.write(b"half")
        file.flush()
        assert path.read_text() == "old"
        raise KeyboardInterrupt
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    write(path)
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_the_file_it_leads_to_is_replaced(tmp_path, there):
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "file", tmp_path / "link"
    if there:
        target.write_text("old")
    link.symlink_to("far/file")
    check_file(link)
    assert target.exists() == there
    write(link)
    assert link.is_symlink() and os.readlink(link) == "far/file" and target.read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


def device(path):
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")


@pytest.mark.parametrize(
    "make,told",
    [
        (os.mkdir, "is a folder; allowed is a new file, or a regular one"),
        (os.mkfifo, "is a FIFO; allowed is"),
        (device, "is a device; allowed is"),
        (lambda path: os.symlink(path, path), "cannot be written .*symbolic links"),
    ],
    ids=["folder", "FIFO", "device", "circle"],
)
@pytest.mark.parametrize("through_link", [False, True])
def test_what_is_no_regular_file_is_left_alone(tmp_path, make, told, through_link):
    path = tmp_path / "out"
    make(path)
    before = os.lstat(path)
    if through_link:
        path = tmp_path / "link"
        path.symlink_to("out")
    for refused in (check_file, write):
        with pytest.raises(NotWritten, match=f"{path}: {told}"):
            refused(path)
    assert os.lstat(tmp_path / "out") == before and not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    "name,told",
    [
        ("", "'': names no file"),
        ("{}/new/", "{}/new/: names no file"),
        ("{}/none/new", "{}/none/new: the folder {}/none does not exist"),
        ("{}/file/new", "{}/file/new: cannot be written (Not a directory)"),
        ("{}/" + 250 * "n", "cannot be written (File name too long)"),
    ],
)
def test_paths_that_cannot_be_are_refused_before_and_while_writing(tmp_path, name, told):
    (tmp_path / "file").write_text("old")
    for refused in (check_file, write):
        with pytest.raises(NotWritten, match=re.escape(told.replace("{}", str(tmp_path)))):
            refused(name.replace("{}", str(tmp_path)))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_may_not_be_written_to_is_told(tmp_path, monkeypatch):
    """Whoever runs the tests: root may write everywhere."""

    def read_only(path, *mode):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(module, "open", read_only, raising=False)
    for refused in (check_file, write):
        with pytest.raises(NotWritten, match="cannot be written .Read-only file system.; give a path in a folder that"):
            refused(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("room", [0, 100, 20_000])
def test_a_full_disk_leaves_the_old_checkpoint(tmp_path, monkeypatch, room):
    """torch tells of some of these that a position is unexpected."""
    path = tmp_path / "out.pt"
    path.write_text("old")
    monkeypatch.setattr(module, "open", full_disk(room), raising=False)
    with pytest.raises(NotWritten, match=f"{path}: cannot be written .No space left on device.; free some space"):
        write_checkpoint({"model": {"weight": torch.zeros(10_000)}}, path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_other_errors_of_torch_are_not_taken_for_a_full_disk(tmp_path):
    class Refuses:
        def __reduce__(self):
            raise RuntimeError("not to be saved")

    with pytest.raises(RuntimeError, match="not to be saved"):
        write_checkpoint({"model": Refuses()}, tmp_path / "out.pt")
    assert list(tmp_path.iterdir()) == []
