"""Command lines of a comparison: what is given, then given the comparison itself sets, so that it holds."""

import argparse
from pathlib import Path

import pytest
import torch
from experiments.checks import parsed
from experiments.comparison.commands import choosing_command, commands, continue_training, fine_tune, measure, take_vote
from experiments.comparison.plan import Comparison, starts, votes

from fairseq_ghat.checkpoints.files import write_checkpoint


def comparison(kind="translation", **more):
    options = {"methods": ["pillars", "disagreement"], "heads": 8, "keep": [3], "seeds": [4], "epochs": 2, **more}
    options.setdefault("languages", ("de", "en"))
    return Comparison("bin", "trained.pt", Path("out"), kind, **options)


def value(argv, flag):
    """The last value of an option, which is the vote that holds."""
    return argv[len(argv) - argv[::-1].index(flag)]


def test_the_vote_is_the_one_that_the_row_is_about():
    given = comparison(refit=["none"], vote_budget="model", vote_args=["--max-tokens", "100", "--seed", "9"], cpu=True)
    vote = votes(given)[1]
    args = parsed(take_vote(given, vote).argv)
    assert (args.checkpoint, args.data, args.out) == ("trained.pt", "bin", str(vote.voted.checkpoint))
    assert (args.keep_heads, args.vote_heads, args.vote_budget) == ("disagreement", 3, "model")
    assert (args.refit, args.seed, args.max_tokens, args.cpu) == ("none", 4, 100, True)


def test_fine_tuning_begins_at_the_vote_and_has_the_epochs_and_the_seed():
    given = comparison(train=["--arch", "ghat_transformer", "--seed", "9"])
    vote = votes(given)[0]
    command = fine_tune(given, vote)
    argv = command.argv
    assert argv[:4] == ["fairseq-train", "bin", "--user-dir", "fairseq_ghat"]
    # fairseq's default is all GPUs; what is given comes later and holds.
    assert argv[4:8] == ["--distributed-world-size", "1", "--arch", "ghat_transformer"]
    assert value(argv, "--finetune-from-model") == str(vote.voted.checkpoint)
    assert (value(argv, "--max-epoch"), value(argv, "--seed")) == ("2", "4")
    assert Path(value(argv, "--save-dir")) == vote.tuned.checkpoint.parent == command.log.parent
    assert "--no-epoch-checkpoints" in argv and "--group-loss-scale" not in argv and "--cpu" not in argv


def test_starts_differ_in_the_constraint_alone():
    words = ["--group-loss-scale", "0.5", "--group-alpha", "0.7", "--head-groups", "2"]
    given = comparison(continue_epochs=5, gct_methods=["pillars"], train=words)
    plain, gct, diversity = (continue_training(given, start).argv for start in starts(given))
    for argv in (plain, gct, diversity):
        assert value(argv, "--finetune-from-model") == "trained.pt" and value(argv, "--max-epoch") == "5"
        assert value(argv, "--seed") == "4"
    assert value(plain, "--group-loss-scale") == "0"
    assert [value(gct, flag) for flag in words[::2]] == ["0.5", "0.7", "3"]
    # As many groups as heads, whose centres are the heads themselves: nothing but diversity is left.
    assert [value(diversity, flag) for flag in words[::2]] == ["0.5", "0", "8"]
    assert value(diversity, "--group-beta") == "1"


def test_generation_keeps_the_last_sentences_and_its_log_lines():
    given = comparison(generate_args=["--beam", "2", "--remove-bpe", "sentencepiece"], cpu=True)
    vote = votes(given)[0]
    command = measure(given, vote.tuned, "stage")
    argv = command.argv
    assert argv[:4] == ["python", "scripts/with_log.py", "fairseq-generate", "bin"]
    assert value(argv, "--path") == str(vote.tuned.checkpoint) and value(argv, "--beam") == "2"
    assert value(argv, "--required-batch-size-multiple") == "1" and argv[-1] == "--cpu"
    assert (value(argv, "--source-lang"), value(argv, "--target-lang")) == ("de", "en")
    assert command.output == vote.tuned.output == vote.voted.folder / "tuned.generate.log"
    assert value(measure(comparison(), vote.tuned, "stage").argv, "--beam") == "5"


