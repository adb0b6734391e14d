"""Checks of a machine: what their rows say, and that one that fails leaves the others alone."""

import json
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier
from time import monotonic, sleep

import check_gpu
import pytest
import torch
from commands import refusal_of
from experiments.gpu_checks import speed
from experiments.gpu_checks.processes import CheckFailed, Processes, words
from experiments.gpu_checks.rows import FAILED, MEASURED, MISSED, OK, Check, Row, checked, compared
from experiments.gpu_checks.training import TRANSLATION, Trainings

CPU = torch.device("cpu")


def program(code):
    return words("python -c {code}", code=code)


@pytest.fixture
def processes(tmp_path):
    return Processes(tmp_path / "logs", seconds=60, parallel=2)


def test_a_limit_is_kept_up_to_its_value():
    assert [compared("", "", value, most=1.05).verdict for value in (1.05, 1.06)] == [OK, MISSED]
    assert [compared("", "", value, least=1.25).verdict for value in (1.25, 1.24)] == [OK, MISSED]
    assert compared("update", "1.2", 1.2) == Row("update", "1.2", "", MEASURED)
    passed = {verdict: Row("", "", "", verdict).passed for verdict in (OK, MEASURED, FAILED, MISSED)}
    assert passed == {OK: True, MEASURED: True, FAILED: False, MISSED: False}
    assert [checked("", "", "", passed).verdict for passed in (True, False)] == [OK, FAILED]


def test_a_check_that_raises_is_a_row_that_says_why():
    def fails():
        raise ValueError("first line\nsecond | line")

    assert Check("name", fails).run() == [Row("name", "first line second / line", "", FAILED)]


def test_what_a_process_prints_is_returned_and_kept(processes):
    text = "two words"
    assert processes.run("say", words("python -c {code} {text}", code="import sys; print(sys.argv[1])", text=text))
    assert (processes.folder / "say.log").read_text() == "two words\n"


def test_a_process_that_fails_is_told_with_its_last_line(processes):
    with pytest.raises(CheckFailed, match=r"the reason \(status 3; .*broken.log\)"):
        processes.run("broken", program("import sys; print('the reason'); sys.exit(3)"))
    waiting = program("import time; print('still here', flush=True); time.sleep(60)")
    with pytest.raises(CheckFailed, match=r"no output \(status 4; .*both\.1\.log"):
        processes.run_together("both", [waiting, program("import sys; sys.exit(4)")])
    assert processes.passed < 30


def test_checks_side_by_side_share_one_training(processes):
    class Slow:
        submitted = 0

        def submit(self, work):
            sleep(0.05)  # a second check asks meanwhile
            self.submitted += 1
            return Future()

    slow, together = Slow(), Barrier(2)
    trainings = Trainings(processes, slow, {}, cpu=True)

    def ask(_):
        together.wait()
        return trainings._run(TRANSLATION, "float32")

    with ThreadPoolExecutor(2) as checks:
        first, second = checks.map(ask, range(2))
    assert first is second and slow.submitted == 1


def test_time_ends_what_runs_and_keeps_the_rest_from_starting(tmp_path):
    short, begun = Processes(tmp_path, seconds=1.0, parallel=1), monotonic()
    with pytest.raises(CheckFailed, match="not ended after 1 s"):
        short.run("slow", program("import time; time.sleep(60)"))
    with pytest.raises(CheckFailed, match="not run: 1 s were over"):
        short.run("late", program("print('late')"))
    assert monotonic() - begun < 30


def test_a_process_is_killed_at_a_line_or_told_to_lack_it(processes):
    code = "import time; print('one', flush=True); print('two', flush=True); time.sleep(60)"
    processes.kill_at("stopped", program(code), "two")
    assert (processes.folder / "stopped.killed.log").read_text().split() == ["one", "two"]
    with pytest.raises(CheckFailed, match="never printed 'three'"):
        processes.kill_at("ended", program("print('one')"), "three")


