"""`ghat-report` on training folders as they are: before and after the vote, cut off, of another model."""

import contextlib
import io
import re
import shutil

import pytest
import torch
from commands import refusal

from fairseq_ghat.checkpoints.files import read_checkpoint
from fairseq_ghat.cli import analyze
from fairseq_ghat.cli.report import main

for needed in ("matplotlib", "jinja2", "sklearn"):
    pytest.importorskip(needed, reason=f"{needed} is not installed: pip install matplotlib jinja2 scikit-learn")


@pytest.fixture(scope="module")
def runs(corpus, voted_run, stock_checkpoint, tmp_path_factory):
    """Folders of a run with a vote, its log and analyses, and of a plain one without a log."""
    folder = tmp_path_factory.mktemp("runs")
    save_dir, log = voted_run
    shutil.copytree(save_dir, folder / "ght-ps", ignore=shutil.ignore_patterns("tb", "slim.pt"))
    shutil.copytree(stock_checkpoint.parent, folder / "plain")
    (folder / "ght-ps" / "train.log").write_text(log)
    for number, name in ((2, "analysis.before.json"), (4, "analysis.json")):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            arguments = [folder / "ght-ps" / f"checkpoint{number}.pt", corpus, "--groups", 2, "--json", "--cpu"]
            assert analyze.main([*map(str, arguments)]) == 0
        (folder / "ght-ps" / name).write_text(printed.getvalue())
    return folder


def reported(capsys, tmp_path, *arguments):
    """The page, and what the command printed."""
    out = tmp_path / "page.html"
    assert main([str(out), *map(str, arguments)]) == 0
    return out.read_text(encoding="utf-8"), capsys.readouterr().out


def test_a_run_with_a_vote_beside_a_plain_one(runs, tmp_path, capsys):
    figures, board = tmp_path / "figures", tmp_path / "board"
    given = ["--title", "Heads", "--figures", figures, "--tensorboard", board]
    page, printed = reported(capsys, tmp_path, runs / "plain", runs / "ght-ps", *given)
    assert f"ght-ps {' '.join(map(str, given))}</code>" in page
    assert re.search(r"page\.html: 2 runs, 6 pictures, 0\.\d MB, ", printed)
    names = ["constraint", "kept-heads", "similarity-ght-ps-1", "similarity-ght-ps-2", "training", "votes-ght-ps"]
    assert sorted(path.stem for path in figures.iterdir()) == names and len(list(board.iterdir())) == 1
    assert "<td>plain</td><td>GHT-PS</td>" in page and "<td>6 x 8</td><td>6 x 2</td>" in page
    assert "vote of ght-ps before epoch 3" in page and "There is no train.log: no curves and no votes." in page
    command = re.search(r"<code>(fairseq-train .*? --vote-epoch 3.*?)</code>", page)[1]
    assert "--encoder-embed-dim 32" in command and "--group-loss-scale 0.5" in command and "--max-epoch 4" in command
    assert "--arch transformer --criterion label_smoothed_cross_entropy" in page
    assert 'src="http' not in page and "There is no analysis of the heads of plain" in page


def test_runs_that_are_not_whole_have_sentences(runs, tmp_path, capsys):
    log = (runs / "ght-ps" / "train.log").read_text()
    (tmp_path / "cut").mkdir()
    begins = log.index("vote: begins")
    (tmp_path / "cut" / "train.log").write_text(log[: begins + 40])
    (tmp_path / "cut" / "checkpoint_last.pt").write_bytes(b"PK")
    state = read_checkpoint(runs / "plain" / "checkpoint_last.pt")
    state["cfg"]["model"].arch = "lstm"
    state["cfg"]["model"].log_file = str(tmp_path / "early.train.log")  # beside checkpoints of elsewhere
    (tmp_path / "other").mkdir()
    torch.save(state, tmp_path / "other" / "model.pt")
    (tmp_path / "early").mkdir()
    shutil.copy(runs / "ght-ps" / "checkpoint2.pt", tmp_path / "early")
    (tmp_path / "early.train.log").write_text(log[:begins])
    page, _ = reported(capsys, tmp_path, *(tmp_path / name for name in ("cut", "other", "early")))
    assert page.count("<td>2</td><td>2</td><td>2</td>") == 1  # epochs
    for sentence in (
        "cut: The log train.log ends after epoch 2, before the training was done: it goes on, or was cut off.",
        "cut/checkpoint_last.pt: cannot be read as a checkpoint",
        "cut: There is no checkpoint that can be read: nothing is known of the model.",
        "other/model.pt is not of a model that this page tells of: its arch is lstm.",
        "early: There is no vote yet: --vote-epoch is 3, the log ends after epoch 2.",
        "No heads were removed in any of the runs.",
    ):
        assert sentence in page


@pytest.mark.parametrize(
    "arguments,message",
    [
        ("{folder}/page.html {folder}/nowhere", "RUN {folder}/nowhere: no such folder"),
        ("{folder}/page.html {folder}/file.txt", "RUN {folder}/file.txt: is no folder"),
        ("{folder}/page.html {folder}", "RUN {folder}: has neither train.log"),
        ("{folder} {run}", "OUT {folder}: is a folder"),
        (
            "{folder}/nowhere/page.html {run}",
            "OUT {folder}/nowhere/page.html: the folder {folder}/nowhere does not exist",
        ),
        ("{run}/train.log {run}", "OUT {run}/train.log: is an input itself"),
        ("{folder}/page.html {run} {run}", "RUN: one of them is given twice"),
        ("{folder}/page.html {run} --results {folder}/x.json", "--results {folder}/x.json: no such file"),
        (
            "{folder}/page.html {run} --results {folder}/file.txt",
            "file.txt: allowed are names that end with generate.log",
        ),
        ("{folder}/page.html {run} --figures {folder}/file.txt", "--figures {folder}/file.txt: is no folder"),
    ],
)
def test_bad_input_is_refused(runs, tmp_path, capsys, arguments, message):
    (tmp_path / "file.txt").touch()
    places = {"folder": tmp_path, "run": runs / "ght-ps"}
    printed = refusal(f"ghat-report {arguments.format(**places)}", capsys)
    assert message.format(**places) in printed and not (tmp_path / "page.html").exists()
