"""Commands: what is shown is what is run, nothing is left half written, and what is finished is not run again."""

import errno
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from argparse import ArgumentTypeError
from pathlib import Path

import pytest
from commands import REPOSITORY
from experiments.commands import Command, CommandFailed, Processes
from experiments.files import folder_name, write_json
from experiments.runner import run_all


def python(code, **kept):
    return Command("stage", ["python", "-c", code], **kept)


def test_what_is_shown_is_the_command_for_a_shell(tmp_path):
    options = {"arch": "transformer", "adam-betas": "(0.9, 0.98)", "args": {"beam": 5}, "cpu": True, "fp16": False}
    command = Command(
        "train",
        ["fairseq-train", "some data"],
        {"task": options, "": [], "more": ["--lr", "1e-3", "--name", "it's"]},
        log=tmp_path / "train.log",
    )
    first, *lines = command.shown().splitlines()
    assert first == "# train: task / more"
    assert lines.pop(0) == f"mkdir -p {tmp_path}"
    shown, _, log = " ".join(line.rstrip("\\") for line in lines).rpartition(" >> ")
    assert shlex.split(shown) == command.argv
    assert shlex.split(log) == [str(tmp_path / "train.log")]
    assert command.argv[2:10] == [
        *("--arch", "transformer", "--adam-betas", "(0.9, 0.98)", "--args", '{"beam": 5}', "--cpu", "--lr")
    ]
    assert all(len(line) < 125 for line in lines)


def test_an_option_and_its_value_stay_in_one_line():
    command = Command("train", ["x"], {"many": {f"option-{i}": i for i in range(40)}})
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
    with pytest.raises(CommandFailed, match="stage: python ended with status 5\n"):
        python("raise SystemExit(5)").run()


def counting(folder, name="made"):
    """A command that adds a line to a file of its own and makes a result."""
    code = f"open({str(folder / 'runs')!r}, 'a').write('x'); open({str(folder / name)!r}, 'w')"
    return Command("counts", ["python", "-c", code], log=folder / "log", results=[folder / name])


def test_a_finished_command_is_not_run_again(tmp_path, capsys):
    command = counting(tmp_path)
    assert run_all([command], dry_run=False) == 0
    assert run_all([command, counting(tmp_path, "other"), command], dry_run=False) == 0
    assert (tmp_path / "runs").read_text() == "xx"
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step ")]
    assert told == [
        "step 1 of 1",
        "step 1 of 3: counts: there already",
        "step 2 of 3",
        "step 3 of 3: counts: there already",
    ]
    record = json.loads((tmp_path / "made.done.json").read_text())
    assert record["command"] == command.argv and record["seconds"] >= 0


@pytest.mark.parametrize("lost", ["made", "made.done.json"])
def test_what_was_lost_or_never_finished_is_made_again(tmp_path, lost):
    """A checkpoint alone is no sign of the end: fairseq writes it after every epoch."""
    command = counting(tmp_path)
    assert run_all([command], dry_run=False) == 0
    (tmp_path / lost).unlink()
    assert run_all([command], dry_run=False) == 0
    assert (tmp_path / "runs").read_text() == "xx" and command.finished


def test_another_command_of_the_same_results_is_run(tmp_path):
    command = counting(tmp_path)
    assert run_all([command], dry_run=False) == 0
    command.program[-1] += " "
    assert not command.finished
    (tmp_path / "made.done.json").write_text("{half")
    assert not command.finished
    assert run_all([command], dry_run=False) == 0
    assert (tmp_path / "runs").read_text() == "xx" and command.finished


def test_what_is_made_of_a_checkpoint_that_went_on_is_made_again(tmp_path):
    """Looked at in the middle of a training, then at its end."""
    last = tmp_path / "checkpoint_last.pt"
    average = Command("average", ["cp", str(last), str(tmp_path / "average.pt")], results=[tmp_path / "average.pt"])
    code = "import shutil, sys; shutil.copy(f'{sys.argv[1]}/average.pt', f'{sys.argv[1]}/slim.pt')"
    slim = Command("slim", ["python", "-c", code, str(tmp_path)], results=[tmp_path / "slim.pt"])
    for text in ("epoch 2", "epoch 7"):
        last.write_text(text)
        os.utime(last, ns=(now := time.time_ns(), now))
        for command in (average, slim):
            assert not command.finished
            assert run_all([command], dry_run=False) == 0
            assert command.finished
        assert (tmp_path / "slim.pt").read_text() == text


def waits_for(name, other, **kept):
    """A command that makes a file and ends well once there is another."""
    code = f"import os, time; open({str(name)!r}, 'w'); end = time.time() + 60\n"
    code += f"while not os.path.exists({str(other)!r}) and time.time() < end: time.sleep(0.01)\n"
    return python(code + f"raise SystemExit(not os.path.exists({str(other)!r}))", **kept)


def test_what_is_started_after_the_end_ends_at_once():
    processes = Processes()
    processes.end()
    with processes.start(["sleep", "60"]) as process:
        assert process.wait() == -signal.SIGTERM


def test_chains_run_side_by_side_and_what_has_none_waits(tmp_path, capsys):
    """Two that wait for each other can only end well if both run."""
    a, b = tmp_path / "a", tmp_path / "b"
    line = "2026 | INFO | valid | epoch 001 | valid on 'valid' subset"
    told = python(f"print({line!r})", chain="one", log=tmp_path / "log")
    last = python(f"import os; raise SystemExit(not all(map(os.path.exists, [{str(a)!r}, {str(b)!r}])))")
    commands = [told, waits_for(a, b, chain="one"), waits_for(b, a, chain="two"), last]
    assert run_all(commands, dry_run=False, jobs=2) == 0
    out = capsys.readouterr().out
    assert "step 1 of 4, one\n" in out and "\n  one: valid | epoch 001" in out and "step 3 of 4, two\n" in out