class Answering:
    """Processes whose programs print these figures."""

    def __init__(self, figures):
        self.figures, self.commands = figures, []

    def run(self, name, command, threads):
        self.commands.append(command)
        return f"a warning\n{json.dumps(self.figures, indent=1)}\nanother"


def figures_of(ratio):
    spread = {"median": ratio, "low": ratio - 0.1, "high": ratio + 0.1}
    return {"ratio": spread, "milliseconds": spread, "operations": 100 * ratio}


@pytest.mark.parametrize("cpu", [False, True])
def test_updates_have_their_limits_on_a_gpu_only(cpu):
    sides = {speed.STOCK: 1.0, speed.UNCONSTRAINED: 1.0, "ours, value": 1.05, "ours, attention": 1.06}
    sides.update({"ours, output": 1.0, speed.STAGE_2: 0.96})
    answering = Answering({"combinations": [{"sides": {name: figures_of(ratio) for name, ratio in sides.items()}}]})
    first, _, language_model = speed.updates(answering, cpu)
    rows = first.run()
    assert [row.check.split(": ")[1] for row in rows] == list(sides)[1:]
    assert rows[1].figure == "1.050 (0.950 to 1.150) of fairseq's 1.0 ms; 1.050 of its operations"
    assert [row.verdict for row in rows] == ([MEASURED] * 5 if cpu else [MEASURED, OK, MISSED, OK, MISSED])
    if not cpu:
        assert [row.verdict for row in language_model.run()] == [MISSED, MEASURED, MEASURED, MEASURED, MISSED]
    assert all(("--cpu" in command) == cpu and "--json" in command for command in answering.commands)


def test_generation_has_its_limit_at_the_largest_batch_and_length():
    def run(sentences, tokens, slim):
        sides = {speed.STOCK: 1.0, "ours": 1.1, "slim": slim}
        figures = {
            name: {"speed": figures_of(ratio)["ratio"], "sentences_per_second": figures_of(9.0)["ratio"]}
            for name, ratio in sides.items()
        }
        return {"precision": "float16", "sentences": sentences, "tokens": tokens, **figures}

    answering = Answering({"runs": [run(1, 10, 1.0), run(256, 50, 1.2)]})
    first, last = speed.generation(answering, cpu=False)[1].run()
    assert (first.verdict, last.verdict, last.limit) == (MEASURED, MISSED, "at least 1.25")
    assert last.check == "generation, float16, 256 sentences, 50 tokens"
    assert last.figure.startswith("slim 1.200 (1.100 to 1.300), all heads 1.100")


def test_one_failure_makes_the_status_and_leaves_the_other_rows(tmp_path, monkeypatch, capsys):
    def broken(processes, cpu):
        return [Check("generation", lambda: [][0])]

    monkeypatch.setattr(speed, "generation", broken)
    monkeypatch.setattr(
        speed, "updates", lambda processes, cpu: [Check("update", lambda: [checked("u", "", "", True)])]
    )
    command = ["--cpu", "--work", str(tmp_path), "--only"]
    assert check_gpu.main([*command, "generation", "updates"]) == 1
    printed, told = capsys.readouterr()
    assert [line.split("|")[4].strip() for line in printed.splitlines()[3:]] == ["ok", "FAILED"]
    assert printed.startswith("CPU") and "NO GPU" in printed.splitlines()[0]
    assert "generation: list index out of range: FAILED" in told
    assert check_gpu.main([*command, "updates"]) == 0


def test_data_of_no_language_pair_and_other_input_is_refused(tmp_path, capsys):
    (tmp_path / "dict.txt").write_text("")
    for arguments, message in (
        ([tmp_path], f"DATA {tmp_path}: has no two dict.LANG.txt"),
        (["--only", "everything"], "invalid choice: 'everything'"),
        (["--minutes", "0"], "--minutes 0.0: allowed is 0.1 or more"),
        (["--parallel", "0"], "--parallel 0: allowed is 1 or more"),
    ):
        assert message in refusal_of(check_gpu.parse, arguments, capsys)


def test_python_is_that_of_this_process(processes):
    assert processes.run("which", program("import sys; print(sys.prefix)")).strip() == sys.prefix
