"""ghat-average --best: the best checkpoints of a real run that has voted."""

import pytest
import torch
from commands import train

from fairseq_ghat.checkpoints.averaging import average_checkpoints
from fairseq_ghat.checkpoints.files import read_checkpoint
from fairseq_ghat.cli import average


@pytest.fixture(scope="module")
def folder(corpus, tmp_path_factory):
    """A run whose best checkpoints are voted ones, those of before the vote set aside."""
    folder = tmp_path_factory.mktemp("best")
    train(corpus, folder, "--max-epoch 5 --vote-epoch 3 --keep-best-checkpoints 2 --no-epoch-checkpoints")
    return folder


def test_the_best_of_a_run_are_averaged(folder, tmp_path, capsys):
    assert list(folder.glob("before_vote.checkpoint.best_loss_*.pt"))
    best = sorted(folder.glob("checkpoint.best_loss_*.pt"), key=lambda path: float(path.stem.rpartition("_")[2]))
    assert len(best) == 2
    assert average.main([str(folder), "--best", "2", "--output", str(tmp_path / "mean.pt")]) == 0
    printed = capsys.readouterr()
    assert f"average of 2 checkpoints: {best[0]} {best[1]}" in printed.out and printed.err == ""
    found, expected = (
        read_checkpoint(tmp_path / "mean.pt")["model"],
        average_checkpoints([str(b) for b in best])["model"],
    )
    assert all(torch.equal(value, expected[name]) for name, value in found.items())
    assert {int(value.sum()) for name, value in found.items() if name.endswith("head_mask")} == {4}  # 2 heads, each a 2


def test_fewer_than_wanted_are_averaged_with_a_warning(folder, tmp_path, capsys):
    assert average.main([str(folder), "--best", "5", "--output", str(tmp_path / "mean.pt")]) == 0
    printed = capsys.readouterr()
    assert "average of 2 checkpoints" in printed.out and "kept 2 best checkpoints, not 5" in printed.err


@pytest.mark.parametrize(
    "arguments,message",
    [
        (("{folder}/checkpoint_last.pt", "--best", "2"), "--best wants the folder of one run, not "),
        (("{folder}", "{folder}", "--best", "2"), "--best wants the folder of one run, not "),
        (("{folder}", "--best", "0"), "--best 0: allowed is 1 or more"),
        (("{empty}", "--best", "2"), "has no checkpoint.best_METRIC_SCORE.pt"),
    ],
    ids=["file", "two folders", "none", "no best ones"],
)
def test_other_uses_of_best_are_refused(folder, tmp_path, capsys, arguments, message):
    words = [word.format(folder=folder, empty=tmp_path) for word in arguments]
    with pytest.raises(SystemExit):
        average.main([*words, "--output", str(tmp_path / "mean.pt")])
    assert message in capsys.readouterr().err and not (tmp_path / "mean.pt").exists()