@pytest.mark.parametrize("cpu", [True, False])
def test_a_language_model_is_measured_by_its_perplexity(cpu):
    given = comparison("language_modeling", generate_args=["--context-window", "8"], languages=None, cpu=cpu)
    vote = votes(given)[0]
    command = measure(given, vote.voted, "stage")
    assert command.argv[:3] == ["ghat-perplexity", "bin", str(vote.voted.checkpoint)]
    assert value(command.argv, "--context-window") == "8" and "--json" in command.argv
    assert ("--cpu" in command.argv) == cpu and command.output == vote.voted.folder / "voted.perplexity.json"


def finished_vote(tmp_path, masks):
    """The vote of a comparison whose voted checkpoint has these masks."""
    given = Comparison("bin", "trained.pt", tmp_path, "translation", 4, ["l1"], languages=("de", "en"), epochs=0)
    (vote,) = votes(given)
    vote.voted.folder.mkdir(parents=True)
    weights = {f"decoder.layers.{i}.self_attn.head_mask": torch.tensor(mask) for i, mask in enumerate(masks)}
    write_checkpoint({"model": weights, "args": argparse.Namespace()}, vote.voted.checkpoint)
    return take_vote(given, vote)


@pytest.mark.parametrize("masks", [[[2, 0, 0, 2], [2, 2, 0, 0]], [[2, 2, 2, 0], [2, 0, 0, 0]]])
def test_a_vote_that_kept_to_its_budget_passes(tmp_path, masks):
    """2 heads in each of 2 attentions, or as many on average."""
    finished_vote(tmp_path, masks).finish()


def test_a_vote_that_kept_more_is_not_compared(tmp_path):
    with pytest.raises(ValueError, match="voted.pt: keeps 5 heads, not 2 for each of 2 attentions"):
        finished_vote(tmp_path, [[2, 2, 2, 0], [2, 2, 0, 0]]).finish()


@pytest.mark.parametrize("neurons,stays", [(2, True), (4, False)])
def test_what_was_cut_to_a_share_of_the_parameters_has_no_more(tmp_path, neurons, stays):
    """Of 8 neurons of 2 + 1 + 2 parameters each, and a bias behind them that belongs to none."""

    def layer(width):
        return {"fc1.weight": (width, 2), "fc1.bias": (width,), "fc2.weight": (2, width), "fc2.bias": (2,)}

    given = Comparison(
        "bin", str(tmp_path / "trained.pt"), tmp_path, "translation", 4, ["from-start"], budget=["parameters=0.25"]
    )
    (vote,) = votes(given)
    vote.tuned.checkpoint.parent.mkdir(parents=True)
    for path, width in ((given.checkpoint, 8), (vote.tuned.checkpoint, neurons)):
        weights = {f"decoder.layers.0.{name}": torch.zeros(shape) for name, shape in layer(width).items()}
        write_checkpoint({"model": weights, "args": argparse.Namespace()}, path)
    if stays:
        return choosing_command(given, vote).finish()
    with pytest.raises(
        ValueError, match="checkpoint_last.pt: keeps 0.5000 of the parameters of the layers, more than 0.2"
    ):
        choosing_command(given, vote).finish()


def test_every_vote_is_scored_before_and_after_fine_tuning(tmp_path):
    given = Comparison("bin", "trained.pt", tmp_path, "language_modeling", 8, ["l1", "random"], continue_epochs=1)
    programs = [command.program[0] for command in commands(given)]
    of_vote = ["ghat-vote", "ghat-perplexity", "fairseq-train", "ghat-perplexity"]
    assert programs == ["fairseq-train", "ghat-perplexity", *of_vote, *of_vote]