def test_a_chain_that_fails_leaves_the_others_alone_but_nothing_that_follows_runs(tmp_path):
    def make(name, **kept):
        return python(f"open({str(tmp_path / name)!r}, 'w')", **kept)

    fails = python("raise SystemExit(3)", chain="one")
    commands = [make("before"), fails, make("never", chain="one"), make("beside", chain="two"), make("after")]
    for jobs in (1, 2):
        assert run_all(commands, dry_run=False, jobs=jobs) == 1
        assert sorted(path.name for path in tmp_path.iterdir()) == ["before", "beside"]
        [path.unlink() for path in tmp_path.iterdir()]


def test_in_a_chain_what_follows_a_command_that_ran_is_run_again(tmp_path):
    def named(name, chain):
        command = counting(tmp_path, name)
        command.chain = chain
        return command

    chains = [[named(f"{name}{place}", name) for place in range(3)] for name in "ab"]
    commands = [command for chain in chains for command in chain]
    assert run_all(commands, dry_run=False) == 0
    (tmp_path / "a1").unlink()
    assert run_all(commands, dry_run=False) == 0
    assert (tmp_path / "runs").read_text() == "x" * (6 + 2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("jobs", [1, 2])
def test_what_runs_ends_with_the_program_and_nothing_else_begins(tmp_path, number, jobs):
    code = "import os, pathlib, time; pathlib.Path(FILE).write_text(str(os.getpid())); time.sleep(600)"
    commands = "".join(
        f"Command('s', ['python', '-c', {code.replace('FILE', repr(str(tmp_path / name)))!r}], chain={name!r}),"
        for name in "abc"
    )
    imports = "from experiments.commands import Command; from experiments.runner import run_all"
    program = f"{imports}; run_all([{commands}], False, {jobs})"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "scripts")}
    process = subprocess.Popen([sys.executable, "-c", program], env=environment)

    def pids():
        return [int(path.read_text() or 0) for path in tmp_path.iterdir()]

    wait_until(lambda: len([pid for pid in pids() if pid]) == jobs)
    started = pids()
    process.send_signal(number)
    assert process.wait(timeout=60) == 128 + number
    assert pids() == started and not any(map(is_running, started))


def wait_until(reached, seconds=60):
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("jobs,threads", [(1, None), (2, max(1, os.cpu_count() // 2)), (1000, 1)])
def test_processes_side_by_side_share_the_cores(tmp_path, monkeypatch, jobs, threads):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    command = python("import os; print(os.environ.get('OMP_NUM_THREADS'))", output=tmp_path / "out")
    command.run(Processes(jobs))
    assert (tmp_path / "out").read_text() == f"{threads}\n"
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    command.run(Processes(jobs))
    assert (tmp_path / "out").read_text() == "7\n"


@pytest.mark.parametrize("kept", ["log", "output"])
def test_a_failure_shows_the_command_and_the_end_of_the_output(tmp_path, kept):
    code = "print('first'); [print(i) for i in range(30)]; print('the reason'); raise SystemExit(3)"
    command = Command("breaks", ["python", "-c", code], **{kept: tmp_path / "log"}, results=[tmp_path / "made"])
    with pytest.raises(CommandFailed) as failure:
        command.run()
    said = str(failure.value)
    assert "breaks: python ended with status 3" in said and command.shown() in said
    assert said.endswith("29\nthe reason") and "first\n" not in said.replace(code, "")
    assert not command.finished


def test_a_result_that_does_not_pass_its_check_is_not_finished(tmp_path):
    command = counting(tmp_path)

    def refuse():
        raise ValueError("made: is not as it should be")

    command.finish = refuse
    with pytest.raises(CommandFailed, match="is not as it should be"):
        command.run()
    assert not command.finished


def test_a_command_that_makes_something_else_is_not_finished(tmp_path):
    command = counting(tmp_path)
    command.results = [tmp_path / "checkpoint_last.pt"]
    with pytest.raises(CommandFailed, match="counts: did not make .*checkpoint_last.pt"):
        command.run()
    assert not command.finished


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_names_the_file_that_was_written(tmp_path, monkeypatch, capsys):
    command = python("print('one')", output=tmp_path / "out.txt")
    monkeypatch.setattr(Command, "execute", full)
    assert run_all([command], dry_run=False) == 1
    told = f"error: stage: {tmp_path}/out.txt: No space left on device; make room"
    assert told in capsys.readouterr().err


def test_a_program_whose_output_cannot_be_written_ends(tmp_path, capsys):
    """It would wait for a reader once the pipe between is full."""
    (tmp_path / "log").symlink_to("/dev/full")
    writes = "for _ in range(20000): print('a line of a training', flush=True)"
    assert run_all([python(writes, log=tmp_path / "log")], dry_run=False) == 1
    assert f"error: stage: {tmp_path}/log: No space left on device; make room" in capsys.readouterr().err


def test_json_that_was_half_written_does_not_stay(tmp_path, monkeypatch):
    write_json(tmp_path / "x.json", {"old": 1})
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_json(tmp_path / "x.json", {"new": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
    assert json.loads((tmp_path / "x.json").read_text()) == {"old": 1}


def test_no_name_is_no_folder(tmp_path):
    assert folder_name(str(tmp_path)) == tmp_path
    with pytest.raises(ArgumentTypeError, match="'' is not allowed"):
        folder_name("")
