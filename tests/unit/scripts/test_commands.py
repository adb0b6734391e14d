"""Commands of a recipe: what is shown is what is run, and nothing is left half written."""

import shlex

import pytest
from experiments.recipes.commands import Command, CommandFailed, option_arguments


def python(code, **kept):
    return Command("stage", ["python", "-c", code], **kept)


def test_what_is_shown_is_the_command_for_a_shell(tmp_path):
    options = {"arch": "transformer", "adam-betas": "(0.9, 0.98)", "args": {"beam": 5}, "cpu": True, "fp16": False}
    command = Command(
        "train",
        ["fairseq-train", "some data"],
        [("task", option_arguments(options)), ("", []), ("more", ["--lr", "1e-3", "--name", "it's"])],
        log=tmp_path / "train.log",
    )
    first, *lines = command.shown().splitlines()
    assert first == "# train: task / more"
    assert lines.pop(0) == f"mkdir -p {tmp_path}"
    shown, _, log = " ".join(line.rstrip("\\") for line in lines).rpartition(" >> ")
    assert shlex.split(shown) == command.argv
    assert shlex.split(log) == [str(tmp_path / "train.log")]
    assert command.argv[2:10] == [
        *("--arch", "transformer", "--adam-betas", "(0.9, 0.98)", "--args", '{"beam": 5}', "--cpu", "--lr"),
    ]
    assert all(len(line) < 125 for line in lines)


def test_an_option_and_its_value_stay_in_one_line():
    command = Command("train", ["x"], [("many", option_arguments({f"option-{i}": i for i in range(40)}))])
    for line in command.shown().splitlines()[2:]:
        words = line.rstrip("\\").split()
        assert len(words) % 2 == 0 and all(word.startswith("--") for word in words[::2])


def test_output_is_whole_or_not_there(tmp_path):
    out = tmp_path / "new" / "out.txt"
    python("print('one'); print('two')", output=out).run()
    assert out.read_text() == "one\ntwo\n"
    with pytest.raises(CommandFailed, match="stage: python ended with status 3; its output is in .*out.txt.part"):
        python("print('half'); raise SystemExit(3)", output=out).run()
    assert out.read_text() == "one\ntwo\n" and (out.parent / "out.txt.part").read_text() == "half\n"


def test_a_log_goes_on_and_its_telling_lines_are_shown(tmp_path, capfd):
    log = tmp_path / "train.log"
    line = "2026 | INFO | valid | epoch 001 | valid on 'valid' subset | loss 3"
    python(f"import sys; print('noise'); print({line!r}); print('of stderr', file=sys.stderr)", log=log).run()
    python("print('again')", log=log).run()
    assert sorted(log.read_text().splitlines()) == sorted(["noise", line, "of stderr", "again"])
    shown = capfd.readouterr().out
    assert "  valid | epoch 001" in shown and "noise\n" not in shown


def test_a_failure_without_output_is_named():
    with pytest.raises(CommandFailed, match="stage: python ended with status 5$"):
        python("raise SystemExit(5)").run()
