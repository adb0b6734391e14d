"""What fairseq checkpoints hold loads safely; anything else is refused by name."""

import argparse
import collections
import errno
import fractions
import os
import re

import numpy as np
import pytest
import torch
from fairseq.logging import meters
from omegaconf import OmegaConf

from fairseq_ghat.checkpoints import files
from fairseq_ghat.checkpoints.files import CheckpointError, read_checkpoint, write_checkpoint
from fairseq_ghat.checkpoints.safe_loading import checkpoint_globals


def saved(tmp_path, **entries):
    path, model = tmp_path / "checkpoint.pt", {"weight": torch.arange(6.0).view(2, 3)}
    torch.save({"model": model, "args": argparse.Namespace(arch="x"), **entries}, path)
    return path


@pytest.mark.parametrize(
    "value",
    [
        argparse.Namespace(lr=[0.1], nested=argparse.Namespace(a=1)),
        np.float64(2.5),
        np.float32(2.5),
        np.int64(7),
        np.array([1.0, 2.0]),
        np.array([3, 4]),
        np.bool_(True),
        collections.OrderedDict(a=1),
        {"metrics": [(10, "loss", "AverageMeter", {"val": np.float64(1.0), "sum": torch.tensor(2.0)})]},
    ],
    ids=repr,
)
def test_what_fairseq_saves_comes_back(tmp_path, value):
    loaded = read_checkpoint(saved(tmp_path, extra_state=value))["extra_state"]
    assert type(loaded) is type(value)
    assert repr(loaded) == repr(value)


@pytest.mark.parametrize("other", [b"numpy.core.", b"numpy._core."], ids=["numpy 1", "numpy 2"])
def test_numbers_that_another_numpy_wrote_come_back(tmp_path, other):
    """numpy 2 renamed numpy.core, whose functions a pickle names."""
    state = {"model": {}, "args": argparse.Namespace(arch="x"), "extra_state": [np.float64(2.5), np.array([3, 4])]}
    path = tmp_path / "checkpoint.pt"
    torch.save(state, path, _use_new_zipfile_serialization=False)  # names in plain sight
    mine = np.float64(0).__reduce__()[0].__module__.encode().replace(b"multiarray", b"")
    path.write_bytes(path.read_bytes().replace(mine, other))
    assert path.read_bytes().count(other) >= 2
    number, counts = read_checkpoint(path)["extra_state"]
    assert type(number) is np.float64 and number == 2.5
    assert counts.dtype == np.int64 and counts.tolist() == [3, 4]


def test_old_configuration_nodes_come_back(tmp_path):
    cfg = OmegaConf.create({"model": {"arch": "transformer", "layers": 6, "lr": [0.1], "share": True, "none": None}})
    assert read_checkpoint(saved(tmp_path, cfg=cfg))["cfg"] == cfg


def test_meters_of_old_checkpoints_come_back(tmp_path, monkeypatch):
    """fairseq's trainer once saved its meters as they were, when their module was fairseq.meters."""
    kinds = (meters.AverageMeter, meters.TimeMeter, meters.StopwatchMeter)
    for kind in kinds:
        monkeypatch.setattr(kind, "__module__", "fairseq.meters")
    path = saved(tmp_path, extra_state={"train_meters": collections.OrderedDict((k.__name__, k()) for k in kinds)})
    monkeypatch.undo()
    loaded = read_checkpoint(path)["extra_state"]["train_meters"]
    assert {name: type(meter) for name, meter in loaded.items()} == {kind.__name__: kind for kind in kinds}


def test_fairseq_5610_fairseq_loads_such_a_checkpoint_itself(tmp_path):
    from fairseq.checkpoint_utils import load_checkpoint_to_cpu

    cfg = {"model": argparse.Namespace(arch="x"), "task": {"_name": "translation"}}
    entries = {"extra_state": {"best": np.float64(1.5)}, "optimizer_history": [{"best_loss": 1.5}]}
    path = saved(tmp_path, cfg=cfg, args=None, **entries)
    state = load_checkpoint_to_cpu(str(path))
    assert state["extra_state"]["best"] == 1.5
    assert state["cfg"]["model"].arch == "x"


# Of which fairseq has no numbers.
DTYPE = type(np.dtype("float16"))


class Runs:
    def __reduce__(self):
        return os.mkdir, ("/this/would/run",)


@pytest.mark.parametrize(
    "value,name",
    [
        (Runs(), r"[\w.]*mkdir"),
        (fractions.Fraction(1, 3), "fractions.Fraction"),
        pytest.param(
            np.float16(0.5),
            re.escape(f"{DTYPE.__module__}.{DTYPE.__qualname__}"),
            marks=pytest.mark.skipif(
                not hasattr(torch.serialization, "add_safe_globals"), reason="this torch does not ask for it"
            ),
        ),
    ],
    ids=["call", "object", "number"],
)
def test_other_classes_are_refused_by_name(tmp_path, value, name):
    path = saved(tmp_path, extra_state=value)
    message = rf"checkpoint.pt: holds {name}, which fairseq checkpoints do not hold; .*weights_only=False"
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(path)


def test_the_allow_list_is_narrow():
    for name, obj in checkpoint_globals().items():
        top = name.split(".")[0]
        plain = {"argparse", "collections", "numpy", "omegaconf", "typing", "builtins"}
        assert top in plain or name.rpartition(".")[0] == "fairseq.meters"
        assert top != "builtins" or isinstance(obj, type)


@pytest.mark.parametrize("entries", [{"model": None}, {"args": None}])
def test_missing_parts_are_refused(tmp_path, entries):
    state = {"model": {"w": torch.zeros(1)}, "args": argparse.Namespace(arch="x"), **entries}
    torch.save({k: v for k, v in state.items() if v is not None}, tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match="c.pt: not a fairseq checkpoint"):
        read_checkpoint(tmp_path / "c.pt")


def test_a_file_that_may_not_be_read_is_not_called_truncated(tmp_path, monkeypatch):
    path = saved(tmp_path)

    def denied(path, mode):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(files, "open", denied, raising=False)  # root may read everything
    with pytest.raises(CheckpointError, match=f"^{path}: cannot be read .Permission denied.; allow access to it$"):
        read_checkpoint(path)


def test_a_failed_write_leaves_the_old_file_and_nothing_beside(tmp_path):
    path = saved(tmp_path)
    before = path.read_bytes()
    with pytest.raises(Exception, match="pickle|local"):
        write_checkpoint({"model": lambda: None}, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_written_checkpoint_reads_back(tmp_path):
    state = {"model": {"w": torch.randn(3)}, "args": argparse.Namespace(arch="x")}
    write_checkpoint(state, tmp_path / "out.pt")
    assert torch.equal(read_checkpoint(tmp_path / "out.pt")["model"]["w"], state["model"]["w"])
