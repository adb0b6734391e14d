"""Averages of checkpoints: means of weights, the same every time, never over different heads."""

import argparse

import pytest
import torch

from fairseq_ghat.checkpoints.averaging import average_checkpoints
from fairseq_ghat.checkpoints.files import CheckpointError, read_checkpoint, write_checkpoint
from fairseq_ghat.checkpoints.kept_units import record_kept
from fairseq_ghat.modules.removable_layers import Kept, KeptUnits


def saved(tmp_path, name, heads=(), neurons=(), **weights):
    model = {"w": torch.zeros(3), "head_mask": torch.ones(4), **weights}
    path = tmp_path / name
    args = argparse.Namespace(arch="x")
    record_kept(args, Kept(*({"layer": KeptUnits(units, 8)} if units else {} for units in (heads, neurons))))
    write_checkpoint({"model": model, "args": args, "last_optimizer_state": {"m": torch.zeros(9)}}, path)
    return str(path)


def test_weights_are_means_and_masks_stay(tmp_path):
    paths = [saved(tmp_path, f"{i}.pt", w=torch.tensor([1.0, 2.0, 3.0]) * i) for i in (1, 2, 6)]
    averaged = average_checkpoints(paths)
    assert averaged["model"]["w"].tolist() == [3.0, 6.0, 9.0]
    assert averaged["model"]["head_mask"].tolist() == [1, 1, 1, 1]
    assert "last_optimizer_state" not in averaged


def test_fairseq_602_the_same_files_give_the_same_weights(tmp_path):
    """facebookresearch/fairseq#602."""
    paths = [saved(tmp_path, f"{i}.pt", w=torch.randn(100)) for i in range(4)]
    assert torch.equal(average_checkpoints(paths)["model"]["w"], average_checkpoints(paths)["model"]["w"])


def test_half_precision_stays_half(tmp_path):
    paths = [saved(tmp_path, f"{i}.pt", w=torch.full((3,), float(i)).half()) for i in (1, 2)]
    averaged = average_checkpoints(paths)["model"]["w"]
    assert averaged.dtype == torch.float16 and averaged.tolist() == [1.5] * 3
    large = [saved(tmp_path, f"{i}.pt", w=torch.full((3,), 60000.0).half()) for i in (1, 2)]
    assert average_checkpoints(large)["model"]["w"].tolist() == [60000] * 3  # their sum is no number of float16


def test_tied_weights_stay_tied_and_the_file_as_large(tmp_path):
    paths = []
    for i in (1, 2):
        weight = torch.full((1000,), float(i))
        paths.append(saved(tmp_path, f"{i}.pt", embed=weight, output=weight))
    write_checkpoint(average_checkpoints(paths), tmp_path / "mean.pt")
    model = read_checkpoint(tmp_path / "mean.pt")["model"]
    assert model["embed"].data_ptr() == model["output"].data_ptr() and model["embed"][0] == 1.5
    assert (tmp_path / "mean.pt").stat().st_size < 8000


MASK = torch.tensor([1, 0, 1, 0], dtype=torch.uint8)


@pytest.mark.parametrize(
    "weights,message",
    [
        ({"head_mask": MASK}, "b.pt: head_mask differs from .*a.pt: voted and unvoted"),
        ({"w": torch.zeros(2)}, r"b.pt: w is \(2,\), in .*a.pt \(3,\)"),
        ({"more": torch.zeros(2)}, "b.pt: not the same model as .*a.pt .more is only in one"),
    ],
    ids=["masks", "shapes", "parameters"],
)
def test_fairseq_602_other_models_are_refused(tmp_path, weights, message):
    paths = [saved(tmp_path, "a.pt"), saved(tmp_path, "b.pt", **weights)]
    with pytest.raises(CheckpointError, match=message):
        average_checkpoints(paths)


@pytest.mark.parametrize(
    "kind,told", [("heads", r"\[1, 5\], in .*0.pt \[1, 4\]"), ("neurons", r"\[2, \d+\], in .*0.pt \[2, \d+\]")]
)
def test_weights_of_other_units_are_refused_where_no_shape_tells(tmp_path, kind, told):
    paths = [saved(tmp_path, f"{i}.pt", **{kind: [1, last]}) for i, last in enumerate((4, 4, 5))]
    average_checkpoints(paths[:2])
    with pytest.raises(CheckpointError, match=f"2.pt: layer keeps {told}; voted and"):
        average_checkpoints(paths)
