"""Steps are run once, and a step that fails says with what command and shows the end of its output."""

import argparse
import json

import pytest
import torch
from experiments.comparison.plan import Comparison
from experiments.comparison.steps import Step, StepFailed, all_steps, run_all
from experiments.recipes.commands import Command

from fairseq_ghat.checkpoints.files import write_checkpoint


def counting(folder, name="made"):
    """A step that adds a line to a file of its own and makes a result."""
    code = f"open({str(folder / 'runs')!r}, 'a').write('x'); open({str(folder / name)!r}, 'w')"
    return Step(Command("counts", ["python", "-c", code], log=folder / "log"), [folder / name])


def test_a_finished_step_is_not_run_again(tmp_path, capsys):
    step = counting(tmp_path)
    run_all([step])
    run_all([step, counting(tmp_path, "other")])
    assert (tmp_path / "runs").read_text() == "xx"
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step ")]
    assert told == ["step 1 of 1", "step 1 of 2: counts: there already", "step 2 of 2"]
    record = json.loads((tmp_path / "made.done.json").read_text())
    assert record["command"] == step.command.argv and record["seconds"] >= 0


@pytest.mark.parametrize("lost", ["made", "made.done.json"])
def test_what_was_lost_or_never_finished_is_made_again(tmp_path, lost):
    """A checkpoint alone is no sign of the end: fairseq writes it after every epoch."""
    step = counting(tmp_path)
    run_all([step])
    (tmp_path / lost).unlink()
    run_all([step])
    assert (tmp_path / "runs").read_text() == "xx" and step.finished


@pytest.mark.parametrize("kept", ["log", "output"])
def test_a_failure_shows_the_command_and_the_end_of_the_output(tmp_path, kept):
    code = "print('first'); [print(i) for i in range(30)]; print('the reason'); raise SystemExit(3)"
    step = Step(Command("breaks", ["python", "-c", code], **{kept: tmp_path / "log"}), [tmp_path / "made"])
    with pytest.raises(StepFailed) as failure:
        step.run()
    said = str(failure.value)
    assert "breaks: python ended with status 3" in said and step.command.shown() in said
    assert said.endswith("29\nthe reason") and "first\n" not in said.replace(code, "")
    assert not step.finished


def test_a_result_that_does_not_pass_its_check_is_not_finished(tmp_path):
    step = counting(tmp_path)

    def refuse():
        raise ValueError("made: is not as it should be")

    step.finish = refuse
    with pytest.raises(StepFailed, match="is not as it should be"):
        step.run()
    assert not step.finished


def test_a_command_that_makes_something_else_is_not_finished(tmp_path):
    step = counting(tmp_path)
    step.results = [tmp_path / "checkpoint_last.pt"]
    with pytest.raises(StepFailed, match="counts: did not make .*checkpoint_last.pt"):
        step.run()
    assert not step.finished


def voted_step(tmp_path, masks):
    """The vote's step of a comparison whose voted checkpoint has these masks."""
    what = Comparison("bin", "trained.pt", tmp_path, "translation", 4, ["l1"], languages=("de", "en"), epochs=0)
    step = next(step for step in all_steps(what) if step.command.program[0] == "ghat-vote")
    step.results[0].parent.mkdir(parents=True)
    weights = {f"decoder.layers.{i}.self_attn.head_mask": torch.tensor(mask) for i, mask in enumerate(masks)}
    write_checkpoint({"model": weights, "args": argparse.Namespace()}, step.results[0])
    return step


@pytest.mark.parametrize("masks", [[[2, 0, 0, 2], [2, 2, 0, 0]], [[2, 2, 2, 0], [2, 0, 0, 0]]])
def test_a_vote_that_kept_to_its_budget_passes(tmp_path, masks):
    """2 heads in each of 2 attentions, or as many on average."""
    voted_step(tmp_path, masks).finish()


def test_a_vote_that_kept_more_is_not_compared(tmp_path):
    with pytest.raises(ValueError, match="voted.pt: keeps 5 heads, not 2 for each of 2 attentions"):
        voted_step(tmp_path, [[2, 2, 2, 0], [2, 2, 0, 0]]).finish()


def test_every_vote_is_scored_before_and_after_fine_tuning(tmp_path):
    what = Comparison("bin", "trained.pt", tmp_path, "language_modeling", 8, ["l1", "random"], continue_epochs=1)
    programs = [step.command.program[0] for step in all_steps(what)]
    of_vote = ["ghat-vote", "ghat-perplexity", "fairseq-train", "ghat-perplexity"]
    assert programs == ["fairseq-train", "ghat-perplexity", *of_vote, *of_vote]
