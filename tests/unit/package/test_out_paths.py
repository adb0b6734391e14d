"""OUT of every command that writes is checked before any work: CHECKPOINT is never read here."""

import errno
import os
from argparse import Namespace

import pytest
import torch
from commands import refusal_of

from fairseq_ghat.checkpoints import whole_file
from fairseq_ghat.checkpoints.files import read_checkpoint, write_checkpoint
from fairseq_ghat.cli import average, export, slim, translate, vote

COMMANDS = {
    "ghat-slim": (slim.main, "{ckpt} {out}"),
    "ghat-vote": (vote.main, "{ckpt} {data} {out} --cpu"),
    "ghat-average": (average.main, "{ckpt} {other} --output {out}"),
    "ghat-translate": (translate.main, "{ckpt} {data} {other} {out} --cpu"),
}
EXPORT = (export.main, "ctranslate2 {ckpt} {data} {out}")
FLAGS = {"ghat-average": "--output"}


@pytest.fixture
def inputs(tmp_path):
    """What commands read, with a hard link and a link to CHECKPOINT."""
    for name in ("ckpt", "other"):
        (tmp_path / name).write_text(name)
    (tmp_path / "data").mkdir()
    for name in ("dict.en.txt", "train.de-en.de.idx"):
        (tmp_path / "data" / name).write_text(name)
    (tmp_path / "link").symlink_to("ckpt")
    os.link(tmp_path / "ckpt", tmp_path / "hard")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    return tmp_path


def files_in(folder):
    """What tells whether a file was touched; reading one may change its time of access."""
    states = {path: os.lstat(path) for path in folder.rglob("*") if not path.is_dir()}
    return {path: (state.st_ino, state.st_mode, state.st_size, state.st_mtime_ns) for path, state in states.items()}


def refused(command, inputs, out, capsys):
    """What the command says, after which everything must be as before."""
    main, line = command
    before = files_in(inputs)
    values = {name: inputs / name for name in ("ckpt", "other", "data")}
    printed = refusal_of(main, [word.format(**values, out=out) for word in line.split()], capsys)
    assert files_in(inputs) == before
    return printed


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    "out,told",
    [
        ("ckpt", "ckpt: is CHECKPOINT itself"),
        ("folder/../ckpt", "ckpt: is CHECKPOINT itself"),
        ("link", "link: is CHECKPOINT itself"),
        ("hard", "hard: is CHECKPOINT itself"),
        ("folder", "folder: is a folder; allowed is a new file, or a regular one to replace"),
        ("fifo", "fifo: is a FIFO; allowed is"),
        ("none/out", "none does not exist"),
        ("new/", "new/: names no file"),
    ],
)
def test_out_that_will_not_do(inputs, capsys, name, out, told):
    printed = refused(COMMANDS[name], inputs, f"{inputs}/{out}", capsys)
    assert f"error: {FLAGS.get(name, 'OUT')} {inputs}/{out.rpartition('/')[0]}" in printed and told in printed


@pytest.mark.parametrize("name", [*COMMANDS, "ghat-export"])
def test_no_name(inputs, capsys, name):
    printed = refused({**COMMANDS, "ghat-export": EXPORT}[name], inputs, "", capsys)
    assert f"error: {FLAGS.get(name, 'OUT')} '': names no " in printed


def test_all_that_is_averaged_or_voted_on_is_an_input(inputs, capsys):
    assert "other: is CHECKPOINT itself" in refused(COMMANDS["ghat-average"], inputs, inputs / "other", capsys)
    for file in ("dict.en.txt", "train.de-en.de.idx"):
        told = f"OUT {inputs}/data/{file}: is DATA itself"
        assert told in refused(COMMANDS["ghat-vote"], inputs, inputs / "data" / file, capsys)


@pytest.mark.parametrize("out", ["ckpt", "folder", "fifo", "dangling"])
def test_an_export_wants_a_new_folder(inputs, capsys, out):
    (inputs / "dangling").symlink_to("nowhere")
    assert f"OUT {inputs}/{out}: exists already" in refused(EXPORT, inputs, inputs / out, capsys)


@pytest.mark.parametrize("name", [*COMMANDS, "ghat-export"])
def test_a_folder_that_may_not_be_written_to(inputs, capsys, monkeypatch, name):
    """Whoever runs the tests: root may write everywhere."""

    def denied(path, mode):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(whole_file, "open", denied, raising=False)
    printed = refused({**COMMANDS, "ghat-export": EXPORT}[name], inputs, inputs / "out", capsys)
    assert f"{inputs}/out: cannot be written (Permission denied); give a path in a folder that may be" in printed


@pytest.fixture
def pair(tmp_path):
    """Two checkpoints to average."""
    for name, value in (("ckpt", 1.0), ("other", 3.0)):
        state = {"model": {"weight": torch.full((1000,), value)}, "args": Namespace(arch="transformer")}
        write_checkpoint(state, tmp_path / name)
    return tmp_path


def test_a_disk_that_is_full_after_the_work(pair, capsys, monkeypatch):
    def full(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(whole_file.os, "fsync", full)
    printed = refused(COMMANDS["ghat-average"], pair, pair / "out", capsys)
    assert f"--output {pair}/out: cannot be written (No space left on device); free some space" in printed


def test_a_link_is_followed(pair):
    (pair / "link").symlink_to("mean.pt")
    assert average.main([f"{pair}/ckpt", f"{pair}/other", "--output", f"{pair}/link"]) == 0
    assert (pair / "link").is_symlink() and not (pair / "mean.pt").is_symlink()
    assert read_checkpoint(pair / "mean.pt")["model"]["weight"].unique().tolist() == [2.0]
